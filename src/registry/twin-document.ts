/** Twin documents (tags, desired and reported properties): the rules of contract 6, and their stored form. */
import { RegistryError } from "../errors.ts";
import {
  TWIN_DEPTH_MAX,
  TWIN_INTEGER_MAX,
  TWIN_KEY_BYTES_MAX,
  TWIN_PROPERTIES_BYTES_MAX,
  TWIN_TAGS_BYTES_MAX,
  TWIN_VALUE_BYTES_MAX,
} from "../limits.ts";
import type { JsonObject } from "./json-reader.ts";

export type TwinPart = "tags" | "properties.desired" | "properties.reported";

/** A document as it is stored. */
export interface TwinDocument {
  /** Compact JSON, without $metadata and $version. */
  readonly json: string;
  /** JSON of the $metadata that came with it; null when none did. */
  readonly metadata: string | null;
  /** The $version that came with it; null when none did. */
  readonly version: number | null;
}

export const EMPTY_TWIN_DOCUMENT: TwinDocument = { json: "{}", metadata: null, version: null };

/** Contract 6: control characters, '.', '$', '#' and space. */
// oxlint-disable-next-line no-control-regex
const FORBIDDEN_IN_KEYS = /[\x00-\x1f\x7f-\x9f.$# ]/;
const NUMBER_BYTES = 8;
const BOOLEAN_BYTES = 4;

/** Checks a document and gives its stored form. Throws ArgumentInvalid with the path of what breaks a rule. */
export function readTwinDocument(value: JsonObject, part: TwinPart): TwinDocument {
  if (part === "tags" || !("$metadata" in value || "$version" in value)) {
    return { json: checkedJson(value, part), metadata: null, version: null };
  }
  const { $metadata, $version, ...content } = value;
  return {
    json: checkedJson(content, part),
    metadata: typeof $metadata === "object" && $metadata !== null ? checkedMetadata($metadata) : null,
    version: typeof $version === "number" && Number.isSafeInteger($version) && $version > 0 ? $version : null,
  };
}

function checkedJson(content: JsonObject, part: TwinPart): string {
  new ValueChecker(part).check(content);
  const json = JSON.stringify(content);
  // What is short cannot break a bound on sizes, and what has no escape holds no character that is not allowed.
  if (json.length > UNMEASURED_CHARS_MAX || json.includes("\\u")) new TextChecker(part).check(content);
  return json;
}

/**
 * JSON up to this length keeps every bound on sizes: a character is at most 3 bytes, and a number that counts as 8 takes
 * at least 2 characters with what is around it.
 */
const UNMEASURED_CHARS_MAX = Math.min(
  Math.floor(TWIN_KEY_BYTES_MAX / 3),
  Math.floor(TWIN_VALUE_BYTES_MAX / 3),
  Math.floor(TWIN_TAGS_BYTES_MAX / 4),
  Math.floor(TWIN_PROPERTIES_BYTES_MAX / 4),
);

/** Kept as given: it only has to be text that the database can hold. What is not even that is left out. */
function checkedMetadata(metadata: object): string | null {
  if (depthOf(metadata, METADATA_DEPTH_MAX) > METADATA_DEPTH_MAX) return null;
  const json = JSON.stringify(metadata);
  return json.length <= TWIN_PROPERTIES_BYTES_MAX * 8 && !json.includes("\\u0000") && !/\\ud[89a-f]/i.test(json)
    ? json
    : null;
}

/** One entry for each level of the document, and one for its root. */
const METADATA_DEPTH_MAX = TWIN_DEPTH_MAX + 2;

/** Levels of nesting; counting stops above `max`, since hostile JSON nests deeper than functions can. */
function depthOf(value: unknown, max: number): number {
  if (typeof value !== "object" || value === null || max < 0) return 0;
  return 1 + Math.max(0, ...Object.values(value).map((member) => depthOf(member, max - 1)));
}

/** Checks what every document is checked for: names of members, values, depth. */
class ValueChecker {
  readonly #part: TwinPart;

  constructor(part: TwinPart) {
    this.#part = part;
  }

  check(content: JsonObject): void {
    this.#checkObject(content, this.#part, 1);
  }

  #checkObject(value: JsonObject, path: string, depth: number): void {
    for (const key in value) {
      this.#checkKey(key, path);
      const member = value[key];
      if (typeof member !== "string") this.#checkValue(member, path, key, depth);
    }
  }

  #checkValue(value: unknown, path: string, key: string | number, depth: number): void {
    if (typeof value === "string" || typeof value === "boolean") return;
    if (typeof value === "number") return this.#checkNumber(value, path, key);
    if (value === null || value === undefined) throw broken(path, key, "is null, which a twin does not store");
    if (depth > TWIN_DEPTH_MAX) throw broken(path, key, `lies deeper than ${TWIN_DEPTH_MAX} levels`);
    if (Array.isArray(value)) {
      value.forEach((item, index) => this.#checkValue(item, `${path}.${key}`, index, depth + 1));
    } else {
      this.#checkObject(value as JsonObject, `${path}.${key}`, depth + 1);
    }
  }

  #checkKey(key: string, path: string): void {
    if (key === "") throw broken(path, key, "has an empty name");
    // Reported properties come from devices and are kept as they are: $edgeHub reports its clients as "device/$module".
    if (this.#part !== "properties.reported" && FORBIDDEN_IN_KEYS.test(key)) {
      throw broken(path, key, "has a name with a control character, '.', '$', '#' or a space");
    }
  }

  #checkNumber(value: number, path: string, key: string | number): void {
    if (!Number.isFinite(value) || (Number.isInteger(value) && Math.abs(value) > TWIN_INTEGER_MAX)) {
      throw broken(path, key, "is a number out of range: integers lie within 2^52 of zero");
    }
  }
}

/** Checks sizes and characters; sizes are counted as Azure does: keys and values, no punctuation. */
class TextChecker {
  readonly #part: TwinPart;
  #bytes = 0;

  constructor(part: TwinPart) {
    this.#part = part;
  }

  /** The values have been checked: nothing nests too deep. */
  check(content: JsonObject): void {
    this.#measure(content, this.#part, "");
    const bytesMax = this.#part === "tags" ? TWIN_TAGS_BYTES_MAX : TWIN_PROPERTIES_BYTES_MAX;
    if (this.#bytes > bytesMax) {
      const text = `'${this.#part}' has ${this.#bytes} bytes, at most ${bytesMax} are allowed.`;
      throw new RegistryError("ArgumentInvalid", text);
    }
  }

  #measure(value: unknown, path: string, key: string | number): void {
    if (typeof value === "string") return this.#measureText(value, path, key, TWIN_VALUE_BYTES_MAX);
    if (typeof value !== "object" || value === null) {
      this.#bytes += typeof value === "number" ? NUMBER_BYTES : BOOLEAN_BYTES;
      return;
    }
    const inner = key === "" ? path : `${path}.${key}`;
    if (Array.isArray(value)) return value.forEach((item, index) => this.#measure(item, inner, index));
    for (const [name, member] of Object.entries(value)) {
      this.#measureText(name, inner, name.slice(0, NAME_SHOWN_CHARS_MAX), TWIN_KEY_BYTES_MAX);
      this.#measure(member, inner, name);
    }
  }

  #measureText(text: string, path: string, key: string | number, bytesMax: number): void {
    const bytes = Buffer.byteLength(text);
    this.#bytes += bytes;
    if (bytes > bytesMax) throw broken(path, key, `has a text of ${bytes} bytes, at most ${bytesMax} are allowed`);
    if (text.includes("\0")) throw broken(path, key, "holds the character U+0000");
    if (!text.isWellFormed()) throw broken(path, key, "holds half of a surrogate pair");
  }
}

/** A name that is too long is shown up to here. */
const NAME_SHOWN_CHARS_MAX = 64;

function broken(path: string, key: string | number, problem: string): RegistryError {
  return new RegistryError("ArgumentInvalid", `${JSON.stringify(`${path}.${key}`.toWellFormed())} ${problem}.`);
}

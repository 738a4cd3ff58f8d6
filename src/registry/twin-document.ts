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
  const bytes = new DocumentChecker(part).check(content);
  const bytesMax = part === "tags" ? TWIN_TAGS_BYTES_MAX : TWIN_PROPERTIES_BYTES_MAX;
  if (bytes > bytesMax)
    throw new RegistryError("ArgumentInvalid", `'${part}' has ${bytes} bytes, at most ${bytesMax} are allowed.`);
  return JSON.stringify(content);
}

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

/** Walks a document once; sizes are counted as Azure does: keys and values, no punctuation. */
class DocumentChecker {
  readonly #part: TwinPart;
  #bytes = 0;

  constructor(part: TwinPart) {
    this.#part = part;
  }

  check(content: JsonObject): number {
    this.#checkObject(content, this.#part, 1);
    return this.#bytes;
  }

  #checkObject(value: JsonObject, path: string, depth: number): void {
    for (const key in value) {
      this.#checkKey(key, path);
      const member = value[key];
      if (typeof member === "string") this.#checkString(member, path, key);
      else this.#checkValue(member, path, key, depth);
    }
  }

  #checkValue(value: unknown, path: string, key: string | number, depth: number): void {
    if (typeof value === "string") return this.#checkString(value, path, key);
    if (typeof value === "number") return this.#checkNumber(value, path, key);
    if (typeof value === "boolean") {
      this.#bytes += BOOLEAN_BYTES;
      return;
    }
    if (value === null || value === undefined) throw this.#broken(path, key, "is null, which a twin does not store");
    if (depth > TWIN_DEPTH_MAX) throw this.#broken(path, key, `lies deeper than ${TWIN_DEPTH_MAX} levels`);
    if (Array.isArray(value)) {
      value.forEach((item, index) => this.#checkValue(item, `${path}.${key}`, index, depth + 1));
    } else {
      this.#checkObject(value as JsonObject, `${path}.${key}`, depth + 1);
    }
  }

  #checkKey(key: string, path: string): void {
    const bytes = Buffer.byteLength(key);
    this.#bytes += bytes;
    if (bytes === 0) throw this.#broken(path, key, "has an empty name");
    if (bytes > TWIN_KEY_BYTES_MAX)
      throw this.#broken(
        path,
        `${key.slice(0, 32)}...`,
        `has a name of ${bytes} bytes, at most ${TWIN_KEY_BYTES_MAX} are allowed`,
      );
    // Reported properties come from devices and are kept as they are: $edgeHub reports its clients as "device/$module".
    if (this.#part !== "properties.reported" && FORBIDDEN_IN_KEYS.test(key)) {
      throw this.#broken(path, key, "has a name with a control character, '.', '$', '#' or a space");
    }
    this.#checkText(key, path, key);
  }

  #checkString(value: string, path: string, key: string | number): void {
    const bytes = Buffer.byteLength(value);
    this.#bytes += bytes;
    if (bytes > TWIN_VALUE_BYTES_MAX)
      throw this.#broken(path, key, `has ${bytes} bytes, at most ${TWIN_VALUE_BYTES_MAX} are allowed`);
    this.#checkText(value, path, key);
  }

  #checkText(text: string, path: string, key: string | number): void {
    if (text.includes("\0")) throw this.#broken(path, key, "holds the character U+0000");
    if (!text.isWellFormed()) throw this.#broken(path, key, "holds half of a surrogate pair");
  }

  #checkNumber(value: number, path: string, key: string | number): void {
    this.#bytes += NUMBER_BYTES;
    if (!Number.isFinite(value) || (Number.isInteger(value) && Math.abs(value) > TWIN_INTEGER_MAX)) {
      throw this.#broken(path, key, "is a number out of range: integers lie within 2^52 of zero");
    }
  }

  #broken(path: string, key: string | number, problem: string): RegistryError {
    return new RegistryError("ArgumentInvalid", `${JSON.stringify(`${path}.${key}`.toWellFormed())} ${problem}.`);
  }
}

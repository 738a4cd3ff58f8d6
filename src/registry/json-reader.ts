/**
 * Reading members of JSON objects the way the real service's serializer does: names in any case, null like absent,
 * unknown members ignored. A member of the wrong type is a DeserializationError that names its path.
 */
import { RegistryError } from "../errors.ts";

export type JsonObject = Record<string, unknown>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Names of members, as `readMembers` takes them. */
export interface MemberNames<N extends string> {
  readonly exact: ReadonlySet<string>;
  readonly byLowerCase: ReadonlyMap<string, N>;
}

export function memberNames<N extends string>(...names: readonly N[]): MemberNames<N> {
  return { exact: new Set(names), byLowerCase: new Map(names.map((name) => [name.toLowerCase(), name])) };
}

/**
 * The object's members under their names, whatever case they came in; others are not to be looked at. An object whose
 * names are all spelt as they should be, the common case by far, is given back itself.
 */
export function readMembers<N extends string>(
  value: JsonObject,
  names: MemberNames<N>,
): Readonly<Partial<Record<N, unknown>>> {
  for (const key in value) if (!names.exact.has(key)) return renameMembers(value, names.byLowerCase);
  return value as Partial<Record<N, unknown>>;
}

function renameMembers<N extends string>(
  value: JsonObject,
  byLowerCase: ReadonlyMap<string, N>,
): Partial<Record<N, unknown>> {
  const members: Partial<Record<N, unknown>> = {};
  for (const key in value) {
    const name = byLowerCase.get(key.toLowerCase());
    // The last spelling wins, and where that is null the member is absent.
    if (name !== undefined) members[name] = value[key];
  }
  return members;
}

export function readString(value: unknown, path: string): string | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== "string") throw wrongType(value, path, "a string");
  return value;
}

export function readBoolean(value: unknown, path: string): boolean | null {
  if (value === undefined || value === null) return null;
  if (typeof value !== "boolean") throw wrongType(value, path, "true or false");
  return value;
}

export function readObject(value: unknown, path: string): JsonObject | null {
  if (value === undefined || value === null) return null;
  if (!isJsonObject(value)) throw wrongType(value, path, "an object");
  return value;
}

export function readStrings(value: unknown, path: string): readonly string[] | null {
  if (value === undefined || value === null) return null;
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string"))
    throw wrongType(value, path, "an array of strings");
  return value;
}

/** Reads one of the words, in any case; gives it as it is spelt here. */
export function readWord<W extends string>(value: unknown, path: string, words: readonly W[]): W | null {
  const text = readString(value, path);
  if (text === null) return null;
  const word =
    words.find((known) => known === text) ?? words.find((known) => known.toLowerCase() === text.toLowerCase());
  if (word !== undefined) return word;
  throw new RegistryError(
    "DeserializationError",
    `'${path}' should be one of ${words.join(", ")}, it is ${shownWord(text)}.`,
  );
}

/** Below the 22 characters of the shortest symmetric key: what stands where a word should may be one. */
const SHOWN_WORD_CHARS_MAX = 20;

/** A word that is not one of those expected, for a text that others read. */
export function shownWord(text: string): string {
  return text.length <= SHOWN_WORD_CHARS_MAX ? JSON.stringify(text) : `a text of ${text.length} characters`;
}

/** The value itself stays out of the text: it may be a key. */
function wrongType(value: unknown, path: string, expected: string): RegistryError {
  const actual = Array.isArray(value)
    ? "an array"
    : value === null
      ? "null"
      : `a ${typeof value}`.replace("a object", "an object");
  return new RegistryError("DeserializationError", `'${path}' should be ${expected}, it is ${actual}.`);
}

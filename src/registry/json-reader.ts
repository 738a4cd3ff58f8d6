/**
 * Reading members of JSON objects the way the real service's serializer does: names in any case, null like absent,
 * unknown members ignored. A member of the wrong type is a DeserializationError that names its path.
 */
import { RegistryError } from "../errors.ts";

export type JsonObject = Record<string, unknown>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The object with its members under the names that `names` lists, whatever case they came in; the rest is dropped.
 * Keys of `names` are lower case, values the names to use.
 */
export function readMembers<N extends string>(
  value: JsonObject,
  names: ReadonlyMap<string, N>,
): Partial<Record<N, unknown>> {
  const members: Partial<Record<N, unknown>> = {};
  for (const key in value) {
    const name = names.get(key) ?? names.get(key.toLowerCase());
    // The last spelling wins, and where that is null the member is absent.
    if (name !== undefined) members[name] = value[key] ?? undefined;
  }
  return members;
}

/** The map that `readMembers` takes: each name as it is spelt, and in lower case. */
export function memberNames<N extends string>(...names: readonly N[]): ReadonlyMap<string, N> {
  return new Map(names.flatMap((name) => [[name.toLowerCase(), name] as const, [name, name] as const]));
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
  if (word === undefined)
    throw new RegistryError(
      "DeserializationError",
      `'${path}' should be one of ${words.join(", ")}, it is ${JSON.stringify(text)}.`,
    );
  return word;
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

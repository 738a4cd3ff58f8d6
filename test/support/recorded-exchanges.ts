/** The recorded exchanges with a real hub, and how an answer is held to one. */
import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { Json } from "./api-client.ts";

export interface Recorded {
  readonly req: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly status: number;
  readonly resHeaders?: Readonly<Record<string, string>> | string;
  readonly resBody?: Json;
  readonly note?: string;
}

const FILE = new URL("../conformance/recorded-wire-samples.json", import.meta.url);
const { entries } = JSON.parse(readFileSync(FILE, "utf8")) as { entries: readonly Recorded[] };

/** The nth exchange (from 0) of the request line. */
export function recorded(request: string, nth = 0): Recorded {
  const found = entries.filter((entry) => entry.req === request)[nth];
  if (found === undefined) throw new Error(`there is no recorded exchange "${request}" number ${nth}`);
  return found;
}

/** Every string of a recorded answer is of the first of these forms that it fits; the answer's must be of the same. */
const FORMS: readonly (readonly [name: string, pattern: RegExp])[] = [
  ["null time without Z", /^0001-01-01T00:00:00$/],
  ["null time", /^0001-01-01T00:00:00Z$/],
  // Up to 7 digits of the second, the last of which is not 0.
  ["time", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{0,6}[1-9])?Z$/],
  ["guid", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/],
  ["ticks", /^\d{18}$/],
  ["key", /^([A-Za-z0-9+/]{43}=|<.*>)$/],
  ["etag of a decimal counter", /^(MQ==|N[A-Za-z0-9]{7,15}=*|[MNO][A-Za-z0-9]{3,15}=*)$/],
];

/** Members whose value is the caller's. */
const GIVEN = new Set(["deviceId", "moduleId", "outputBlobContainerUri", "inputBlobContainerUri"]);

export interface Differences {
  /** Members of ours beside the recorded ones (contract 2 and 16). */
  readonly added?: readonly string[];
  /** Members whose place differs between recordings. */
  readonly anywhere?: readonly string[];
}

/** Same members, in the same order, of the same formats. */
export function expectLikeRecorded(
  actual: Json,
  expected: Json,
  { added = [], anywhere = [] }: Differences = {},
): void {
  const names = (object: Json, ignored: readonly string[]) =>
    Object.keys(object).filter((name) => !ignored.includes(name));
  expect(names(actual, [...added, ...anywhere])).toEqual(names(expected, anywhere));
  for (const name of names(expected, [])) {
    expect(actual, name).toHaveProperty([name]);
    if (!GIVEN.has(name)) expectLikeValue(actual[name], expected[name], name);
  }
}

function expectLikeValue(actual: unknown, expected: unknown, name: string): void {
  if (typeof expected === "string") expect(formOf(actual), `${name}: ${String(actual)}`).toBe(formOf(expected));
  else if (typeof expected === "object" && expected !== null && !Array.isArray(expected))
    expectLikeRecorded(actual as Json, expected as Json);
  else expect(actual, name).toEqual(expected);
}

/** A word that is of no form stands for itself. */
function formOf(text: unknown): string {
  if (typeof text !== "string") return `not a string: ${JSON.stringify(text)}`;
  return FORMS.find(([, pattern]) => pattern.test(text))?.[0] ?? text;
}

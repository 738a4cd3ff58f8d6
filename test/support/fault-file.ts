/** A devices.txt of realistic size and trouble, and what importing it must come to: what fault tests compare with. */
import { expect } from "vitest";
import { generateDevices } from "../../scripts/generate-devices.ts";
import type { Database } from "../../src/db/pool.ts";
import { readLineErrors } from "../../src/jobs/line-errors.ts";
import { Dice } from "./dice.ts";
import { exportHub } from "./import-file.ts";
import {
  exportLines,
  maskLine,
  type ReferenceError,
  referenceImport,
  type ReferenceRegistry,
  stringsIn,
} from "./reference-registry.ts";

/**
 * Lines of scripts/generate-devices.ts among which about one in eight is trouble: malformed, of an unknown mode, of an
 * identity seen before (created again, updated, deleted), of one that is not there, blank, or without keys.
 */
export function faultFile(seed: number, identities: number): Buffer {
  const dice = new Dice(seed);
  const lines: string[] = [];
  for (const chunk of generateDevices({ identities, seed })) {
    for (const line of chunk.split("\n").slice(0, -1)) {
      lines.push(line);
      if (dice.oneIn(8)) lines.push(troubleAfter(dice, lines));
    }
  }
  return Buffer.from(lines.map((line) => `${line}\r\n`).join(""));
}

/** Numbered, so that no two failed lines look alike. */
function troubleAfter(dice: Dice, lines: readonly string[]): string {
  const number = lines.length + 1;
  const earlier = () => JSON.parse(pickLine(dice, lines)) as Record<string, unknown>;
  switch (dice.below(9)) {
    case 0:
      return `{"id":"malformed-${number}",`;
    case 1:
      return JSON.stringify({ id: `mode-${number}`, importMode: "replace" });
    case 2:
      return JSON.stringify({ ...earlier(), importMode: "create" });
    case 3:
      return JSON.stringify({ ...earlier(), importMode: "createOrUpdate", tags: { seen: number } });
    case 4:
      return JSON.stringify({ ...earlier(), importMode: "update", statusReason: `line ${number}` });
    case 5:
      return JSON.stringify({ id: earlier()["id"], importMode: "delete" });
    case 6:
      return JSON.stringify({ id: `missing-${number}`, importMode: "update" });
    case 7:
      return JSON.stringify({ id: `keyless-${number}` });
    default:
      return "";
  }
}

/** Any line before, or one of the file's beginning: batches far apart meet in the same identities. */
function pickLine(dice: Dice, lines: readonly string[]): string {
  for (;;) {
    const line = dice.oneIn(2) ? dice.pick(lines) : dice.pick(lines.slice(0, 100));
    if (line.includes('"authentication"')) return line;
  }
}

/** What the plain line-by-line reference makes of files that are imported one after the other. */
export class Expected {
  readonly #registry: ReferenceRegistry = new Map();
  readonly #given = new Set<string>();

  /** The counts and the errors of this file's own. */
  apply(file: Buffer): ReturnType<typeof referenceImport> {
    for (const text of stringsIn(file)) this.#given.add(text);
    return referenceImport(this.#registry, file);
  }

  /** Lines of an export, ETags and generated keys masked. */
  get lines(): string[] {
    return exportLines(this.#registry, { maskEtags: true });
  }

  mask(lines: readonly string[]): string[] {
    return lines.map((line) => maskLine(line, this.#given));
  }

  async expectRegistry(database: Database, hubId: number, label: string): Promise<void> {
    expectSameLines(this.mask(await exportHub(database, hubId)), this.lines, `${label}: registry`);
  }
}

type Counts = Omit<ReturnType<typeof referenceImport>, "errors">;

/** The names are those of the job's columns and of the API's statistics alike. */
export function expectCounts(actual: object, { ...expected }: Counts & { errors?: unknown }, label: string): void {
  delete expected.errors;
  expect(actual, `${label}: counts`).toMatchObject(expected);
}

/** Each failed line once, in order, in the database and in importErrors.log alike. */
export async function expectErrors(
  database: Database,
  jobId: string,
  log: Buffer | null,
  expected: readonly ReferenceError[],
  label: string,
): Promise<void> {
  const stored = await readLineErrors(database, jobId, 0, expected.length + 10_000);
  const positions = (errors: readonly { lineNumber: number; byteOffset: number }[]) =>
    errors.map(({ lineNumber, byteOffset }) => `line ${lineNumber} at ${byteOffset}`);
  expectSameLines(positions(stored), positions(expected), `${label}: stored errors`);
  if (log === null) throw new Error(`${label}: there is no importErrors.log`);
  expectSameLines(readLog(log), expected.map(loggedError), `${label}: importErrors.log`);
}

function readLog(log: Buffer): string[] {
  const text = log.toString();
  expect(text === "" || text.endsWith("\r\n"), "importErrors.log ends with its last line").toBe(true);
  return text
    .split("\r\n")
    .slice(0, -1)
    .map((line) => {
      const { deviceId, moduleId, errorCode, errorStatus } = JSON.parse(line) as Record<string, string>;
      return [errorCode, deviceId, moduleId, comparableStatus(Number(errorCode), errorStatus!)].join(" ");
    });
}

function loggedError({ code, deviceId, moduleId, status }: ReferenceError): string {
  return [code, deviceId, moduleId, comparableStatus(code, status)].join(" ");
}

/** Texts are compared where the contract gives them. */
function comparableStatus(code: number, status: string): string {
  if (code === 400_012) return status.slice(0, 31);
  return code === 404_001 ? status : "";
}

/** A whole diff of many thousand lines says less than the first difference, and takes minutes. */
export function expectSameLines(actual: readonly string[], expected: readonly string[], label: string): void {
  const length = Math.max(actual.length, expected.length);
  for (let index = 0; index < length; index++) {
    if (actual[index] === expected[index]) continue;
    const where = `${label}: ${actual.length} lines, ${expected.length} expected, the first difference at ${index}`;
    expect(actual[index], where).toBe(expected[index]);
  }
}

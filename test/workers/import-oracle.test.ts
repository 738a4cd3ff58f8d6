/**
 * Invariant 3: the result of an import is what applying its lines one by one, in file order, would give, in any batch
 * size. Random files against the plain reference.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHub } from "../../src/hubs/hubs.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { exportHub, importFile, TEST_BOX } from "../support/import-file.ts";
import { randomImportFile } from "../support/random-import-file.ts";
import {
  exportLines,
  maskLine,
  referenceImport,
  type ReferenceRegistry,
  stringsIn,
} from "../support/reference-registry.ts";

const SEEDS = Number(process.env["ORACLE_SEEDS"] ?? 12);
const FIRST_SEED = Number(process.env["ORACLE_SEED"] ?? 1);
const BATCH_SIZES = [1, 7, 5_000];
const CHUNK_BYTES = [1 << 22, 1_000, 3_001];

let test_database: TestDatabase;
beforeAll(async () => {
  test_database = await openTestDatabase();
});
afterAll(() => test_database[Symbol.asyncDispose]());

describe.each(Array.from({ length: SEEDS }, (_, index) => FIRST_SEED + index))("seed %i", (seed) => {
  test.each(BATCH_SIZES)("batches of %i", async (batchLinesMax) => {
    const { database } = test_database;
    const hub = await createHub(database, TEST_BOX, `hub-${seed}-${batchLinesMax}`, []);
    const registry: ReferenceRegistry = new Map();
    const given = new Set<string>();
    // The second file meets what the first one left.
    for (const [index, lines] of [300, 200].entries()) {
      const file = randomImportFile(seed * 100 + index, { lines, ids: 12 });
      for (const text of stringsIn(file)) given.add(text);
      const expected = referenceImport(registry, file);
      const actual = await importFile(database, hub, file, batchLinesMax, CHUNK_BYTES[seed % CHUNK_BYTES.length]!);
      expect(comparable(actual), `file ${index} of seed ${seed}`).toEqual(comparable(expected));
      const lineTexts = await exportHub(database, hub.hubId);
      expect(
        lineTexts.map((line) => maskLine(line, given)),
        `registry after file ${index} of seed ${seed}`,
      ).toEqual(exportLines(registry, { maskEtags: true }));
    }
  });
});

interface Result {
  readonly errors: readonly {
    lineNumber: number;
    byteOffset: number;
    deviceId?: string | null | undefined;
    moduleId?: string | null | undefined;
    code: number;
    status: string;
  }[];
}

/** Texts are compared where the contract gives them. */
function comparable<T extends Result>({ errors, ...counts }: T): unknown {
  const shown = (id: string | null | undefined) => (id ?? null)?.replaceAll("\0", "\ufffd") ?? null;
  return {
    ...counts,
    errors: errors.map((error) => ({
      lineNumber: error.lineNumber,
      byteOffset: error.byteOffset,
      deviceId: shown(error.deviceId),
      moduleId: shown(error.moduleId),
      code: error.code,
      prefix: error.code === 400012 ? error.status.slice(0, 31) : error.code === 404001 ? error.status : "",
    })),
  };
}

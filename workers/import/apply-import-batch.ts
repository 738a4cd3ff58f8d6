/** One batch of an import: its identities, its errors, its counts and the cursor, in one transaction. */
import { type Database, withTransaction } from "../../src/db/pool.ts";
import { ERROR_NUMBERS, RegistryError } from "../../src/errors.ts";
import { checkpoint, type Hold } from "../../src/jobs/hold-job.ts";
import type { JobCounters } from "../../src/jobs/job.ts";
import { insertLineErrors, type LineError } from "../../src/jobs/line-errors.ts";
import { applyBatch, type BatchResult } from "../../src/registry/apply-batch.ts";
import type { Effect } from "../../src/registry/apply-operation.ts";
import type { ImportBatch } from "./import-batch.ts";

const COUNTER_OF: Readonly<Record<Effect, keyof JobCounters>> = {
  created: "created",
  updated: "updated",
  deleted: "deleted",
  twinUpdated: "twinsUpdated",
};

/** Share of creations from which on the next batch is taken to be new as well. */
const MOSTLY_NEW = 0.9;

/**
 * Applies and commits the batch. Returns whether the next one should be tried as if its identities were new. Throws
 * FenceLost; nothing is applied then.
 */
export async function applyImportBatch(
  database: Database,
  hub: { hubId: number; name: string },
  hold: Hold,
  batch: ImportBatch,
  assumeNew: boolean,
): Promise<boolean> {
  return withTransaction(database, async (connection) => {
    const result = await applyBatch(connection, hub, batch.operations, { assumeNew, keepsEdgeScope: true });
    const { added, errors } = collectOutcomes(batch, result);
    await insertLineErrors(connection, hold.jobId, errors);
    await checkpoint(connection, hold, { byteOffset: batch.nextOffset, added });
    return result.assumedNew || added.created >= MOSTLY_NEW * batch.operations.length;
  });
}

/** Made anew for each try of the transaction: the batch itself stays as it is. */
function collectOutcomes(batch: ImportBatch, { outcomes }: BatchResult): { added: JobCounters; errors: LineError[] } {
  const added = { ...batch.counters };
  const errors = [...batch.errors];
  outcomes.forEach((outcome, index) => {
    if (!(outcome instanceof RegistryError)) {
      added[COUNTER_OF[outcome]]++;
      return;
    }
    added.failed++;
    const { deviceId, moduleId } = batch.operations[index]!;
    errors.push({
      ...batch.positions[index]!,
      deviceId,
      moduleId: moduleId || null,
      code: ERROR_NUMBERS[outcome.code],
      status: outcome.message,
    });
  });
  return { added, errors };
}

/** Imports a file straight through the worker's own steps, without a queue, a container or a worker process. */
import { randomUUID } from "node:crypto";
import pgCopyStreams from "pg-copy-streams";
import { type Database, withConnection } from "../../src/db/pool.ts";
import { claimJob } from "../../src/jobs/hold-job.ts";
import { type LineError, readLineErrors } from "../../src/jobs/line-errors.ts";
import type { JobCounters } from "../../src/jobs/job.ts";
import { createJob, getJob } from "../../src/jobs/submit-job.ts";
import { exportStatement } from "../../src/registry/export-query.ts";
import { SecretBox } from "../../src/secret-box.ts";
import { applyLines } from "../../workers/import/run-import.ts";

export const TEST_BOX = new SecretBox(Buffer.alloc(32, 7));

export interface Hub {
  readonly hubId: number;
  readonly name: string;
}

export interface FileResult extends JobCounters {
  readonly errors: readonly LineError[];
}

/** `chunkBytes`: the pieces that the file comes in. */
export async function importFile(
  database: Database,
  hub: Hub,
  file: Buffer,
  batchLinesMax: number,
  chunkBytes: number,
): Promise<FileResult> {
  const parameters = {
    inputBlobName: "devices.txt",
    outputBlobName: "importErrors.log",
    excludeKeysInExport: false,
    outputBlobContainer: "none",
  };
  const created = await createJob(database, TEST_BOX, {
    hubId: hub.hubId,
    type: "import",
    parameters,
    secrets: { outputBlobContainerUri: "none" },
    input: { etag: "e", bytes: file.length },
  });
  const job = await claimJob(database, TEST_BOX, created.jobId, randomUUID());
  if (job === null) throw new Error("the job could not be claimed");
  await applyLines(
    { database, hub, signal: new AbortController().signal, batchLinesMax },
    job,
    piecesOf(file, chunkBytes),
  );
  const {
    lines,
    created: createdCount,
    updated,
    deleted,
    twinsUpdated,
    failed,
    skipped,
  } = await getJob(database, hub.hubId, job.jobId);
  const errors = await readLineErrors(database, job.jobId, 0, 1_000_000);
  await database.query("update jobs set status = 'completed' where job_id = $1", [job.jobId]);
  return { lines, created: createdCount, updated, deleted, twinsUpdated, failed, skipped, errors };
}

async function* piecesOf(file: Buffer, bytes: number): AsyncGenerator<Buffer> {
  for (let start = 0; start < file.length; start += bytes) yield file.subarray(start, start + bytes);
}

/** The lines of an export, without terminators. */
export async function exportHub(database: Database, hubId: number): Promise<string[]> {
  return withConnection(database, async (connection) => {
    const chunks: Buffer[] = [];
    for await (const chunk of connection.query(pgCopyStreams.to(exportStatement(hubId, false))))
      chunks.push(chunk as Buffer);
    return Buffer.concat(chunks).toString().split("\n").slice(0, -1);
  });
}

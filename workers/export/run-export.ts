/** An export: one snapshot of the registry, as the lines of one blob. */
import pgCopyStreams from "pg-copy-streams";
import { type Connection, withConnection } from "../../src/db/pool.ts";
import { reportExportProgress } from "../../src/jobs/hold-job.ts";
import type { ClaimedJob } from "../../src/jobs/job.ts";
import { HEARTBEAT_MS } from "../../src/limits.ts";
import { exportStatement } from "../../src/registry/export-query.ts";
import type { JobContext } from "../run-job.ts";
import { assembleBlocks, type Progress } from "./assemble-blocks.ts";

export async function runExport(context: JobContext, job: ClaimedJob): Promise<void> {
  const { database, hub, signal } = context;
  const output = context.openContainer(job.secrets.outputBlobContainerUri);
  const linesTotal = await countIdentities(context);
  const progress: Progress = { lines: 0, bytes: 0 };
  const report = () => reportExportProgress(database, job, progress.lines, progress.bytes, linesTotal);
  await report();
  using _ = context.every(HEARTBEAT_MS / 3, report);
  const write = async (connection: Connection) => {
    const rows = openRows(connection, exportStatement(hub.hubId, job.parameters.excludeKeysInExport));
    await output.writeBlob(job.parameters.outputBlobName, assembleBlocks(rows, progress), {
      signal,
      beforeCommit: report,
    });
  };
  await withConnection(database, write, { keepOnError: false });
}

/** For the progress alone: the snapshot of the export itself may hold a few more or fewer. */
async function countIdentities({ database, hub }: JobContext): Promise<number> {
  const { rows } = await database.query<{ count: number }>("select count(*) from identities where hub_id = $1", [
    hub.hubId,
  ]);
  return rows[0]!.count;
}

/** A single statement sees a single snapshot. */
function openRows(connection: Connection, statement: string): AsyncIterable<Buffer> {
  return connection.query(pgCopyStreams.to(statement, { highWaterMark: 1024 * 1024 }));
}

/** Failed lines of an import: written with their batch, read when importErrors.log is made. */
import { COPY_CSV_OPTIONS, COPY_DELIMITER, copyIn, copyText } from "../db/copy-in.ts";
import type { Connection, Database } from "../db/pool.ts";

export interface LineError {
  /** From 1. */
  readonly lineNumber: number;
  /** Of the line's first byte in the blob. */
  readonly byteOffset: number;
  readonly deviceId: string | null;
  readonly moduleId: string | null;
  readonly code: number;
  readonly status: string;
}

/** Part of a batch's transaction. */
export async function insertLineErrors(
  connection: Connection,
  jobId: string,
  errors: readonly LineError[],
): Promise<void> {
  if (errors.length === 0) return;
  const sql = `copy job_line_errors (job_id, line_number, byte_offset, device_id, module_id, code, status) from stdin with (${COPY_CSV_OPTIONS})`;
  await copyIn(connection, sql, renderRows(jobId, errors));
}

const ROWS_PER_CHUNK = 256;

function* renderRows(jobId: string, errors: readonly LineError[]): Generator<Buffer> {
  for (let start = 0; start < errors.length; start += ROWS_PER_CHUNK) {
    const rows = errors
      .slice(start, start + ROWS_PER_CHUNK)
      .map((error) =>
        [
          jobId,
          error.lineNumber,
          error.byteOffset,
          copyText(error.deviceId),
          copyText(error.moduleId),
          error.code,
          copyText(error.status),
        ].join(COPY_DELIMITER),
      );
    yield Buffer.from(`${rows.join("\n")}\n`);
  }
}

const ERRORS_PER_READ = 1_000;

/** The lines of importErrors.log (contract 4.3), in the order of the input, some at a time. */
export async function* readErrorLog(database: Database, jobId: string): AsyncGenerator<Buffer> {
  let after = 0;
  for (;;) {
    const errors = await readLineErrors(database, jobId, after, ERRORS_PER_READ);
    if (errors.length === 0) return;
    yield Buffer.from(errors.map((error) => `${renderLogLine(error)}\r\n`).join(""));
    after = errors.at(-1)!.lineNumber;
  }
}

/** In the order of lines, of those behind `after`. */
export async function readLineErrors(
  database: Database,
  jobId: string,
  after: number,
  limit: number,
): Promise<readonly LineError[]> {
  const { rows } = await database.query<LineError>(
    `select line_number as "lineNumber", byte_offset as "byteOffset", device_id as "deviceId", module_id as "moduleId", code, status
       from job_line_errors where job_id = $1 and line_number > $2 order by line_number limit $3`,
    [jobId, after, limit],
  );
  return rows;
}

/** Members that are null are left out; the code is a number (contract 4.3). */
function renderLogLine({ deviceId, moduleId, code, status }: LineError): string {
  return JSON.stringify({
    ...(deviceId === null ? {} : { deviceId }),
    ...(moduleId === null ? {} : { moduleId }),
    errorCode: code,
    errorStatus: status,
  });
}

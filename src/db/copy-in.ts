/**
 * COPY ... FROM STDIN. Own code rather than pg-copy-streams: a batch is COPYed straight into its table and is expected
 * to fail now and then (an identity that exists already), after which the connection must be usable at once.
 */
import type pg from "pg";
import type { Connection } from "./pool.ts";

/** What `pg` calls on a query that it did not make itself (`Client.query` takes anything with `submit`). */
interface CopyInQuery extends pg.Submittable {
  handleCopyInResponse(connection: pg.Connection): void;
  handleError(error: Error): void;
  handleCommandComplete(): void;
  handleReadyForQuery(): void;
}

/** The parts of pg's Connection that its types leave out. */
interface CopyConnection {
  readonly stream: NodeJS.WriteStream;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
  sendCopyFail(reason: string): void;
}

/**
 * Runs `sql` and feeds it the chunks, each made only when the socket has taken the last one. Rejects with PostgreSQL's
 * error, or with the error that `chunks` threw (the COPY is then undone by the server).
 */
export function copyIn(connection: Connection, sql: string, chunks: Iterable<Buffer>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let failed = false;
  const fail = (error: Error) => {
    failed = true;
    reject(error);
  };
  const query: CopyInQuery = {
    submit: (wire) => (wire as unknown as { query(text: string): void }).query(sql),
    handleCopyInResponse: (wire) => feed(wire as unknown as CopyConnection, chunks, () => failed, fail),
    handleError: fail,
    handleCommandComplete: () => {},
    handleReadyForQuery: () => resolve(),
  };
  connection.query(query);
  return promise;
}

function feed(
  wire: CopyConnection,
  chunks: Iterable<Buffer>,
  hasFailed: () => boolean,
  fail: (error: Error) => void,
): void {
  const iterator = chunks[Symbol.iterator]();
  const next = () => {
    try {
      while (!hasFailed()) {
        if (wire.stream.writableNeedDrain) return void wire.stream.once("drain", next);
        const { done, value } = iterator.next();
        if (done === true) return wire.endCopyFrom();
        wire.sendCopyFromChunk(value);
      }
      iterator.return?.();
    } catch (error) {
      wire.sendCopyFail("the rows could not be made");
      fail(error as Error);
    }
  };
  next();
}

/** Quote, delimiter and null of the CSV that rows are sent in: JSON text never holds these control characters. */
export const COPY_CSV_OPTIONS = String.raw`format csv, quote e'\x01', delimiter e'\x02', null '\N'`;
export const COPY_DELIMITER = "\x02";
export const COPY_NULL = "\\N";

/** A text that may hold anything but U+0000, as a field of such a row. */
export function copyText(value: string | null): string {
  if (value === null) return COPY_NULL;
  // oxlint-disable-next-line no-control-regex
  return /[\x01\x02\r\n]|^\\N$/.test(value) ? `\x01${value.replaceAll("\x01", "\x01\x01")}\x01` : value;
}

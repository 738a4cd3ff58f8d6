/** Connections to PostgreSQL and the one way in which transactions are run. */
import pg from "pg";
import type { Logger } from "../log.ts";

export type Database = pg.Pool;
export type Connection = pg.PoolClient;

type TypeOid = (typeof pg.types.builtins)[keyof typeof pg.types.builtins];

/** Deadlock and serialisation failure: the transaction was undone whole and may simply be run again. */
const RETRYABLE_SQLSTATES = new Set(["40001", "40P01"]);
const TRANSACTION_TRIES_MAX = 5;
const CONNECT_TIMEOUT_MS = 10_000;

/**
 * Opens a pool. `int8` comes back as a number: every counter here stays below 2^53, except generation ids, which
 * queries cast to text.
 */
export function openPool(connection: pg.PoolConfig, connectionsMax: number, log: Logger): Database {
  const pool = new pg.Pool({
    application_name: "hubferry",
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    ...connection,
    max: connectionsMax,
    types: { getTypeParser: parserOf as typeof pg.types.getTypeParser },
  });
  // A connection that breaks while it idles is replaced by the pool; unheard, the event would end the process.
  pool.on("error", (error) => {
    if (!pool.ending) log.warn({ err: error.message }, "an idle database connection broke");
  });
  return pool;
}

/** As pg itself parses values, but for `int8`. */
function parserOf(oid: TypeOid, format?: "text"): unknown {
  return oid === pg.types.builtins.INT8 ? Number : pg.types.getTypeParser(oid, format);
}

/**
 * Runs `work` on a connection of its own. A connection that a failure may have left in an unknown state is thrown away;
 * PostgreSQL's own errors leave it in a known one, unless `work` says otherwise (a COPY that is not read to its end).
 */
export async function withConnection<T>(
  database: Database,
  work: (connection: Connection) => Promise<T>,
  { keepOnError = true } = {},
): Promise<T> {
  const connection = await database.connect();
  let broken = false;
  // While it is checked out nobody else listens; the query under way fails with the same error.
  const onError = () => (broken = true);
  connection.on("error", onError);
  try {
    return await work(connection);
  } catch (error) {
    broken ||= !keepOnError || !leavesConnectionUsable(error);
    throw error;
  } finally {
    connection.off("error", onError);
    connection.release(broken);
  }
}

/**
 * Runs `work` in a transaction (read committed): committed when it returns, undone when it throws. Run again, up to 5
 * times, when PostgreSQL undid it because of a deadlock; `work` must therefore have no effect outside the database.
 */
export async function withTransaction<T>(database: Database, work: (connection: Connection) => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await withConnection(database, (connection) => runTransaction(connection, work));
    } catch (error) {
      if (tries >= TRANSACTION_TRIES_MAX || !RETRYABLE_SQLSTATES.has(sqlStateOf(error))) throw error;
    }
  }
}

/** An error of a statement; a FATAL one is PostgreSQL's last word on the connection. */
function leavesConnectionUsable(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.severity !== "FATAL" && error.severity !== "PANIC";
}

async function runTransaction<T>(connection: Connection, work: (connection: Connection) => Promise<T>): Promise<T> {
  await connection.query("begin");
  try {
    const result = await work(connection);
    await connection.query("commit");
    return result;
  } catch (error) {
    // Where the connection is gone so is the transaction, and what broke it is the error to show.
    await connection.query("rollback").catch(() => {});
    throw error;
  }
}

/** The five-character SQLSTATE of a PostgreSQL error, or "" for anything else. */
export function sqlStateOf(error: unknown): string {
  return error instanceof pg.DatabaseError ? (error.code ?? "") : "";
}

/**
 * The session by which a process counts as a user of the embedded server. Every user holds one advisory lock, shared;
 * who gets that lock exclusively is the last one, and stops the server. Sessions end with their process, so nobody who
 * was killed is counted.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { messageOf } from "../errors.ts";
import { POSTGRES_NAME } from "./cluster.ts";
import { sqlStateOf } from "./pool.ts";
import { findPostmaster, isPostmasterReady, type PostgresServer } from "./postmaster.ts";
import { checkSocketDirectory, POSTGRES_PORT } from "./socket-directory.ts";

/** Fits `pg.PoolConfig`. */
export interface EmbeddedConnection {
  /** The socket's directory. */
  readonly host: string;
  readonly port: number;
  readonly user: typeof POSTGRES_NAME;
  readonly database: typeof POSTGRES_NAME;
  /** Said aloud, as PGSSLMODE in the environment would otherwise ask a Unix socket for TLS. */
  readonly ssl: false;
}

/** Advisory lock keys of the database `hubferry`; "hubf" in the upper half keeps them away from other people's. */
export const SERVER_USERS_LOCK = 0x68756266_0001;
export const SERVE_LOCK = 0x68756266_0002;

const CONNECT_MS_MAX = 10_000;
/** The backend of a process that was killed notices within milliseconds; until then its locks are held. */
const LOCK_WAIT_MS = 1_000;
const LAST_USER_WAIT_MS = 100;
const POLL_MS = 50;

/** No server listens (yet, or any more), or it is starting up or shutting down. */
const PASSING_CODES = new Set(["ENOENT", "ECONNREFUSED", "ECONNRESET", "EPIPE", "EAGAIN"]);
const PASSING_STATES = new Set(["57P01", "57P02", "57P03"]);
/** Of pg itself, which gives no code. */
const PASSING_TEXTS = /^(Connection terminated|Client has encountered a connection error|timeout expired)/;

export function connectionOf(server: PostgresServer): EmbeddedConnection {
  return { host: server.socketDir, port: POSTGRES_PORT, user: POSTGRES_NAME, database: POSTGRES_NAME, ssl: false };
}

/** Opens a session that counts as a user; null when no server takes connections at this moment. */
export async function tryEnterServer(server: PostgresServer): Promise<Client | null> {
  checkSocketDirectory(server.socketDir, server.runAs);
  const session = new Client({
    ...connectionOf(server),
    application_name: "hubferry (user of the embedded server)",
    connectionTimeoutMillis: CONNECT_MS_MAX,
  });
  session.on("error", () => {}); // shows at the next query; unheard, the event would end the process
  try {
    await session.connect();
    await session.query("select pg_advisory_lock_shared($1)", [SERVER_USERS_LOCK]);
    // Who waited here for the last user's lock gets it while the server goes down, if that user's session is cut first.
    if (isPostmasterReady(server.clusterDir)) return session;
    await closeSession(session);
    return null;
  } catch (error) {
    await closeSession(session);
    if (isPassing(error)) return null;
    throw new Error(`the embedded PostgreSQL does not let this process in: ${messageOf(error)}`, { cause: error });
  }
}

/** A killed postmaster's sessions answer for some moments more. */
export async function isSessionAlive(server: PostgresServer, session: Client): Promise<boolean> {
  if (findPostmaster(server.clusterDir) === null) return false;
  return session.query("select 1").then(
    () => true,
    () => false,
  );
}

/** Takes a session lock. False when somebody else holds it. */
export async function tryLock(session: Client, key: number, waitMs = LOCK_WAIT_MS): Promise<boolean> {
  for (const deadline = Date.now() + waitMs; ; await sleep(POLL_MS)) {
    const { rows } = await session.query<{ taken: boolean }>("select pg_try_advisory_lock($1) as taken", [key]);
    if (rows[0]?.taken === true) return true;
    if (Date.now() >= deadline) return false;
  }
}

export async function unlock(session: Client, key: number): Promise<void> {
  await session.query("select pg_advisory_unlock($1)", [key]);
}

/** Stops counting as a user. True: this was the last one, and nobody enters until the session is closed. */
export async function leaveServer(session: Client): Promise<boolean> {
  await session.query("select pg_advisory_unlock_all()");
  return tryLock(session, SERVER_USERS_LOCK, LAST_USER_WAIT_MS);
}

export async function closeSession(session: Client): Promise<void> {
  await session.end().catch(() => {}); // broken already
}

function isPassing(error: unknown): boolean {
  const { code = "" } = error as NodeJS.ErrnoException;
  return PASSING_CODES.has(code) || PASSING_STATES.has(sqlStateOf(error)) || PASSING_TEXTS.test(messageOf(error));
}

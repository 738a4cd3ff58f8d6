/**
 * The embedded PostgreSQL: a server process of its own under `<dataDir>/postgres`, shared by every hubferry process on
 * that data directory. The first one starts it, the last one stops it; one that was orphaned is taken over as it is.
 */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Client } from "pg";
import type { Logger } from "../log.ts";
import { createClusterUnlessThere } from "./cluster.ts";
import { findPostgresPrograms } from "./postgres-programs.ts";
import { findPostmaster, START_MS_MAX, startPostmaster, stopPostmaster, type PostgresServer } from "./postmaster.ts";
import { chooseRunAs, createDataDir } from "./run-as.ts";
import {
  closeSession,
  connectionOf,
  isSessionAlive,
  leaveServer,
  SERVE_LOCK,
  tryEnterServer,
  tryLock,
  unlock,
  type EmbeddedConnection,
} from "./server-session.ts";
import { socketDirectoryOf } from "./socket-directory.ts";
import { acquireStartLock } from "./start-lock.ts";

const RETRY_MS = 50;

/**
 * Opens the embedded PostgreSQL of a data directory: makes it, starts it, or attaches to the one that runs. Dispose it
 * after the pools on it: the last user's dispose stops the server. Throws when it cannot run here, with the way out, or
 * does not come up, with the end of its log; then nothing runs.
 */
export async function openEmbeddedPostgres(dataDir: string, log: Logger): Promise<EmbeddedPostgres> {
  const server = await describeServer(dataDir, log);
  return new EmbeddedPostgres(server, await enterServer(server));
}

/**
 * Makes this process the one `hubferry serve` of the data directory, until the result is disposed or the process ends.
 * Throws when another one is.
 */
export async function acquireServeLock(postgres: EmbeddedPostgres): Promise<AsyncDisposable> {
  return postgres.acquireLock(SERVE_LOCK, `another hubferry serve runs on data directory ${postgres.dataDir}`);
}

/** Somebody else holds the lock. */
export class LockTaken extends Error {}

export class EmbeddedPostgres implements AsyncDisposable {
  readonly #server: PostgresServer;
  /** Locks to be taken again after a restart, by key, with the text for when somebody else was faster. */
  readonly #locks = new Map<number, string>();
  #session: Client | null;
  #turn: Promise<unknown> = Promise.resolve();

  /** For `openEmbeddedPostgres`: the session is one that has entered the server. */
  constructor(server: PostgresServer, session: Client) {
    this.#server = server;
    this.#session = session;
  }

  /** Absolute, without symbolic links. */
  get dataDir(): string {
    return this.#server.dataDir;
  }

  get connection(): EmbeddedConnection {
    return connectionOf(this.#server);
  }

  /**
   * Brings the server back when it died, with this process as its user and with its locks. True when it had to. For a
   * watchdog: cheap while all is well. Throws when the server does not come back or another process took a lock
   * meanwhile; the next call tries again. Does nothing after dispose.
   */
  async ensureRunning(): Promise<boolean> {
    return this.#inTurn(async () => {
      if (this.#session === null || (await isSessionAlive(this.#server, this.#session))) return false;
      this.#server.log.warn("the embedded PostgreSQL broke off: bringing it back");
      await closeSession(this.#session);
      this.#session = await enterWithLocks(this.#server, this.#locks);
      return true;
    });
  }

  /** Takes an advisory lock for as long as this is open; throws `takenText` when it is held. */
  async acquireLock(key: number, takenText: string): Promise<AsyncDisposable> {
    return this.#inTurn(async () => {
      if (this.#session === null) throw new Error("the embedded PostgreSQL is closed");
      if (this.#locks.has(key)) throw new LockTaken(takenText); // one session may take a lock twice
      await lockOrThrow(this.#session, key, takenText);
      this.#locks.set(key, takenText);
      return { [Symbol.asyncDispose]: () => this.#releaseLock(key) };
    });
  }

  /** For a process that ends at once: cuts the server, which recovers at its next start. Waits for nothing. */
  stopAtOnce(): void {
    const postmaster = findPostmaster(this.#server.clusterDir);
    if (postmaster !== null) process.kill(postmaster, "SIGQUIT");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#session === null) return;
      const session = this.#session;
      this.#session = null;
      await leave(this.#server, session);
    });
  }

  async #releaseLock(key: number): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#locks.delete(key) || this.#session === null) return;
      await unlock(this.#session, key).catch(() => {}); // a session that broke holds no lock
    });
  }

  /** One after the other: the session changes under `ensureRunning`. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }
}

async function describeServer(dataDir: string, log: Logger): Promise<PostgresServer> {
  const programs = await findPostgresPrograms();
  const directory = createDataDir(dataDir);
  const clusterDir = join(directory, "postgres");
  const runAs = chooseRunAs(directory, clusterDir, programs);
  return { dataDir: directory, clusterDir, socketDir: socketDirectoryOf(directory), programs, runAs, log };
}

/** Retries while a server comes up or goes down, whoever does it, and starts one when there is none. */
async function enterServer(server: PostgresServer): Promise<Client> {
  for (const deadline = Date.now() + START_MS_MAX; ; await sleep(RETRY_MS)) {
    const session = await tryEnterServer(server);
    if (session !== null) return session;
    if (Date.now() > deadline)
      throw new Error(
        `the embedded PostgreSQL of ${server.dataDir} runs but takes no connections: see postgres.log there`,
      );
    await startUnlessRunning(server, deadline);
  }
}

/** On failure the session is closed, so that the next try finds it broken and takes all locks again. */
async function enterWithLocks(server: PostgresServer, locks: ReadonlyMap<number, string>): Promise<Client> {
  const session = await enterServer(server);
  try {
    for (const [key, takenText] of locks) await lockOrThrow(session, key, takenText);
    return session;
  } catch (error) {
    await closeSession(session);
    throw error;
  }
}

async function startUnlessRunning(server: PostgresServer, deadline: number): Promise<void> {
  using _lock = await acquireStartLock(server.dataDir, deadline);
  if (findPostmaster(server.clusterDir) !== null) return;
  await createClusterUnlessThere(server);
  const postmaster = await startPostmaster(server);
  server.log.info({ postmaster }, "started the embedded PostgreSQL");
}

async function lockOrThrow(session: Client, key: number, takenText: string): Promise<void> {
  if (!(await tryLock(session, key))) throw new LockTaken(takenText);
}

/** Stops the server unless others use it. A session that broke says nothing of the others, so another one is opened. */
async function leave(server: PostgresServer, session: Client): Promise<void> {
  for (let current: Client | null = session; current !== null; current = await reenterServer(server)) {
    if (await tryLeave(server, current)) return;
  }
}

/** False when the session is broken. */
async function tryLeave(server: PostgresServer, session: Client): Promise<boolean> {
  try {
    if (!(await isSessionAlive(server, session))) return false;
    if (!(await leaveServer(session))) return true;
    await stopPostmaster(server);
    server.log.info("stopped the embedded PostgreSQL");
    return true;
  } catch (error) {
    if (await isSessionAlive(server, session)) throw error;
    return false;
  } finally {
    await closeSession(session);
  }
}

/** Null when there is no server any more. */
async function reenterServer(server: PostgresServer): Promise<Client | null> {
  for (; findPostmaster(server.clusterDir) !== null; await sleep(RETRY_MS)) {
    const session = await tryEnterServer(server);
    if (session !== null) return session;
  }
  return null;
}

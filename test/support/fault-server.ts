/** `hubferry serve` on a data directory of its own, made to be killed and started again. */
import type { Registry } from "azure-iothub";
import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type Database, openPool } from "../../src/db/pool.ts";
import { POSTGRES_PORT, socketDirectoryOf } from "../../src/db/socket-directory.ts";
import { createHub, getConnectionString, type Hub } from "../../src/hubs/hubs.ts";
import { openLog } from "../../src/log.ts";
import { getSecretKeyOfDataDir, SecretBox } from "../../src/secret-box.ts";
import { openTestDatabase } from "./database.ts";
import { call, type Hubferry, type JobBody, startHubferry } from "./hubferry.ts";
import { startRedis } from "./redis.ts";
import { type StorageProxy, startStorageProxy } from "./storage-proxy.ts";
import type { Container } from "./storage.ts";

export const BACKENDS = ["postgres", "redis"] as const;
export type Backend = (typeof BACKENDS)[number];

export interface FaultServerOptions {
  readonly backend: Backend;
  /** Instead of a Redis of the test's own. */
  readonly redisUrl?: string;
  /** Azurite's host with its port. */
  readonly storage: string;
  /** On the tests' PostgreSQL, by DATABASE_URL, instead of the embedded one. */
  readonly external?: boolean;
  readonly args?: readonly string[];
}

/** Columns of a job's row that fault tests look at. */
export interface JobRow {
  readonly status: string;
  readonly attempt: number;
  readonly attemptsWithoutProgress: number;
  readonly byteOffset: number;
  readonly bytesTotal: number | null;
  readonly lines: number;
  readonly failureReason: string | null;
  readonly secretsSealed: Buffer | null;
  readonly workerId: string | null;
}

const HUB_MS_MAX = 30_000;
const POLL_MS = 10;

/** What a server is made of; `stack` closes it all. */
interface Parts {
  readonly dataDir: string;
  readonly database: Database;
  readonly proxy: StorageProxy;
  readonly isExternal: boolean;
  readonly start: () => Promise<Hubferry>;
  readonly stack: AsyncDisposableStack;
}

export class FaultServer implements AsyncDisposable {
  /** The test's own connections. They break when PostgreSQL does and come back. */
  readonly database: Database;
  readonly dataDir: string;
  /** Before storage; jobs may use either. */
  readonly proxy: StorageProxy;
  /** On a PostgreSQL that is not its own. */
  readonly isExternal: boolean;
  readonly #parts: Parts;
  #server: Hubferry;

  private constructor(parts: Parts, server: Hubferry) {
    this.database = parts.database;
    this.dataDir = parts.dataDir;
    this.proxy = parts.proxy;
    this.isExternal = parts.isExternal;
    this.#parts = parts;
    this.#server = server;
  }

  static async start(options: FaultServerOptions): Promise<FaultServer> {
    const { backend, storage, external = false, args = [] } = options;
    await using stack = new AsyncDisposableStack();
    const dataDir = await realpath(await mkdtemp(join(tmpdir(), "hubferry-fault-")));
    stack.defer(() => rm(dataDir, { recursive: true, force: true }));
    const proxy = stack.use(await startStorageProxy(storage));
    const testDatabase = external ? stack.use(await openTestDatabase()) : null;
    const database = testDatabase?.database ?? openEmbedded(dataDir, stack);
    const redisUrl = backend === "postgres" ? "" : (options.redisUrl ?? stack.use(await startRedis()).url);
    const env = { REDIS_URL: redisUrl, DATABASE_URL: testDatabase?.url.replace("@/", "@localhost/") ?? "" };
    const storageHosts = `${storage},${proxy.host}`;
    const start = () => startHubferry({ dataDir, storageHosts, args, env });
    const server = await start();
    return new FaultServer({ dataDir, database, proxy, isExternal: external, start, stack: stack.move() }, server);
  }

  get process(): Hubferry {
    return this.#server;
  }

  get workerPid(): number {
    const pid = this.#server.workerPids().at(-1);
    if (pid === undefined) throw new Error(`no worker has started:\n${this.#server.output()}`);
    return pid;
  }

  /** Starts the server again, once the one before has ended. */
  async restart(): Promise<void> {
    await this.#server.exited;
    this.#server = await this.#parts.start();
  }

  /** Makes a hub and waits until the server serves it. */
  async createHub(name: string): Promise<FaultHub> {
    const box = new SecretBox(getSecretKeyOfDataDir(this.dataDir));
    const hub = await createHub(this.database, box, name, []);
    const connectionString = await getConnectionString(this.database, box, name, "iothubowner");
    const client = () => this.#server.registry(connectionString);
    for (const deadline = Date.now() + HUB_MS_MAX; ; await sleep(POLL_MS)) {
      try {
        await call((callback) => client().listJobs(callback as never));
        return new FaultHub(hub, client);
      } catch (error) {
        if (Date.now() > deadline) throw error;
      }
    }
  }

  async #findRow(jobId: string): Promise<JobRow> {
    const { rows } = await this.database.query<JobRow>(
      `select status, attempt, attempts_without_progress as "attemptsWithoutProgress", byte_offset as "byteOffset",
              bytes_total as "bytesTotal", lines, failure_reason as "failureReason",
              secrets_sealed as "secretsSealed", worker_id as "workerId"
         from jobs where job_id = $1`,
      [jobId],
    );
    return rows[0]!;
  }

  /** Waits for the row to be as wanted, however often the database is away meanwhile. */
  async waitForRow(jobId: string, is: (row: JobRow) => boolean, msMax = 180_000): Promise<JobRow> {
    let seen: unknown = "nothing";
    for (const deadline = Date.now() + msMax; Date.now() < deadline; await sleep(POLL_MS)) {
      try {
        const row = await this.#findRow(jobId);
        if (is(row)) return row;
        seen = { ...row, secretsSealed: row.secretsSealed !== null };
      } catch (error) {
        seen = error;
      }
    }
    throw new Error(
      `job ${jobId} is not as wanted in time: ${JSON.stringify(seen)}\n${this.#server.output().slice(-8_000)}`,
    );
  }

  async waitForEnd(jobId: string): Promise<JobRow> {
    return this.waitForRow(jobId, hasEnded);
  }

  /** The exit code, or the signal. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.#server.signal("SIGTERM");
    return this.#server.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await this.#parts.stack.disposeAsync();
  }
}

/** Connects once the server is up, and again whenever it was away. */
function openEmbedded(dataDir: string, stack: AsyncDisposableStack): Database {
  const connection = { host: socketDirectoryOf(dataDir), port: POSTGRES_PORT, user: "hubferry", database: "hubferry" };
  const database = openPool({ ...connection, ssl: false }, 4, openLog("silent"));
  stack.defer(() => database.end());
  return database;
}

export function hasEnded({ status }: { status: string }): boolean {
  return ["completed", "failed", "cancelled"].includes(status);
}

/** A hub as its users see it: through the SDK, at whichever server runs at the moment. */
export class FaultHub {
  readonly hubId: number;
  readonly name: string;
  readonly #client: () => Registry;

  constructor({ hubId, name }: Hub, client: () => Registry) {
    this.hubId = hubId;
    this.name = name;
    this.#client = client;
  }

  /** Uploads the file and imports it. Returns the job's id. */
  async import(container: Container, file: Buffer, host?: string): Promise<string> {
    await container.upload("devices.txt", file);
    const uri = await container.uri(host);
    const job = await call<JobBody>((callback) => this.#client().importDevicesFromBlob(uri, uri, callback as never));
    return job.jobId;
  }

  async export(container: Container, host?: string): Promise<string> {
    const uri = await container.uri(host);
    const job = await call<JobBody>((callback) => this.#client().exportDevicesToBlob(uri, false, callback as never));
    return job.jobId;
  }

  async getJob(jobId: string): Promise<JobBody> {
    return call<JobBody>((callback) => this.#client().getJob(jobId, callback as never));
  }

  async cancel(jobId: string): Promise<void> {
    await call((callback) => this.#client().cancelJob(jobId, callback as never));
  }
}

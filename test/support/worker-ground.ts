/** What a worker in the test's own process stands on: a database, a queue and storage of its own. */
import { setTimeout as sleep } from "node:timers/promises";
import { checkInputBlob } from "../../src/blob/preflight.ts";
import { openContainer } from "../../src/blob/container.ts";
import { parseStorageHosts } from "../../src/blob/storage-hosts.ts";
import type { Database } from "../../src/db/pool.ts";
import { createHub, type Hub } from "../../src/hubs/hubs.ts";
import type { Job, JobParameters } from "../../src/jobs/job.ts";
import { isTerminal } from "../../src/jobs/job-status.ts";
import { cancelJob, createJob, getJob } from "../../src/jobs/submit-job.ts";
import { openLog } from "../../src/log.ts";
import { type JobQueue, openJobQueue } from "../../src/queue/job-queue.ts";
import { startWorker, type WorkerOptions } from "../../workers/main.ts";
import { openTestDatabase, type TestDatabase } from "./database.ts";
import type { Backend } from "./fault-server.ts";
import { TEST_BOX } from "./import-file.ts";
import { startRedis } from "./redis.ts";
import { Container } from "./storage.ts";
import { type StorageProxy, startStorageProxy } from "./storage-proxy.ts";

const POLL_MS = 5;
const LOG_LEVEL = process.env["FAULT_LOG"] === undefined ? "silent" : "info";

export class WorkerGround implements AsyncDisposable {
  readonly testDatabase: TestDatabase;
  readonly redisUrl: string | null;
  readonly queue: JobQueue;
  /** Before storage; jobs use it. */
  readonly proxy: StorageProxy;
  readonly #storage: string;
  readonly #stack: AsyncDisposableStack;

  private constructor(parts: {
    testDatabase: TestDatabase;
    redisUrl: string | null;
    queue: JobQueue;
    proxy: StorageProxy;
    storage: string;
    stack: AsyncDisposableStack;
  }) {
    this.testDatabase = parts.testDatabase;
    this.redisUrl = parts.redisUrl;
    this.queue = parts.queue;
    this.proxy = parts.proxy;
    this.#storage = parts.storage;
    this.#stack = parts.stack;
  }

  static async open(backend: Backend, storage: string): Promise<WorkerGround> {
    await using stack = new AsyncDisposableStack();
    const testDatabase = stack.use(await openTestDatabase());
    const redisUrl = backend === "redis" ? stack.use(await startRedis()).url : null;
    const queue = stack.use(openJobQueue({ database: testDatabase.database, redisUrl }, openLog("silent")));
    const proxy = stack.use(await startStorageProxy(storage));
    return new WorkerGround({ testDatabase, redisUrl, queue, proxy, storage, stack: stack.move() });
  }

  get database(): Database {
    return this.testDatabase.database;
  }

  /** To be disposed of before the ground is. */
  startWorker(options: Partial<WorkerOptions> = {}): AsyncDisposable {
    return startWorker({
      workerId: "worker",
      database: this.database,
      redisUrl: this.redisUrl,
      box: TEST_BOX,
      storageHosts: parseStorageHosts(`${this.proxy.host},${this.#storage}`),
      jobsMax: 2,
      log: openLog(LOG_LEVEL),
      ...options,
    });
  }

  async createHub(name: string): Promise<Hub> {
    return createHub(this.database, TEST_BOX, name, []);
  }

  async createContainer(): Promise<Container> {
    return Container.create(this.#storage);
  }

  /** `isSent`: a worker is told. */
  async import(hub: Hub, container: Container, file: Buffer, isSent = true): Promise<string> {
    await container.upload("devices.txt", file);
    const uri = await container.uri(this.proxy.host);
    const input = await checkInputBlob(openContainer(uri, parseStorageHosts(this.proxy.host)), "devices.txt");
    const parameters = { ...PARAMETERS, inputBlobName: "devices.txt", outputBlobName: "importErrors.log" };
    const secrets = { inputBlobContainerUri: uri, outputBlobContainerUri: uri };
    return this.#send({ hubId: hub.hubId, type: "import", parameters, secrets, input }, isSent);
  }

  async export(hub: Hub, container: Container): Promise<string> {
    const secrets = { outputBlobContainerUri: await container.uri(this.proxy.host) };
    return this.#send({ hubId: hub.hubId, type: "export", parameters: PARAMETERS, secrets, input: null }, true);
  }

  async #send(job: Parameters<typeof createJob>[2], isSent: boolean): Promise<string> {
    const { jobId } = await createJob(this.database, TEST_BOX, job);
    if (isSent) await this.queue.send(jobId);
    return jobId;
  }

  getJob(hub: Hub, jobId: string): Promise<Job> {
    return getJob(this.database, hub.hubId, jobId);
  }

  cancel(hub: Hub, jobId: string): Promise<void> {
    return cancelJob(this.database, hub.hubId, jobId);
  }

  async waitForJob(hub: Hub, jobId: string, is: (job: Job) => boolean): Promise<Job> {
    for (;;) {
      const job = await this.getJob(hub, jobId);
      if (is(job)) return job;
      if (isTerminal(job.status)) throw new Error(`the job has ended as ${job.status}: ${job.failureReason}`);
      await sleep(POLL_MS);
    }
  }

  waitForEnd(hub: Hub, jobId: string): Promise<Job> {
    return this.waitForJob(hub, jobId, ({ status }) => isTerminal(status));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

const PARAMETERS: JobParameters = {
  outputBlobName: "devices.txt",
  excludeKeysInExport: false,
  outputBlobContainer: "container",
};

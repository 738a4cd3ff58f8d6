/** A worker: takes messages, runs jobs, sweeps. */
import type { StorageHosts } from "../src/blob/storage-hosts.ts";
import type { Database } from "../src/db/pool.ts";
import { messageOf } from "../src/errors.ts";
import { type Logger, withoutSecrets } from "../src/log.ts";
import { openConsumer, openJobQueue, type QueueBackend } from "../src/queue/job-queue.ts";
import type { SecretBox } from "../src/secret-box.ts";
import { runJob, type Worker } from "./run-job.ts";
import { startSweeper } from "./sweeper.ts";

export interface WorkerOptions {
  readonly workerId: string;
  readonly database: Database;
  readonly redisUrl: string | null;
  readonly box: SecretBox;
  readonly storageHosts: StorageHosts;
  /** Jobs at once. */
  readonly jobsMax: number;
  readonly log: Logger;
  readonly batchLinesMax?: number;
}

/**
 * Starts a worker. Disposing of it drains: running batches commit, jobs are handed back, no message is taken any more.
 */
export function startWorker(options: WorkerOptions): AsyncDisposable {
  const { database, redisUrl, log } = options;
  const backend: QueueBackend = { database, redisUrl };
  const drain = new AbortController();
  const queue = openJobQueue(backend, log);
  const worker: Worker = { ...options, queue, draining: drain.signal };
  const handle = async (jobId: string) => {
    try {
      await runJob(worker, jobId);
    } catch (error) {
      log.error(
        { jobId, err: withoutSecrets(messageOf(error)) },
        "a job could not be looked at; the sweep will try again",
      );
    }
  };
  const stack = new AsyncDisposableStack();
  stack.use(queue);
  stack.use(openConsumer(backend, options.jobsMax, handle, log));
  stack.use(startSweeper(database, queue, log));
  stack.defer(() => drain.abort(new Error("the worker is draining")));
  return stack;
}

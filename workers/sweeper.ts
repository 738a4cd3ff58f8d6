/** Sends again what is enqueued, or runs without anybody alive behind it: messages and workers get lost. */
import type { Database } from "../src/db/pool.ts";
import { messageOf } from "../src/errors.ts";
import { findLostJobs } from "../src/jobs/hold-job.ts";
import { SWEEP_INTERVAL_MS } from "../src/limits.ts";
import { type Logger, withoutSecrets } from "../src/log.ts";
import type { JobQueue } from "../src/queue/job-queue.ts";

/** Sweeps at once and then from time to time, until disposed of. */
export function startSweeper(database: Database, queue: JobQueue, log: Logger): AsyncDisposable {
  const stop = new AbortController();
  const running = run(database, queue, log, stop.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
    },
  };
}

async function run(database: Database, queue: JobQueue, log: Logger, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await sweep(database, queue);
    } catch (error) {
      log.warn({ err: withoutSecrets(messageOf(error)) }, "a sweep failed");
    }
    await pause(SWEEP_INTERVAL_MS, signal);
  }
}

async function sweep(database: Database, queue: JobQueue): Promise<void> {
  for (const jobId of await findLostJobs(database)) await queue.send(jobId);
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  return promise.finally(() => clearTimeout(timer));
}

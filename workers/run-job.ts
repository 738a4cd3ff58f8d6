/** One attempt at a job: claimed, kept alive, run, and ended in one of the ways that there are. */
import { type BlobContainer, openContainer } from "../src/blob/container.ts";
import type { StorageHosts } from "../src/blob/storage-hosts.ts";
import type { Database } from "../src/db/pool.ts";
import { messageOf } from "../src/errors.ts";
import { getHubById } from "../src/hubs/hubs.ts";
import {
  claimJob,
  completeJob,
  failJob,
  FenceLost,
  findNextImport,
  handBack,
  heartbeat,
  isHopeless,
  retryLater,
} from "../src/jobs/hold-job.ts";
import type { ClaimedJob } from "../src/jobs/job.ts";
import { HEARTBEAT_MS } from "../src/limits.ts";
import { type Logger, withoutSecrets } from "../src/log.ts";
import type { JobQueue } from "../src/queue/job-queue.ts";
import type { SecretBox } from "../src/secret-box.ts";
import { runExport } from "./export/run-export.ts";
import { runImport } from "./import/run-import.ts";
import { isFinalFailure, JobFailure } from "./job-failure.ts";

/** What a worker process has for all its jobs. */
export interface Worker {
  readonly workerId: string;
  readonly database: Database;
  readonly box: SecretBox;
  readonly queue: JobQueue;
  readonly storageHosts: StorageHosts;
  readonly log: Logger;
  /** Aborted when the process is asked to end: jobs are handed back. */
  readonly draining: AbortSignal;
  /** Lines that one transaction applies; BATCH_LINES_MAX where it is left out. */
  readonly batchLinesMax?: number;
}

/** What the running of one job may use. */
export interface JobContext {
  readonly database: Database;
  readonly hub: { readonly hubId: number; readonly name: string };
  /** Aborted when the worker drains or the job is not ours any more. */
  readonly signal: AbortSignal;
  readonly batchLinesMax: number | undefined;
  openContainer(uri: string): BlobContainer;
  /** Throws FenceLost when the job is not ours any more. */
  readonly checkHold: () => Promise<void>;
  /** Calls `work` again and again until disposed of; a lost fence aborts the job. */
  every(intervalMs: number, work: () => Promise<void>): Disposable;
}

/** Runs the job if it is there to be run. Never throws for what happens to a job. */
export async function runJob(worker: Worker, jobId: string): Promise<void> {
  if (worker.draining.aborted) return;
  const job = await claimJob(worker.database, worker.box, jobId, worker.workerId);
  if (job === null) return;
  const log = worker.log.child({ jobId, attempt: job.attempt });
  log.info({ type: job.type, byteOffset: job.byteOffset }, "job claimed");
  try {
    await attemptJob(worker, job);
    log.info("job completed");
  } catch (error) {
    await endAttempt(worker, job, error, log);
  }
  await wakeNextImport(worker, job);
}

async function attemptJob(worker: Worker, job: ClaimedJob): Promise<void> {
  if (isHopeless(job))
    throw new JobFailure(
      `The worker was lost ${job.attemptsWithoutProgress - 1} times in a row while it ran this job.${job.lastFault === null ? "" : ` The last fault: ${job.lastFault}`}`,
    );
  const lost = new AbortController();
  const signal = AbortSignal.any([worker.draining, lost.signal]);
  const every: JobContext["every"] = (intervalMs, work) =>
    repeat(intervalMs, work, (error) => lost.abort(error), worker.log);
  const checkHold = () => heartbeat(worker.database, job);
  const hub = await getHubById(worker.database, job.hubId);
  const context: JobContext = {
    database: worker.database,
    hub,
    signal,
    batchLinesMax: worker.batchLinesMax,
    openContainer: (uri) => openContainer(uri, worker.storageHosts),
    checkHold,
    every,
  };
  using _ = every(HEARTBEAT_MS, checkHold);
  try {
    await (job.type === "import" ? runImport(context, job) : runExport(context, job));
  } catch (error) {
    // What an abort interrupts fails in many ways: the reason is the abort's.
    throw signal.aborted ? signal.reason : error;
  }
  await completeJob(worker.database, job);
}

/** One call after the other, never two at once. A fault other than a lost fence passes: the lease bears some of them. */
function repeat(
  intervalMs: number,
  work: () => Promise<void>,
  onLost: (error: FenceLost) => void,
  log: Logger,
): Disposable {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  const turn = async () => {
    try {
      await work();
    } catch (error) {
      if (error instanceof FenceLost) return onLost(error);
      log.warn({ err: withoutSecrets(messageOf(error)) }, "a heartbeat failed");
    }
    schedule();
  };
  const schedule = () => {
    if (!isStopped) timer = setTimeout(() => void turn(), intervalMs);
  };
  schedule();
  return {
    [Symbol.dispose]: () => {
      isStopped = true;
      clearTimeout(timer);
    },
  };
}

/** Writes how the attempt ended. Where even that fails, the lease runs out and the sweep finds the job. */
async function endAttempt(worker: Worker, job: ClaimedJob, error: unknown, log: Logger): Promise<void> {
  const reason = withoutSecrets(messageOf(error));
  try {
    if (error instanceof FenceLost) {
      log.info("the job was cancelled or taken over");
    } else if (worker.draining.aborted) {
      await handBack(worker.database, job);
      log.info("job handed back");
    } else if (isFinalFailure(error)) {
      await failJob(worker.database, job, reason);
      log.warn({ reason }, "job failed");
    } else {
      const delayMs = await retryLater(worker.database, job, reason);
      log.warn({ reason, delayMs }, delayMs === null ? "job failed" : "job will be tried again");
    }
  } catch (endError) {
    if (!(endError instanceof FenceLost))
      log.error({ reason, err: withoutSecrets(messageOf(endError)) }, "the end of the attempt could not be written");
  }
}

async function wakeNextImport(worker: Worker, job: ClaimedJob): Promise<void> {
  if (job.type !== "import" || worker.draining.aborted) return;
  try {
    const next = await findNextImport(worker.database, job.hubId);
    if (next !== null && next !== job.jobId) await worker.queue.send(next);
  } catch (error) {
    worker.log.warn({ err: withoutSecrets(messageOf(error)) }, "the next import could not be woken; the sweep will");
  }
}

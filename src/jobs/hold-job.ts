/**
 * The worker's side of the job's row. Each write names the attempt that it belongs to and is void when the job was
 * cancelled or claimed by somebody else in the meantime: that is what a lost fence means, and the only answer to it is
 * to stop.
 */
import { type Connection, type Database, sqlStateOf } from "../db/pool.ts";
import { messageOf } from "../errors.ts";
import { ATTEMPTS_WITHOUT_PROGRESS_MAX, LEASE_MS, RETRY_DELAY_MS, RETRY_DELAY_MS_MAX } from "../limits.ts";
import type { SecretBox } from "../secret-box.ts";
import { type ClaimedJob, type Job, JOB_COLUMNS, type JobCounters, type JobSecrets } from "./job.ts";
import { secretsContext } from "./submit-job.ts";

/** The job is not this worker's any more. */
export class FenceLost extends Error {
  constructor(jobId: string, attempt: number) {
    super(`attempt ${attempt} of job ${jobId} does not hold it any more`);
    this.name = "FenceLost";
  }
}

/** Which attempt of which job a write belongs to. */
export type Hold = Pick<Job, "jobId" | "attempt">;

/** A running job that nobody keeps alive may be claimed; times are the database's, so that clocks need not agree. */
const CLAIMABLE = `
  (status = 'enqueued' and (not_before is null or not_before <= now())
   or status = 'running' and heartbeat_at < now() - interval '${LEASE_MS} milliseconds')`;

/**
 * Imports of a hub run one at a time, in the order of their creation. One that runs already goes on first, even if an
 * earlier one has turned up since (its creation was committed late): the index on running imports would let neither
 * past the other.
 */
const FIRST_OF_ITS_HUB = `
  (type <> 'import' or status = 'running' or not exists (
    select from jobs earlier
     where earlier.hub_id = jobs.hub_id and earlier.type = 'import'
       and earlier.status in ('enqueued', 'running') and earlier.seq < jobs.seq))`;

/** Takes the job for a new attempt; null when there is nothing to take: it has ended, is held, or has to wait. */
export async function claimJob(
  database: Database,
  box: SecretBox,
  jobId: string,
  workerId: string,
): Promise<ClaimedJob | null> {
  const row = await tryClaim(database, jobId, workerId);
  if (row === null) return null;
  const { secretsSealed, ...job } = row;
  try {
    return { ...job, secrets: JSON.parse(box.open(secretsSealed, secretsContext(jobId))) as JobSecrets };
  } catch (error) {
    // The key was changed since the submission: no worker can open them (one with a wrong key does not start).
    await failJob(database, row, `The job's container URIs do not open: ${messageOf(error)}`);
    return null;
  }
}

const UNIQUE_VIOLATION = "23505";

async function tryClaim(database: Database, jobId: string, workerId: string): Promise<ClaimedRow | null> {
  try {
    const { rows } = await database.query<ClaimedRow>(
      `update jobs
          set status = 'running', attempt = attempt + 1, attempts_without_progress = attempts_without_progress + 1,
              worker_id = $2, heartbeat_at = now(), not_before = null,
              -- An import goes on where it stopped, an export begins anew.
              started_at = case when type = 'export' then now() else coalesce(started_at, now()) end
        where job_id = $1 and ${CLAIMABLE} and ${FIRST_OF_ITS_HUB}
        returning ${JOB_COLUMNS}, secrets_sealed as "secretsSealed"`,
      [jobId, workerId],
    );
    return rows[0] ?? null;
  } catch (error) {
    // Another import of the hub was claimed at the same moment: this one waits for it.
    if (sqlStateOf(error) === UNIQUE_VIOLATION) return null;
    throw error;
  }
}

interface ClaimedRow extends Job {
  readonly secretsSealed: Buffer;
}

/** Says that the holder lives. Throws FenceLost. */
export async function heartbeat(database: Database | Connection, hold: Hold): Promise<void> {
  const { rowCount } = await database.query(`update jobs set heartbeat_at = now() where ${HELD}`, [
    hold.jobId,
    hold.attempt,
  ]);
  if (rowCount === 0) throw new FenceLost(hold.jobId, hold.attempt);
}

const HELD = "job_id = $1 and attempt = $2 and status = 'running'";

/** Where an import goes on, and what it has done up to there. */
export interface Checkpoint {
  /** Of the first byte that is not done with. */
  readonly byteOffset: number;
  /** What was added since the last checkpoint. */
  readonly added: Readonly<JobCounters>;
}

/** Part of a batch's transaction: the batch and its checkpoint are there together or not at all. Throws FenceLost. */
export async function checkpoint(connection: Connection, hold: Hold, { byteOffset, added }: Checkpoint): Promise<void> {
  const { rowCount } = await connection.query({
    name: "checkpoint",
    text: `
      update jobs
         set byte_offset = $3, lines = lines + $4, created = created + $5, updated = updated + $6,
             deleted = deleted + $7, twins_updated = twins_updated + $8, failed = failed + $9,
             skipped = skipped + $10, heartbeat_at = now(), attempts_without_progress = 0
       where ${HELD}`,
    values: [
      hold.jobId,
      hold.attempt,
      byteOffset,
      added.lines,
      added.created,
      added.updated,
      added.deleted,
      added.twinsUpdated,
      added.failed,
      added.skipped,
    ],
  });
  if (rowCount === 0) throw new FenceLost(hold.jobId, hold.attempt);
}

/** How far an export is; it begins anew in each attempt, so these are not added up. Throws FenceLost. */
export async function reportExportProgress(
  database: Database,
  hold: Hold,
  lines: number,
  bytes: number,
  linesTotal: number | null,
): Promise<void> {
  const { rowCount } = await database.query(
    `update jobs set lines = $3, byte_offset = $4, lines_total = $5, heartbeat_at = now() where ${HELD}`,
    [hold.jobId, hold.attempt, lines, bytes, linesTotal],
  );
  if (rowCount === 0) throw new FenceLost(hold.jobId, hold.attempt);
}

/** Ends the job as completed and erases its secrets. Throws FenceLost. */
export async function completeJob(database: Database, hold: Hold): Promise<void> {
  await endJob(database, hold, "completed", null);
}

/** Ends the job as failed. The reason is shown to the user: it must not hold a secret. Throws FenceLost. */
export async function failJob(database: Database, hold: Hold, reason: string): Promise<void> {
  await endJob(database, hold, "failed", reason);
}

async function endJob(
  database: Database,
  hold: Hold,
  status: "completed" | "failed",
  reason: string | null,
): Promise<void> {
  const { rowCount } = await database.query(
    `update jobs set status = $3, failure_reason = $4, ended_at = now(), secrets_sealed = null, worker_id = null where ${HELD}`,
    [hold.jobId, hold.attempt, status, reason],
  );
  if (rowCount === 0) throw new FenceLost(hold.jobId, hold.attempt);
}

/** Gives the job back because the worker ends: the attempt is not counted against the job. Throws FenceLost. */
export async function handBack(database: Database, hold: Hold): Promise<void> {
  const { rowCount } = await database.query(
    `update jobs
        set status = 'enqueued', worker_id = null, attempts_without_progress = greatest(attempts_without_progress - 1, 0)
      where ${HELD}`,
    [hold.jobId, hold.attempt],
  );
  if (rowCount === 0) throw new FenceLost(hold.jobId, hold.attempt);
}

/**
 * Gives the job back after a passing fault, to be tried again after a while; a job that made no progress too many
 * times is failed instead. Returns the delay in milliseconds, or null when it was failed. Throws FenceLost.
 */
export async function retryLater(database: Database, job: Job, fault: string): Promise<number | null> {
  if (await hasGivenUp(database, job)) {
    await failJob(
      database,
      job,
      `${ATTEMPTS_WITHOUT_PROGRESS_MAX} attempts in a row got no further. The last one: ${fault}`,
    );
    return null;
  }
  const delayMs = Math.min(RETRY_DELAY_MS * 2 ** Math.max(0, job.attemptsWithoutProgress - 1), RETRY_DELAY_MS_MAX);
  const { rowCount } = await database.query(
    `update jobs
        set status = 'enqueued', worker_id = null, last_fault = $3, not_before = now() + $4 * interval '1 millisecond'
      where ${HELD}`,
    [job.jobId, job.attempt, fault, delayMs],
  );
  if (rowCount === 0) throw new FenceLost(job.jobId, job.attempt);
  return delayMs;
}

/** Progress of this attempt has set the count back, in the row. */
async function hasGivenUp(database: Database, hold: Hold): Promise<boolean> {
  const { rows } = await database.query(`select from jobs where ${HELD} and attempts_without_progress >= $3`, [
    hold.jobId,
    hold.attempt,
    ATTEMPTS_WITHOUT_PROGRESS_MAX,
  ]);
  return rows.length > 0;
}

/** True when the job killed its workers, or cost them the lease, so often that it must not be tried again. */
export function isHopeless(job: Job): boolean {
  return job.attemptsWithoutProgress > ATTEMPTS_WITHOUT_PROGRESS_MAX;
}

/** Jobs that somebody should look at: claimable, and first of their hub. Oldest first. */
export async function findLostJobs(database: Database): Promise<readonly string[]> {
  const { rows } = await database.query<{ jobId: string }>(
    `select job_id as "jobId" from jobs
      where status in ('enqueued', 'running') and ${CLAIMABLE} and ${FIRST_OF_ITS_HUB}
      order by seq`,
  );
  return rows.map((row) => row.jobId);
}

/** The import that waits for the one that has just ended; null for none. */
export async function findNextImport(database: Database, hubId: number): Promise<string | null> {
  const { rows } = await database.query<{ jobId: string }>(
    `select job_id as "jobId" from jobs where hub_id = $1 and type = 'import' and status = 'enqueued' order by seq limit 1`,
    [hubId],
  );
  return rows[0]?.jobId ?? null;
}

/** A worker is known to be dead: its jobs need not wait for their leases to run out. */
export async function releaseJobsOfWorker(database: Database, workerId: string): Promise<void> {
  await database.query("update jobs set heartbeat_at = '-infinity' where worker_id = $1 and status = 'running'", [
    workerId,
  ]);
}

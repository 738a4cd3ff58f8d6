/** Submission, listing and cancellation: the side of the job's row that the API uses. */
import { randomUUID } from "node:crypto";
import type { Database } from "../db/pool.ts";
import { RegistryError } from "../errors.ts";
import { LIST_JOBS_MAX } from "../limits.ts";
import type { SecretBox } from "../secret-box.ts";
import { type Job, JOB_COLUMNS, type JobParameters, type JobSecrets, type JobType } from "./job.ts";

export interface NewJob {
  readonly hubId: number;
  readonly type: JobType;
  readonly parameters: JobParameters;
  readonly secrets: JobSecrets;
  /** Import: the input blob as the pre-flight check found it; the job reads this and no other. */
  readonly input: { readonly etag: string; readonly bytes: number } | null;
}

/** Inserts the job, `enqueued`. It is accepted from here on: somebody only has to be told. */
export async function createJob(database: Database, box: SecretBox, job: NewJob): Promise<Job> {
  const jobId = randomUUID();
  const { rows } = await database.query<Job>(
    `insert into jobs (job_id, hub_id, type, status, parameters, secrets_sealed, input_etag, bytes_total)
     values ($1, $2, $3, 'enqueued', $4, $5, $6, $7)
     returning ${JOB_COLUMNS}`,
    [
      jobId,
      job.hubId,
      job.type,
      job.parameters,
      box.seal(JSON.stringify(job.secrets), secretsContext(jobId)),
      job.input?.etag,
      job.input?.bytes,
    ],
  );
  return rows[0]!;
}

/** What sealed secrets of a job are bound to. */
export function secretsContext(jobId: string): string {
  return `job:${jobId}`;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Throws JobNotFound. */
export async function getJob(database: Database, hubId: number, jobId: string): Promise<Job> {
  if (!UUID.test(jobId)) throw jobNotFound(jobId);
  const { rows } = await database.query<Job>(`select ${JOB_COLUMNS} from jobs where hub_id = $1 and job_id = $2`, [
    hubId,
    jobId,
  ]);
  if (rows[0] === undefined) throw jobNotFound(jobId);
  return rows[0];
}

function jobNotFound(jobId: string): RegistryError {
  return new RegistryError("JobNotFound", `There is no job ${JSON.stringify(jobId.slice(0, 100))}.`);
}

/** Newest first. */
export async function listJobs(database: Database, hubId: number): Promise<readonly Job[]> {
  const { rows } = await database.query<Job>(
    `select ${JOB_COLUMNS} from jobs where hub_id = $1 order by seq desc limit $2`,
    [hubId, LIST_JOBS_MAX],
  );
  return rows;
}

/**
 * Cancels the job at once: what was applied stays, and whoever runs it finds its row taken away at its next write. A
 * job that has ended stays as it ended. Throws JobNotFound.
 */
export async function cancelJob(database: Database, hubId: number, jobId: string): Promise<void> {
  await getJob(database, hubId, jobId);
  await database.query(
    `update jobs set status = 'cancelled', ended_at = now(), secrets_sealed = null, worker_id = null
      where hub_id = $1 and job_id = $2 and status in ('enqueued', 'running')`,
    [hubId, jobId],
  );
}

/** The job's row, as the rest of the program sees it. */
import type { JobStatus } from "./job-status.ts";

export type JobType = "import" | "export";

/** What was asked for, without any secret. */
export interface JobParameters {
  /** Import: the blob to read. */
  readonly inputBlobName?: string;
  /** Export: the blob of identities. Import: the log of errors. */
  readonly outputBlobName: string;
  readonly excludeKeysInExport: boolean;
  /** URIs without their query. */
  readonly inputBlobContainer?: string;
  readonly outputBlobContainer: string;
}

/** Erased when the job ends. */
export interface JobSecrets {
  readonly inputBlobContainerUri?: string;
  readonly outputBlobContainerUri: string;
}

export interface JobCounters {
  lines: number;
  created: number;
  updated: number;
  deleted: number;
  twinsUpdated: number;
  failed: number;
  skipped: number;
}

export const NO_COUNTS: Readonly<JobCounters> = {
  lines: 0,
  created: 0,
  updated: 0,
  deleted: 0,
  twinsUpdated: 0,
  failed: 0,
  skipped: 0,
};

export interface Job extends JobCounters {
  readonly jobId: string;
  readonly hubId: number;
  readonly type: JobType;
  readonly status: JobStatus;
  readonly parameters: JobParameters;
  readonly attempt: number;
  readonly attemptsWithoutProgress: number;
  /** Import: ETag of the input blob as it was first opened. */
  readonly inputEtag: string | null;
  /** Import: bytes of the blob that are done with; the cursor. Export: bytes written. */
  readonly byteOffset: number;
  readonly bytesTotal: number | null;
  /** Export: identities that there were when it began. */
  readonly linesTotal: number | null;
  readonly lastFault: string | null;
  readonly failureReason: string | null;
  readonly createdAt: Date;
  /** Import: when the first attempt began. Export: the last. */
  readonly startedAt: Date | null;
  readonly endedAt: Date | null;
}

/** A job that this worker holds: the attempt is the fence of every write. */
export interface ClaimedJob extends Job {
  readonly secrets: JobSecrets;
}

export const JOB_COLUMNS = `
  job_id as "jobId", hub_id as "hubId", type, status, parameters, attempt,
  attempts_without_progress as "attemptsWithoutProgress", input_etag as "inputEtag", byte_offset as "byteOffset",
  bytes_total as "bytesTotal", lines_total as "linesTotal", lines, created, updated, deleted,
  twins_updated as "twinsUpdated", failed, skipped, last_fault as "lastFault", failure_reason as "failureReason",
  created_at as "createdAt", started_at as "startedAt", ended_at as "endedAt"`;

/** JobProperties as answers show them (contract 2), with statistics beside Azure's own members. */
import type { Job } from "../jobs/job.ts";
import { isTerminal } from "../jobs/job-status.ts";
import type { JobRequest } from "./job-request.ts";

type Body = Readonly<Record<string, unknown>>;

/** The answer to the submission echoes the URIs as they were sent (contract 2). */
export function createdJobBody(job: Job, { secrets, storageAuthenticationType }: JobRequest): Body {
  const body = renderJob(job, secrets);
  return storageAuthenticationType === null ? body : { ...body, storageAuthenticationType };
}

/** Any other answer leaves a SAS out: the container's own URI stays. */
export function jobBody(job: Job): Body {
  return renderJob(job, {
    inputBlobContainerUri: job.parameters.inputBlobContainer,
    outputBlobContainerUri: job.parameters.outputBlobContainer,
  });
}

function renderJob(
  job: Job,
  uris: { inputBlobContainerUri?: string | undefined; outputBlobContainerUri: string },
): Body {
  const { parameters } = job;
  return {
    jobId: job.jobId,
    startTimeUtc: wireTime(job.createdAt),
    ...(job.endedAt === null ? {} : { endTimeUtc: wireTime(job.endedAt) }),
    type: job.type,
    status: job.status,
    progress: progressOf(job),
    ...(uris.inputBlobContainerUri === undefined
      ? {}
      : { inputBlobContainerUri: uris.inputBlobContainerUri, inputBlobName: parameters.inputBlobName }),
    outputBlobContainerUri: uris.outputBlobContainerUri,
    outputBlobName: parameters.outputBlobName,
    excludeKeysInExport: parameters.excludeKeysInExport,
    useSecondaryStorageAsSource: false,
    ...(job.failureReason === null ? {} : { failureReason: job.failureReason }),
    statistics: statisticsOf(job),
  };
}

/** ISO 8601 with trailing zeros of the fraction trimmed (contract 1.0). */
function wireTime(time: Date): string {
  return time.toISOString().replace(/\.?0+Z$/, "Z");
}

/** Percent; 100 only once the job is completed, for a log or a block list is still to be written. */
function progressOf(job: Job): number {
  if (job.status === "completed") return 100;
  return Math.min(99, Math.floor(100 * shareDone(job)));
}

function shareDone({ type, byteOffset, bytesTotal, lines, linesTotal }: Job): number {
  const [done, total] = type === "import" ? [byteOffset, bytesTotal] : [lines, linesTotal];
  return total === null || total === 0 ? 0 : Math.min(1, done / total);
}

function statisticsOf(job: Job): Body {
  const seconds =
    job.startedAt === null ? 0 : Math.max(0, ((job.endedAt ?? new Date()).getTime() - job.startedAt.getTime()) / 1000);
  const share = shareDone(job);
  const isRunning = job.status === "running";
  return {
    lines: job.lines,
    created: job.created,
    updated: job.updated,
    deleted: job.deleted,
    twinsUpdated: job.twinsUpdated,
    failed: job.failed,
    skipped: job.skipped,
    bytes: job.byteOffset,
    bytesTotal: job.type === "export" && isTerminal(job.status) ? job.byteOffset : job.bytesTotal,
    linesPerSecond: seconds > 0 ? Math.round(job.lines / seconds) : 0,
    secondsLeft: isRunning && share > 0 ? Math.ceil((seconds / share) * (1 - share)) : null,
    attempt: job.attempt,
  };
}

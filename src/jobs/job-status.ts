/** States of a job and the ways between them. */

export const JOB_STATUSES = ["enqueued", "running", "completed", "failed", "cancelled"] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

/** `running` back to `enqueued`: its worker handed it back, to end or after a passing fault. */
export const NEXT_STATUSES: Readonly<Record<JobStatus, readonly JobStatus[]>> = {
  enqueued: ["running", "failed", "cancelled"],
  running: ["enqueued", "completed", "failed", "cancelled"],
  completed: [],
  failed: [],
  cancelled: [],
};

export function isTerminal(status: JobStatus): boolean {
  return NEXT_STATUSES[status].length === 0;
}

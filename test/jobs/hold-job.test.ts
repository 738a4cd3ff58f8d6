/** Invariants 2 and 8, at the job's row: who may write it when, and that every way leads to an end. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Database, withTransaction } from "../../src/db/pool.ts";
import { createHub } from "../../src/hubs/hubs.ts";
import {
  checkpoint,
  claimJob,
  completeJob,
  failJob,
  FenceLost,
  findLostJobs,
  findNextImport,
  handBack,
  heartbeat,
  type Hold,
  isHopeless,
  releaseJobsOfWorker,
  reportExportProgress,
  retryLater,
} from "../../src/jobs/hold-job.ts";
import { isTerminal, JOB_STATUSES, type JobStatus, NEXT_STATUSES } from "../../src/jobs/job-status.ts";
import { type ClaimedJob, type JobType, NO_COUNTS } from "../../src/jobs/job.ts";
import { cancelJob, createJob, getJob } from "../../src/jobs/submit-job.ts";
import { ATTEMPTS_WITHOUT_PROGRESS_MAX, LEASE_MS, RETRY_DELAY_MS, RETRY_DELAY_MS_MAX } from "../../src/limits.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";
import { TEST_BOX } from "../support/import-file.ts";

const SAS_URI = "https://account.blob.core.windows.net/container?sig=secret";
const SECRETS = { inputBlobContainerUri: SAS_URI, outputBlobContainerUri: SAS_URI };

let testDatabase: TestDatabase;
let database: Database;
beforeAll(async () => {
  testDatabase = await openTestDatabase();
  ({ database } = testDatabase);
});
afterAll(() => testDatabase[Symbol.asyncDispose]());

let hubId = 0;
let hubs = 0;
beforeEach(async () => {
  await database.query("delete from hubs");
  hubId = (await createHub(database, TEST_BOX, `hub-${hubs++}`, [])).hubId;
});

async function create(type: JobType = "import", hub = hubId, on: Database = database): Promise<string> {
  const job = await createJob(on, TEST_BOX, {
    hubId: hub,
    type,
    parameters: { outputBlobName: "out.txt", excludeKeysInExport: false, outputBlobContainer: "c" },
    secrets: SECRETS,
    input: type === "import" ? { etag: '"e"', bytes: 1_000 } : null,
  });
  return job.jobId;
}

const claim = (jobId: string, workerId = "worker") => claimJob(database, TEST_BOX, jobId, workerId);

async function claimed(jobId: string, workerId?: string): Promise<ClaimedJob> {
  const job = await claim(jobId, workerId);
  if (job === null) throw new Error("the job could not be claimed");
  return job;
}

const added = { ...NO_COUNTS, lines: 5, created: 3, failed: 2 };
const advance = (hold: Hold, byteOffset = 100) =>
  withTransaction(database, (connection) => checkpoint(connection, hold, { byteOffset, added }));

/** As if nobody had been heard of for so long. */
const silence = (jobId: string, ms: number) =>
  database.query("update jobs set heartbeat_at = now() - $2 * interval '1 millisecond' where job_id = $1", [jobId, ms]);

/** As if the wait before the next attempt were over. */
const waitIsOver = (jobId: string) => database.query("update jobs set not_before = now() where job_id = $1", [jobId]);

async function rowOf(jobId: string): Promise<Record<string, unknown>> {
  const { rows } = await database.query<Record<string, unknown>>("select * from jobs where job_id = $1", [jobId]);
  return rows[0]!;
}

/** Every write of a holder. `retryLater` takes a job: its own count of attempts is of no account to the fence. */
const HOLDER_WRITES: Readonly<Record<string, (job: ClaimedJob) => Promise<unknown>>> = {
  heartbeat: (job) => heartbeat(database, job),
  checkpoint: (job) => advance(job),
  "report of an export's progress": (job) => reportExportProgress(database, job, 1, 2, 3),
  completion: (job) => completeJob(database, job),
  failure: (job) => failJob(database, job, "a reason"),
  "hand-back": (job) => handBack(database, job),
  retry: (job) => retryLater(database, job, "a fault"),
};

const writes = Object.entries(HOLDER_WRITES);

describe("the fence", () => {
  test.each(writes)("a stale attempt's %s is void", async (_name, write) => {
    const jobId = await create();
    const stale = await claimed(jobId, "first");
    await silence(jobId, LEASE_MS + 1_000);
    const current = await claimed(jobId, "second");
    expect(current.attempt).toBe(stale.attempt + 1);
    const before = await rowOf(jobId);
    await expect(write(stale)).rejects.toBeInstanceOf(FenceLost);
    expect(await rowOf(jobId)).toEqual(before);
  });

  test.each(writes)("a stale attempt's %s is void after the job was handed back", async (_name, write) => {
    const jobId = await create();
    const stale = await claimed(jobId);
    await handBack(database, stale);
    const before = await rowOf(jobId);
    await expect(write(stale)).rejects.toBeInstanceOf(FenceLost);
    expect(await rowOf(jobId)).toEqual(before);
  });

  test.each(writes)("%s of a job that a cancel ended is void", async (_name, write) => {
    const jobId = await create();
    const job = await claimed(jobId);
    await cancelJob(database, hubId, jobId);
    const before = await rowOf(jobId);
    await expect(write(job)).rejects.toBeInstanceOf(FenceLost);
    expect(await rowOf(jobId)).toEqual(before);
  });

  test.each(writes)("%s of a job that is not there any more is void", async (_name, write) => {
    const jobId = await create();
    const job = await claimed(jobId);
    await database.query("delete from jobs where job_id = $1", [jobId]);
    await expect(write(job)).rejects.toBeInstanceOf(FenceLost);
  });

  test("a lost checkpoint undoes the batch that it belongs to", async () => {
    const jobId = await create();
    const job = await claimed(jobId);
    await cancelJob(database, hubId, jobId);
    const batch = withTransaction(database, async (connection) => {
      await connection.query("update hubs set name = 'changed' where hub_id = $1", [hubId]);
      await checkpoint(connection, job, { byteOffset: 1, added });
    });
    await expect(batch).rejects.toBeInstanceOf(FenceLost);
    const { rows } = await database.query("select from hubs where name = 'changed'");
    expect(rows).toHaveLength(0);
  });

  test("a cancel waits for the checkpoint that is being committed, and then holds", async () => {
    const jobId = await create();
    const job = await claimed(jobId);
    let cancelled: Promise<void> | undefined;
    await withTransaction(database, async (connection) => {
      await checkpoint(connection, job, { byteOffset: 7, added });
      cancelled = cancelJob(database, hubId, jobId);
      await waitForLock();
    });
    await cancelled;
    expect(await getJob(database, hubId, jobId)).toMatchObject({ status: "cancelled", byteOffset: 7, lines: 5 });
    await expect(advance(job)).rejects.toBeInstanceOf(FenceLost);
  });

  test("a claim waits for the checkpoint that is being committed, and then finds the job held", async () => {
    const jobId = await create();
    const job = await claimed(jobId);
    await silence(jobId, LEASE_MS + 1_000);
    let second: Promise<ClaimedJob | null> | undefined;
    await withTransaction(database, async (connection) => {
      await checkpoint(connection, job, { byteOffset: 7, added });
      second = claim(jobId, "second");
      await waitForLock();
    });
    expect(await second).toBeNull();
    await completeJob(database, job);
  });

  test("two claims at once: one of them gets the job", async () => {
    for (let round = 0; round < 20; round++) {
      const jobId = await create("export");
      const claims = await Promise.all(["a", "b", "c", "d"].map((workerId) => claim(jobId, workerId)));
      expect(claims.filter((job) => job !== null)).toHaveLength(1);
    }
  });
});

/** Until some statement waits for another transaction. */
async function waitForLock(): Promise<void> {
  for (;;) {
    const { rows } = await database.query(
      "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
    );
    if (rows.length > 0) return;
  }
}

// ---- states ----

/** Everything that is ever done to a job's row, with the hold of its present attempt. */
const OPERATIONS: Readonly<Record<string, (job: ClaimedJob) => Promise<unknown>>> = {
  ...HOLDER_WRITES,
  "last retry": async (job) => {
    await database.query("update jobs set attempts_without_progress = 10 where job_id = $1 and status = 'running'", [
      job.jobId,
    ]);
    return retryLater(database, job, "a fault");
  },
  claim: (job) => claim(job.jobId),
  cancel: (job) => cancelJob(database, hubId, job.jobId),
  release: () => releaseJobsOfWorker(database, "worker"),
  "claim after a release": async (job) => {
    await releaseJobsOfWorker(database, "worker");
    return claim(job.jobId, "another");
  },
};

/** The ways into each state. */
const BRING_INTO: Readonly<Record<JobStatus, (job: ClaimedJob) => Promise<void>>> = {
  enqueued: (job) => handBack(database, job),
  running: async () => {},
  completed: (job) => completeJob(database, job),
  failed: (job) => failJob(database, job, "a reason"),
  cancelled: (job) => cancelJob(database, hubId, job.jobId),
};

const cases = JOB_STATUSES.flatMap((status) => Object.keys(OPERATIONS).map((name) => [status, name] as const));

describe("the states", () => {
  test.each(cases)("%s, then %s: only a way that the table has", async (status, name) => {
    const jobId = await create();
    const job = await claimed(jobId);
    await BRING_INTO[status](job);
    const before = await rowOf(jobId);
    try {
      await OPERATIONS[name]!(job);
    } catch (error) {
      if (!(error instanceof FenceLost)) throw error;
    }
    const after = await rowOf(jobId);
    expect([status, ...NEXT_STATUSES[status]]).toContain(after["status"]);
    if (isTerminal(status)) expect(after).toEqual(before);
    checkRow(after);
  });

  test("every state but enqueued and running is an end", () => {
    expect(JOB_STATUSES.filter((status) => !isTerminal(status))).toEqual(["enqueued", "running"]);
  });
});

/** What holds in each state. */
function checkRow(row: Record<string, unknown>): void {
  const ended = isTerminal(row["status"] as JobStatus);
  expect(row["secrets_sealed"] === null, "secrets are erased with the end, and not before").toBe(ended);
  expect(row["ended_at"] !== null, "the end has its time").toBe(ended);
  expect(row["worker_id"] !== null, "a job that runs has its worker").toBe(row["status"] === "running");
  expect(row["failure_reason"] !== null, "a failure has its reason").toBe(row["status"] === "failed");
}

describe("the end erases the secrets", () => {
  const ends: Record<string, (job: ClaimedJob) => Promise<unknown>> = {
    completed: (job) => completeJob(database, job),
    failed: (job) => failJob(database, job, "a reason"),
    "failed for too many attempts": OPERATIONS["last retry"]!,
    "cancelled while it runs": (job) => cancelJob(database, hubId, job.jobId),
    "cancelled while it waits": async (job) => {
      await handBack(database, job);
      await cancelJob(database, hubId, job.jobId);
    },
  };
  test.each(Object.entries(ends))("%s", async (_name, end) => {
    const jobId = await create();
    const job = await claimed(jobId);
    expect(job.secrets).toEqual(SECRETS);
    const sealed = await rowOf(jobId);
    expect(JSON.stringify(sealed) + String(sealed["secrets_sealed"])).not.toContain("sig=");
    await end(job);
    checkRow(await rowOf(jobId));
    expect((await rowOf(jobId))["secrets_sealed"]).toBeNull();
  });
});

describe("claims", () => {
  test("count the attempt, and name the worker", async () => {
    const jobId = await create();
    const job = await claimed(jobId, "worker-7");
    expect(job).toMatchObject({ status: "running", attempt: 1, attemptsWithoutProgress: 1 });
    expect(await rowOf(jobId)).toMatchObject({ worker_id: "worker-7" });
    expect(await claim(jobId)).toBeNull();
  });

  test("imports of a hub run one at a time, in the order of their creation", async () => {
    const ids = [await create(), await create(), await create()];
    for (const [index, jobId] of ids.entries()) {
      for (const later of ids.slice(index + 1)) expect(await claim(later), "not before its turn").toBeNull();
      expect(await findLostJobs(database)).toEqual([jobId]);
      const job = await claimed(jobId);
      for (const later of ids.slice(index + 1)) expect(await claim(later), "not beside another").toBeNull();
      expect(await findLostJobs(database)).toEqual([]);
      await [completeJob, failJob, cancel][index % 3]!(database, job, "a reason");
      expect(await findNextImport(database, hubId)).toBe(ids[index + 1] ?? null);
    }
  });

  test("an import that waits for its next attempt keeps its turn", async () => {
    const [first, second] = [await create(), await create()];
    await retryLater(database, await claimed(first), "a fault");
    expect(await claim(first)).toBeNull();
    expect(await claim(second)).toBeNull();
    expect(await findLostJobs(database)).toEqual([]);
    await waitIsOver(first);
    expect(await findLostJobs(database)).toEqual([first]);
    await claimed(first);
  });

  test("exports run beside an import and beside each other", async () => {
    const ids = [await create(), await create("export"), await create("export")];
    expect(await findLostJobs(database)).toEqual(ids);
    for (const jobId of ids) await claimed(jobId);
    await create("export");
    expect(await findLostJobs(database)).toHaveLength(1);
  });

  test("imports of different hubs do not wait for each other", async () => {
    const other = await createHub(database, TEST_BOX, `other-${hubs++}`, []);
    await claimed(await create());
    await claimed(await create("import", other.hubId));
  });

  test("an import whose creation commits late does not run beside the one after it", async () => {
    const { early, late } = await createLate();
    const running = await claimed(late, "dead");
    await commitLate();
    expect(await claim(early)).toBeNull();
    // Whichever goes on first: the two must not wait for each other for ever.
    await releaseJobsOfWorker(database, "dead");
    const again = [await claim(early), await claim(late)].filter((job) => job !== null);
    expect(again).toHaveLength(1);
    await completeJob(database, again[0]!);
    const rest = again[0]!.jobId === late ? early : late;
    expect(await findNextImport(database, hubId)).toBe(rest === early ? early : null);
    await completeJob(database, await claimed(rest));
    await expect(heartbeat(database, running)).rejects.toBeInstanceOf(FenceLost);
  });

  test("an import goes on where it stopped, an export begins anew", async () => {
    const jobId = await create();
    await advance(await claimed(jobId), 321);
    await releaseJobsOfWorker(database, "worker");
    const again = await claimed(jobId);
    expect(again).toMatchObject({ attempt: 2, byteOffset: 321, lines: 5, created: 3, failed: 2 });
    const exportId = await create("export");
    const first = await claimed(exportId);
    await reportExportProgress(database, first, 10, 1_000, 20);
    await handBack(database, first);
    const second = await claimed(exportId);
    await reportExportProgress(database, second, 1, 100, 20);
    expect(await getJob(database, hubId, exportId)).toMatchObject({ lines: 1, byteOffset: 100 });
    expect(second.startedAt!.getTime()).toBeGreaterThan(first.startedAt!.getTime());
  });
});

let commitLate: () => Promise<void>;

/** Two imports, the first of which is not committed before `commitLate`. */
async function createLate(): Promise<{ early: string; late: string }> {
  const connection = await database.connect();
  await connection.query("begin");
  const early = await create("import", hubId, connection as unknown as Database);
  commitLate = async () => {
    await connection.query("commit");
    connection.release();
  };
  return { early, late: await create() };
}

const cancel = async (_database: Database, job: Hold) => cancelJob(database, hubId, job.jobId);

describe("the lease", () => {
  test("lasts as long as the holder is heard of", async () => {
    const jobId = await create();
    const job = await claimed(jobId);
    await silence(jobId, LEASE_MS - 5_000);
    expect(await claim(jobId, "another")).toBeNull();
    for (const write of [
      () => heartbeat(database, job),
      () => advance(job),
      () => reportExportProgress(database, job, 1, 1, 1),
    ]) {
      await silence(jobId, LEASE_MS + 1_000);
      expect(await findLostJobs(database)).toEqual([jobId]);
      await write();
      expect(await findLostJobs(database)).toEqual([]);
      expect(await claim(jobId, "another")).toBeNull();
    }
  });

  test("lets another worker in when it has run out", async () => {
    const jobId = await create();
    await claimed(jobId);
    await silence(jobId, LEASE_MS + 1_000);
    expect(await claimed(jobId, "another")).toMatchObject({ attempt: 2, attemptsWithoutProgress: 2 });
    expect(await claim(jobId)).toBeNull();
  });

  test("ends at once when the worker is known to be dead, and for its jobs alone", async () => {
    const [mine, exported] = [await create(), await create("export")];
    const others = await create("export");
    const ended = await create("export");
    await claimed(mine, "dead");
    await claimed(exported, "dead");
    await claimed(others, "alive");
    await completeJob(database, await claimed(ended, "dead"));
    const before = await rowOf(ended);
    await releaseJobsOfWorker(database, "dead");
    expect(await findLostJobs(database)).toEqual([mine, exported]);
    expect(await claim(others)).toBeNull();
    expect(await rowOf(ended)).toEqual(before);
  });
});

describe("trying again", () => {
  test("waits longer each time, up to a bound, and gives up in the end", async () => {
    const jobId = await create();
    const delays: (number | null)[] = [];
    for (let attempt = 1; attempt <= ATTEMPTS_WITHOUT_PROGRESS_MAX; attempt++) {
      const job = await claimed(jobId);
      expect(isHopeless(job)).toBe(false);
      delays.push(await retryLater(database, job, `fault ${attempt}`));
      expect(await claim(jobId), "not before its time").toBeNull();
      await waitIsOver(jobId);
    }
    const expected = Array.from({ length: ATTEMPTS_WITHOUT_PROGRESS_MAX - 1 }, (_, index) =>
      Math.min(RETRY_DELAY_MS * 2 ** index, RETRY_DELAY_MS_MAX),
    );
    expect(delays).toEqual([...expected, null]);
    expect(await getJob(database, hubId, jobId)).toMatchObject({
      status: "failed",
      failureReason: expect.stringContaining(`fault ${ATTEMPTS_WITHOUT_PROGRESS_MAX}`) as string,
    });
  });

  test("the wait is the database's", async () => {
    const jobId = await create();
    await retryLater(database, await claimed(jobId), "a fault");
    const { rows } = await database.query<{ ms: number }>(
      "select (extract(epoch from not_before - now()) * 1000)::float8 as ms from jobs where job_id = $1",
      [jobId],
    );
    expect(rows[0]!.ms).toBeLessThanOrEqual(RETRY_DELAY_MS);
    expect(await rowOf(jobId)).toMatchObject({ last_fault: "a fault", status: "enqueued" });
  });

  test("progress sets the count back", async () => {
    const jobId = await create();
    for (let attempt = 1; attempt <= 3 * ATTEMPTS_WITHOUT_PROGRESS_MAX; attempt++) {
      const job = await claimed(jobId);
      if (attempt % 4 === 0) await advance(job, attempt);
      expect(await retryLater(database, job, "a fault")).not.toBeNull();
      await waitIsOver(jobId);
    }
  });

  test("a job that is handed back again and again is not given up", async () => {
    const jobId = await create();
    for (let attempt = 1; attempt <= 3 * ATTEMPTS_WITHOUT_PROGRESS_MAX; attempt++) {
      const job = await claimed(jobId);
      expect(isHopeless(job)).toBe(false);
      await handBack(database, job);
      expect(await rowOf(jobId)).toMatchObject({ status: "enqueued", attempts_without_progress: 0, attempt });
    }
  });

  test("a job that loses its worker too often is hopeless", async () => {
    const jobId = await create();
    for (let attempt = 1; attempt <= ATTEMPTS_WITHOUT_PROGRESS_MAX; attempt++) {
      expect(isHopeless(await claimed(jobId))).toBe(false);
      await releaseJobsOfWorker(database, "worker");
    }
    expect(isHopeless(await claimed(jobId))).toBe(true);
  });
});

describe("the cancel", () => {
  test.each(JOB_STATUSES)("of a job that is %s", async (status) => {
    const jobId = await create();
    const job = await claimed(jobId);
    await advance(job);
    await BRING_INTO[status](job);
    const before = await rowOf(jobId);
    await cancelJob(database, hubId, jobId);
    const after = await rowOf(jobId);
    if (isTerminal(status)) return expect(after).toEqual(before);
    expect(after).toMatchObject({ status: "cancelled", lines: 5, created: 3, byte_offset: 100 });
    checkRow(after);
    expect(await claim(jobId)).toBeNull();
    expect(await findLostJobs(database)).toEqual([]);
  });

  test("of another hub's job finds no job", async () => {
    const other = await createHub(database, TEST_BOX, `other-${hubs++}`, []);
    const jobId = await create();
    await expect(cancelJob(database, other.hubId, jobId)).rejects.toMatchObject({ code: "JobNotFound" });
    await expect(cancelJob(database, hubId, "no id")).rejects.toMatchObject({ code: "JobNotFound" });
    expect(await rowOf(jobId)).toMatchObject({ status: "enqueued" });
  });
});

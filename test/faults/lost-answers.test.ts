/**
 * Invariants 1, 3 and 8: whatever statement or request is lost, or its answer once it was carried out, an import and an
 * export come to what they would have come to, and end.
 */
import { describe, expect, inject, test } from "vitest";
import { openPool } from "../../src/db/pool.ts";
import { readLineErrors } from "../../src/jobs/line-errors.ts";
import { openLog } from "../../src/log.ts";
import { Dice } from "../support/dice.ts";
import { expectCounts, Expected, expectErrors, expectSameLines, faultFile } from "../support/fault-file.ts";
import { BACKENDS } from "../support/fault-server.ts";
import { exportHub } from "../support/import-file.ts";
import { startPostgresProxy } from "../support/postgres-proxy.ts";
import { WorkerGround } from "../support/worker-ground.ts";

const SEEDS = Number(process.env["FAULT_SEEDS"] ?? 1);
const FIRST_SEED = Number(process.env["FAULT_SEED"] ?? 1);
/** Each costs the job a wait for its next attempt. */
const FAULTS = Number(process.env["FAULT_COUNT"] ?? 4);
const IDENTITIES = 2_000;
const BATCH_LINES_MAX = 100;
const TEST_MS_MAX = 120_000 + FAULTS * 40_000;

const seeds = Array.from({ length: SEEDS }, (_, index) => FIRST_SEED + index);

/** The statements that move a job on. The queue's own are left to chance: one in a hundred of all others. */
const COMMIT = /commit/i;
const JOB_WRITE = /update jobs/;

describe.each(seeds)("seed %i", (seed) => {
  test.concurrent.each(BACKENDS)(
    "statements and their answers are lost, queue on %s",
    async (backend) => {
      const label = `seed ${seed} on ${backend}`;
      const dice = new Dice(seed * 2 + BACKENDS.indexOf(backend));
      await using ground = await WorkerGround.open(backend, inject("azurite").host);
      await using proxy = await startPostgresProxy(ground.testDatabase.connection);
      const pool = openPool({ ...ground.testDatabase.connection, ...proxy.connection }, 6, openLog("silent"));
      await using _pool = { [Symbol.asyncDispose]: () => pool.end() };
      await using _worker = ground.startWorker({ database: pool, batchLinesMax: BATCH_LINES_MAX });
      const hub = await ground.createHub("contoso");
      const file = faultFile(seed, IDENTITIES);
      const met: string[] = [];
      proxy.onStatement = (text) => {
        const chances = COMMIT.test(text) ? 6 : JOB_WRITE.test(text) ? 8 : 200;
        if (met.length >= FAULTS || !dice.oneIn(chances)) return "pass";
        const fate = dice.oneIn(3) ? "lost" : "unanswered";
        met.push(`${fate} ${text.replace(/[^ -~]+/g, " ").slice(0, 60)}`);
        return fate;
      };
      const container = await ground.createContainer();
      const jobId = await ground.import(hub, container, file);
      const job = await ground.waitForEnd(hub, jobId);
      const faults = `${label}, faults: ${met.join(" | ")}`;
      expect(job.status, `${faults}, ${job.failureReason}`).toBe("completed");
      expect(met.length, faults).toBeGreaterThan(0);
      const expected = new Expected();
      const result = expected.apply(file);
      expectCounts(job, result, faults);
      await expectErrors(ground.database, jobId, await container.find("importErrors.log"), result.errors, faults);
      await expected.expectRegistry(ground.database, hub.hubId, faults);
    },
    TEST_MS_MAX,
  );

  test.concurrent(
    "requests to storage and their answers are lost",
    async () => {
      const dice = new Dice(seed);
      await using ground = await WorkerGround.open("postgres", inject("azurite").host);
      await using _worker = ground.startWorker({ batchLinesMax: BATCH_LINES_MAX });
      const hub = await ground.createHub("contoso");
      const file = faultFile(seed, IDENTITIES);
      const container = await ground.createContainer();
      const jobId = await ground.import(hub, container, file);
      const met: string[] = [];
      const meet = (when: string, call: string) => {
        if (met.length >= 12 || !dice.oneIn(2)) return "pass";
        const fate = dice.oneIn(2) ? "cut" : "busy";
        met.push(`${fate} ${when} ${call}`);
        return fate;
      };
      ground.proxy.onRequest = (call) => meet("before", call);
      ground.proxy.onAnswer = (call) => meet("after", call);
      const job = await ground.waitForEnd(hub, jobId);
      const exportContainer = await ground.createContainer();
      const exported = await ground.waitForEnd(hub, await ground.export(hub, exportContainer));
      const label = `seed ${seed}, faults: ${met.join(" | ")}`;
      expect(job.status, `${label}, ${job.failureReason}`).toBe("completed");
      expect(exported.status, `${label}, ${exported.failureReason}`).toBe("completed");
      const expected = new Expected();
      const result = expected.apply(file);
      expectCounts(job, result, label);
      await expectErrors(ground.database, jobId, await container.find("importErrors.log"), result.errors, label);
      const blob = (await exportContainer.find("devices.txt"))!.toString();
      expectSameLines(expected.mask(blob.split("\r\n").slice(0, -1)), expected.lines, `${label}: export`);
      expect(exported, label).toMatchObject({ lines: expected.lines.length, byteOffset: Buffer.byteLength(blob) });
    },
    TEST_MS_MAX,
  );
});

test.each(["lost", "unanswered"] as const)("a batch whose commit is %s is applied once", async (fate) => {
  await using ground = await WorkerGround.open("redis", inject("azurite").host);
  await using proxy = await startPostgresProxy(ground.testDatabase.connection);
  const pool = openPool({ ...ground.testDatabase.connection, ...proxy.connection }, 6, openLog("silent"));
  await using _pool = { [Symbol.asyncDispose]: () => pool.end() };
  const hub = await ground.createHub("contoso");
  // Created again, each line would be an error, and each count twice what it should be.
  const lines = Array.from({ length: 50 }, (_, n) => JSON.stringify({ id: `d${n % 40}`, importMode: "create" }));
  const file = Buffer.from(lines.join("\n"));
  // With the queue in Redis, only batches commit.
  let commits = 0;
  proxy.onStatement = (text) => (COMMIT.test(text) && ++commits <= 2 ? fate : "pass");
  await using _worker = ground.startWorker({ database: pool, batchLinesMax: 30 });
  const jobId = await ground.import(hub, await ground.createContainer(), file);
  const job = await ground.waitForEnd(hub, jobId);
  expect(job).toMatchObject({ status: "completed", attempt: 3, lines: 50, created: 40, failed: 10 });
  expect(await readLineErrors(ground.database, jobId, 0, 100)).toHaveLength(10);
  expect(await exportHub(ground.database, hub.hubId)).toHaveLength(40);
});

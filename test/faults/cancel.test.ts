/**
 * A cancel ends a job at once: what was applied stays, exactly as far as the last checkpoint says, its worker stops, and
 * the next import of the hub begins.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject, test } from "vitest";
import { readLineErrors } from "../../src/jobs/line-errors.ts";
import { Dice } from "../support/dice.ts";
import { expectCounts, Expected, faultFile } from "../support/fault-file.ts";
import { BACKENDS } from "../support/fault-server.ts";
import { WorkerGround } from "../support/worker-ground.ts";

const SEEDS = Number(process.env["FAULT_SEEDS"] ?? 1);
const FIRST_SEED = Number(process.env["FAULT_SEED"] ?? 1);
const IDENTITIES = 2_000;
const BATCH_LINES_MAX = 40;

const seeds = Array.from({ length: SEEDS }, (_, index) => FIRST_SEED + index);

describe.each(BACKENDS)("queue on %s", (backend) => {
  test.each(seeds)("cancel of an import that runs, seed %i", async (seed) => {
    const dice = new Dice(seed);
    await using ground = await WorkerGround.open(backend, inject("azurite").host);
    await using worker = ground.startWorker({ batchLinesMax: BATCH_LINES_MAX });
    const hub = await ground.createHub("contoso");
    const [first, second] = [faultFile(seed, IDENTITIES), faultFile(seed + 1_000, 500)];
    const jobId = await ground.import(hub, await ground.createContainer(), first);
    const waiting = await ground.import(hub, await ground.createContainer(), first);
    const nextId = await ground.import(hub, await ground.createContainer(), second);
    const moment = Math.floor(IDENTITIES * 0.8 * dice.share());
    await ground.waitForJob(hub, jobId, (job) => job.lines > moment);
    await sleep(dice.below(20));
    await ground.cancel(hub, waiting);
    await ground.cancel(hub, jobId);
    const cancelled = await ground.getJob(hub, jobId);
    expect(cancelled).toMatchObject({ status: "cancelled", attempt: 1 });
    expect(cancelled.byteOffset).toBeLessThan(first.length);
    expect(await ground.waitForEnd(hub, nextId)).toMatchObject({ status: "completed" });
    await worker[Symbol.asyncDispose]();

    expect(await ground.getJob(hub, jobId), "nothing is written after the cancel").toEqual(cancelled);
    expect(await ground.getJob(hub, waiting)).toMatchObject({ status: "cancelled", attempt: 0, lines: 0 });
    const expected = new Expected();
    const result = expected.apply(first.subarray(0, cancelled.byteOffset));
    expectCounts(cancelled, result, `seed ${seed}`);
    expect(await readLineErrors(ground.database, jobId, 0, 10_000)).toHaveLength(result.failed);
    expectCounts(await ground.getJob(hub, nextId), expected.apply(second), `seed ${seed}, the next import`);
    await expected.expectRegistry(ground.database, hub.hubId, `seed ${seed}`);
  });

  test("cancel of an export that runs", async () => {
    await using ground = await WorkerGround.open(backend, inject("azurite").host);
    const hub = await ground.createHub("contoso");
    await using _worker = ground.startWorker({ jobsMax: 1 });
    const file = faultFile(1, 500);
    await ground.waitForEnd(hub, await ground.import(hub, await ground.createContainer(), file));
    const held = Promise.withResolvers<"pass">();
    const seen = Promise.withResolvers<void>();
    ground.proxy.onRequest = (call) => {
      if (call !== "block") return "pass";
      seen.resolve();
      return held.promise;
    };
    const container = await ground.createContainer();
    const jobId = await ground.export(hub, container);
    await seen.promise;
    await ground.cancel(hub, jobId);
    const cancelled = await ground.getJob(hub, jobId);
    expect(cancelled).toMatchObject({ status: "cancelled", attempt: 1 });
    // The worker's only place is free again although storage still does not answer.
    ground.proxy.onRequest = () => "pass";
    const next = await ground.createContainer();
    const nextId = await ground.export(hub, next);
    expect(await ground.waitForEnd(hub, nextId)).toMatchObject({ status: "completed" });
    held.resolve("pass");
    expect(await ground.getJob(hub, jobId)).toEqual(cancelled);
    expect(await next.find("devices.txt")).not.toBeNull();
    expect(await container.find("devices.txt"), "the cancelled export's blob").toBeNull();
  });
});

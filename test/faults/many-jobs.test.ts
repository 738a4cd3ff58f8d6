/** Invariants 3 and 8 under load: thirty jobs on three hubs at once, two workers, each hub's imports in order. */
import { expect, inject, test } from "vitest";
import { Dice } from "../support/dice.ts";
import { expectCounts, Expected } from "../support/fault-file.ts";
import { BACKENDS } from "../support/fault-server.ts";
import { randomImportFile } from "../support/random-import-file.ts";
import { WorkerGround } from "../support/worker-ground.ts";

const SEED = Number(process.env["FAULT_SEED"] ?? 1);
const JOBS = Number(process.env["FAULT_JOBS"] ?? 30);
const HUBS = 3;

test.concurrent.each(BACKENDS)(
  `${JOBS} jobs on ${HUBS} hubs, queue on %s, seed ${SEED}`,
  async (backend) => {
    const dice = new Dice(SEED);
    await using ground = await WorkerGround.open(backend, inject("azurite").host);
    await using first = ground.startWorker({ workerId: "first", batchLinesMax: 50 });
    await using second = ground.startWorker({ workerId: "second", batchLinesMax: 50 });
    const hubs = await Promise.all(
      Array.from({ length: HUBS }, async (_, index) => ({
        hub: await ground.createHub(`hub-${index}`),
        files: [] as { jobId: string; file: Buffer }[],
        exports: [] as string[],
      })),
    );
    for (let count = 0; count < JOBS; count++) {
      const target = dice.pick(hubs);
      const container = await ground.createContainer();
      if (dice.oneIn(3)) {
        target.exports.push(await ground.export(target.hub, container));
      } else {
        const file = randomImportFile(SEED * 1_000 + count, { lines: 200, ids: 15 });
        // Now and then the message is lost.
        target.files.push({ file, jobId: await ground.import(target.hub, container, file, !dice.oneIn(5)) });
      }
    }
    for (const { hub, files, exports } of hubs) {
      const expected = new Expected();
      let endedBefore = new Date(0);
      for (const { jobId, file } of files) {
        const job = await ground.waitForEnd(hub, jobId);
        expect({ status: job.status, attempt: job.attempt }).toEqual({ status: "completed", attempt: 1 });
        expectCounts(job, expected.apply(file), `seed ${SEED}, job ${jobId}`);
        expect(job.startedAt!.getTime(), "imports of a hub do not overlap").toBeGreaterThanOrEqual(
          endedBefore.getTime(),
        );
        endedBefore = job.endedAt!;
      }
      for (const jobId of exports) expect(await ground.waitForEnd(hub, jobId)).toMatchObject({ status: "completed" });
      await expected.expectRegistry(ground.database, hub.hubId, `seed ${SEED}, ${hub.name}`);
    }
    await Promise.all([first, second].map((worker) => worker[Symbol.asyncDispose]()));
  },
  240_000,
);

/**
 * Invariants 1, 3, 4 and 8: kill -9 of the worker in the middle of an import, at seeded moments, leaves no trace in the
 * registry, the statistics or importErrors.log.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject, test } from "vitest";
import { Dice } from "../support/dice.ts";
import { FaultImport, prepareFile } from "../support/fault-import.ts";
import { BACKENDS, type Backend, FaultServer } from "../support/fault-server.ts";
import { kill, processesLeft } from "../support/processes.ts";

const IDENTITIES = Number(process.env["FAULT_IDENTITIES"] ?? 30_000);
const SEEDS = Number(process.env["FAULT_SEEDS"] ?? 1);
const FIRST_SEED = Number(process.env["FAULT_SEED"] ?? 1);
const KILLS = Number(process.env["FAULT_KILLS"] ?? 2);
/** A killed worker's job waits for the queue to notice, up to 20 s; the rest is room for a busy machine. */
const TEST_MS_MAX = 120_000 + KILLS * 40_000 + IDENTITIES;

const seeds = Array.from({ length: SEEDS }, (_, index) => FIRST_SEED + index);

describe.each(seeds)("seed %i", (seed) => {
  test.concurrent.each(BACKENDS)("kill -9 of the worker, queue on %s", (backend) => run(seed, backend), TEST_MS_MAX);
});

async function run(seed: number, backend: Backend): Promise<void> {
  const label = `seed ${seed} on ${backend}`;
  const dice = new Dice(seed * 2 + BACKENDS.indexOf(backend));
  const file = prepareFile(seed, IDENTITIES);
  const storage = inject("azurite").host;
  await using server = await FaultServer.start({ backend, storage, external: backend === "redis" });
  const hub = await server.createHub("contoso");
  using job = await FaultImport.submit(server, hub, file, storage);
  let attempt = 0;
  for (const share of killMoments(dice)) {
    ({ attempt } = await job.reach(share, attempt));
    await sleep(dice.below(150));
    kill(server.workerPid);
  }
  const end = await job.expectUndisturbed(label);
  expect(end.attempt, label).toBe(KILLS + 1);
  expect(await server.stop(), label).toBe(0);
  expect(await processesLeft(server.dataDir), label).toEqual([]);
}

/** Shares of the file that are done with, in order; now and then the last one is the end, where the log is written. */
function killMoments(dice: Dice): number[] {
  const moments = Array.from({ length: KILLS }, () => dice.share() * 0.8).sort((a, b) => a - b);
  if (KILLS > 1 && dice.oneIn(3)) moments[KILLS - 1] = 1;
  return moments;
}

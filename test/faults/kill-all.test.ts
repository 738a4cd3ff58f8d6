/**
 * Invariants 3, 4 and 8: kill -9 of the whole of hubferry, now and then with its PostgreSQL, in the middle of an import.
 * Started again on the same data directory, it completes the job as if nothing had been.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject, test } from "vitest";
import { Dice } from "../support/dice.ts";
import { FaultImport, prepareFile } from "../support/fault-import.ts";
import { BACKENDS, type Backend, FaultServer } from "../support/fault-server.ts";
import { kill, postmasterPid, processesLeft } from "../support/processes.ts";

const IDENTITIES = Number(process.env["FAULT_IDENTITIES"] ?? 30_000);
const SEEDS = Number(process.env["FAULT_SEEDS"] ?? 1);
const FIRST_SEED = Number(process.env["FAULT_SEED"] ?? 1);
const KILLS = Number(process.env["FAULT_KILLS"] ?? 2);
/** After each kill a lease runs out (15 s) and a server starts. */
const TEST_MS_MAX = 120_000 + KILLS * 60_000 + IDENTITIES;

const seeds = Array.from({ length: SEEDS }, (_, index) => FIRST_SEED + index);

describe.each(seeds)("seed %i", (seed) => {
  test.concurrent.each(BACKENDS)("kill -9 of everything, queue on %s", (backend) => run(seed, backend), TEST_MS_MAX);
});

async function run(seed: number, backend: Backend): Promise<void> {
  const label = `seed ${seed} on ${backend}`;
  const dice = new Dice(seed * 2 + BACKENDS.indexOf(backend));
  const file = prepareFile(seed, IDENTITIES);
  const storage = inject("azurite").host;
  await using server = await FaultServer.start({ backend, storage });
  const hub = await server.createHub("contoso");
  using job = await FaultImport.submit(server, hub, file, storage);
  const moments = Array.from({ length: KILLS }, () => dice.share() * 0.8).sort((a, b) => a - b);
  let attempt = 0;
  for (const [index, share] of moments.entries()) {
    ({ attempt } = await job.reach(share, attempt));
    await sleep(dice.below(150));
    // PostgreSQL goes too, every second time: else the next server takes over the one that was orphaned.
    killAll(dice, server, (index + seed) % 2 === 0);
    await server.restart();
  }
  const end = await job.expectUndisturbed(label);
  expect(end.attempt, label).toBe(KILLS + 1);
  expect(await server.stop(), label).toBe(0);
  expect(await processesLeft(server.dataDir), label).toEqual([]);
}

/** In any order. */
function killAll(dice: Dice, server: FaultServer, withPostgres: boolean): void {
  const pids = [server.process.pid, server.workerPid, ...(withPostgres ? [postmasterPid(server.dataDir)] : [])];
  while (pids.length > 0) kill(pids.splice(dice.below(pids.length), 1)[0]!);
}

/**
 * Invariant 8: Redis restarted with all its data lost, or PostgreSQL killed, in the middle of jobs. All jobs end, nothing
 * is lost and nothing is done twice.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, inject, test } from "vitest";
import { Dice } from "../support/dice.ts";
import { expectCounts, Expected, faultFile } from "../support/fault-file.ts";
import { BACKENDS, type FaultHub, FaultServer } from "../support/fault-server.ts";
import { kill, postmasterPid, processesLeft } from "../support/processes.ts";
import { findFreePort } from "../support/redis.ts";
import { Container } from "../support/storage.ts";

const SEED = Number(process.env["FAULT_SEED"] ?? 1);
const OUTAGES = Number(process.env["FAULT_KILLS"] ?? 1);
const IMPORTS_PER_HUB = 3;
const IDENTITIES = 3_000;
const TEST_MS_MAX = 240_000 + OUTAGES * 60_000;

test.concurrent(
  `redis-server is killed and comes back empty, seed ${SEED}`,
  async () => {
    const port = await findFreePort();
    let redis = startRedisOn(port);
    const storage = inject("azurite").host;
    const redisUrl = `redis://127.0.0.1:${port}/0`;
    await using server = await FaultServer.start({ backend: "redis", redisUrl, storage, external: true });
    const dice = new Dice(SEED);
    const work = await Work.submit(server, storage);
    for (let outage = 0; outage < OUTAGES; outage++) {
      await sleep(dice.below(1_500));
      redis.kill("SIGKILL");
      await once(redis, "exit");
      await sleep(dice.below(3_000));
      await work.submitMore();
      redis = startRedisOn(port);
    }
    await work.expectDone(`seed ${SEED}`);
    expect(await server.stop()).toBe(0);
    redis.kill("SIGKILL");
  },
  TEST_MS_MAX,
);

test.concurrent.each(BACKENDS)(
  `PostgreSQL is killed, queue on %s, seed ${SEED}`,
  async (backend) => {
    const storage = inject("azurite").host;
    await using server = await FaultServer.start({ backend, storage });
    const dice = new Dice(SEED);
    const work = await Work.submit(server, storage);
    for (let outage = 0; outage < OUTAGES; outage++) {
      await sleep(dice.below(1_500));
      const pid = postmasterPid(server.dataDir);
      kill(pid);
      while (readPostmaster(server.dataDir) === pid || !(await isUp(server))) await sleep(20);
    }
    await work.expectDone(`seed ${SEED} on ${backend}`);
    expect(await server.stop()).toBe(0);
    expect(await processesLeft(server.dataDir)).toEqual([]);
  },
  TEST_MS_MAX,
);

function startRedisOn(port: number): ChildProcess {
  const flags = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  return spawn("redis-server", flags, { stdio: "ignore" });
}

/** Null while there is no file of it. */
function readPostmaster(dataDir: string): number | null {
  try {
    return postmasterPid(dataDir);
  } catch {
    return null;
  }
}

async function isUp(server: FaultServer): Promise<boolean> {
  return server.database.query("select 1").then(
    () => true,
    () => false,
  );
}

interface Submitted {
  readonly hub: FaultHub;
  readonly files: { readonly file: Buffer; readonly jobId: string }[];
}

/** Imports of several hubs, and the exports beside them. */
class Work {
  readonly #server: FaultServer;
  readonly #storage: string;
  readonly #hubs: Submitted[] = [];
  readonly #exports: string[] = [];
  #seed = SEED * 100;

  private constructor(server: FaultServer, storage: string) {
    this.#server = server;
    this.#storage = storage;
  }

  static async submit(server: FaultServer, storage: string): Promise<Work> {
    const work = new Work(server, storage);
    for (const name of ["contoso", "fabrikam"]) work.#hubs.push({ hub: await server.createHub(name), files: [] });
    for (let round = 0; round < IMPORTS_PER_HUB; round++) await work.submitMore();
    return work;
  }

  /** One import of each hub, and an export of the first. */
  async submitMore(): Promise<void> {
    for (const { hub, files } of this.#hubs) {
      const file = faultFile(this.#seed++ % 7, IDENTITIES);
      files.push({ file, jobId: await hub.import(await Container.create(this.#storage), file) });
    }
    const [first] = this.#hubs;
    this.#exports.push(await first!.hub.export(await Container.create(this.#storage)));
  }

  async expectDone(label: string): Promise<void> {
    for (const jobId of this.#exports) {
      const { status, failureReason } = await this.#server.waitForEnd(jobId);
      expect({ status, failureReason }, label).toEqual({ status: "completed", failureReason: null });
    }
    for (const { hub, files } of this.#hubs) {
      const expected = new Expected();
      for (const { file, jobId } of files) {
        const { failureReason } = await this.#server.waitForEnd(jobId);
        const { status, statistics } = await hub.getJob(jobId);
        expect({ status, failureReason }, label).toEqual({ status: "completed", failureReason: null });
        expectCounts(statistics, expected.apply(file), `${label}, ${hub.name}, job ${jobId}`);
      }
      await expected.expectRegistry(this.#server.database, hub.hubId, `${label}, ${hub.name}`);
    }
  }
}

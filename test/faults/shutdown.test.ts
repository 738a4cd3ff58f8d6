/**
 * SIGTERM drains: the running batch commits, the job is handed back with the attempt not counted against it, and the
 * next start goes on where it stopped. A second SIGTERM ends everything at once, and the next start recovers.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject, test } from "vitest";
import { openEmbeddedPostgres } from "../../src/db/embedded-postgres.ts";
import { openLog } from "../../src/log.ts";
import { openTestDatabase } from "../support/database.ts";
import { Dice } from "../support/dice.ts";
import { FaultImport, prepareFile } from "../support/fault-import.ts";
import { BACKENDS, FaultServer, type JobRow } from "../support/fault-server.ts";
import { processesLeft } from "../support/processes.ts";
import { startRedis } from "../support/redis.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

const IDENTITIES = Number(process.env["FAULT_IDENTITIES"] ?? 30_000);
const SEED = Number(process.env["FAULT_SEED"] ?? 1);
const TEST_MS_MAX = 240_000 + IDENTITIES;
/** As SIGINT of a shell; the command says so in src/cli/signals.ts. */
const EXIT_AT_ONCE = 130;

describe.each([SEED])("seed %i", (seed) => {
  test.concurrent.each(BACKENDS)(
    "SIGTERM hands the job back, queue on %s",
    async (backend) => {
      const dice = new Dice(seed);
      const file = prepareFile(seed, IDENTITIES);
      const storage = inject("azurite").host;
      await using server = await FaultServer.start({ backend, storage, external: backend === "redis" });
      const hub = await server.createHub("contoso");
      using job = await FaultImport.submit(server, hub, file, storage);
      await job.reach(0.1 + dice.share() * 0.4);
      await sleep(dice.below(100));
      expect(await server.stop(), server.process.output()).toBe(0);
      expect(await processesLeft(server.dataDir)).toEqual([]);
      expect(await readJob(server, job.jobId)).toMatchObject({
        status: "enqueued",
        attempt: 1,
        attemptsWithoutProgress: 0,
        workerId: null,
        secretsSealed: expect.any(Buffer) as Buffer,
      });
      await server.restart();
      const end = await job.expectUndisturbed(`seed ${seed} on ${backend}`);
      expect(end.attempt).toBe(2);
      expect(await server.stop()).toBe(0);
    },
    TEST_MS_MAX,
  );

  test.concurrent(
    "a second SIGTERM ends everything at once",
    async () => {
      const dice = new Dice(seed + 1);
      const file = prepareFile(seed, IDENTITIES);
      const storage = inject("azurite").host;
      await using server = await FaultServer.start({ backend: "postgres", storage });
      const hub = await server.createHub("contoso");
      using job = await FaultImport.submit(server, hub, file, storage);
      await job.reach(0.1 + dice.share() * 0.4);
      server.process.signal("SIGTERM");
      // The first one must have been taken: two at once may be merged into one.
      while (!server.process.output().includes('"draining"')) await sleep(1);
      server.process.signal("SIGTERM");
      expect(await server.process.exited, server.process.output()).toBe(EXIT_AT_ONCE);
      expect(await processesLeft(server.dataDir)).toEqual([]);
      await server.restart();
      await job.expectUndisturbed(`seed ${seed}`);
      expect(await server.stop()).toBe(0);
      expect(await processesLeft(server.dataDir)).toEqual([]);
    },
    TEST_MS_MAX,
  );
});

test.concurrent(
  "SIGTERM ends a worker although Redis is away",
  async () => {
    await using database = await openTestDatabase();
    const redis = await startRedis();
    const dataDir = await mkdtemp(join(tmpdir(), "hubferry-fault-"));
    const worker = spawn(process.execPath, [MAIN, "work", "--data-dir", dataDir], {
      env: { ...process.env, REDIS_URL: redis.url, DATABASE_URL: database.url.replace("@/", "@localhost/") },
      stdio: ["ignore", "ignore", "pipe"],
    });
    try {
      let text = "";
      worker.stderr.on("data", (part: Buffer) => (text += part.toString()));
      while (!text.includes("worker started")) await sleep(20);
      await redis[Symbol.asyncDispose]();
      worker.kill("SIGTERM");
      const late = sleep(60_000, "it still runs", { ref: false });
      expect(await Promise.race([once(worker, "exit"), late]), text).toEqual([0, null]);
    } finally {
      worker.kill("SIGKILL");
      await rm(dataDir, { recursive: true, force: true });
    }
  },
  TEST_MS_MAX,
);

/** The row as it lies there while no hubferry runs: the embedded PostgreSQL is started for it. */
async function readJob(server: FaultServer, jobId: string): Promise<JobRow> {
  await using _ = server.isExternal ? null : await openEmbeddedPostgres(server.dataDir, openLog("silent"));
  return await server.waitForRow(jobId, () => true);
}

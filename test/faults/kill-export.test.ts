/**
 * Invariants 5 and 8: an export killed in the middle leaves no blob or a whole one, and what it comes to in the end is
 * what an undisturbed one gives.
 */
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { Dice } from "../support/dice.ts";
import { expectSameLines } from "../support/fault-file.ts";
import { prepareFile } from "../support/fault-import.ts";
import { BACKENDS, FaultServer, hasEnded } from "../support/fault-server.ts";
import { importFile } from "../support/import-file.ts";
import { kill } from "../support/processes.ts";
import { Container } from "../support/storage.ts";
import type { Fate, StorageCall } from "../support/storage-proxy.ts";

const SEED = Number(process.env["FAULT_SEED"] ?? 1);
const KILLS = Number(process.env["FAULT_KILLS"] ?? 1);
/** Three blocks. */
const IDENTITIES = Number(process.env["FAULT_IDENTITIES"] ?? 20_000);
const TEST_MS_MAX = 180_000 + KILLS * 60_000 + IDENTITIES;
const BLOB = "devices.txt";

/** The nth request of a kind, before storage has seen it or once it has acted: then the worker is killed. */
interface Moment {
  readonly call: StorageCall;
  readonly nth: number;
  readonly when: "before" | "after";
}

const MOMENTS: readonly Moment[] = [
  { call: "block", nth: 1, when: "before" },
  { call: "block", nth: 2, when: "after" },
  { call: "block", nth: 3, when: "before" },
  { call: "commit", nth: 1, when: "before" },
  { call: "commit", nth: 1, when: "after" },
];

const prepared = prepareFile(SEED, IDENTITIES);
let storage = "";
const servers = new Map<string, FaultServer>();
beforeAll(async () => {
  storage = inject("azurite").host;
  for (const backend of BACKENDS) {
    const server = await FaultServer.start({ backend, storage, external: backend === "redis" });
    servers.set(backend, server);
  }
});
afterAll(async () => {
  for (const server of servers.values()) await server[Symbol.asyncDispose]();
});

describe.concurrent.each(BACKENDS)("queue on %s", (backend) => {
  test(
    `kill -9 of the worker in the middle of an export, seed ${SEED}`,
    async () => {
      const dice = new Dice(SEED * 2 + BACKENDS.indexOf(backend));
      const server = servers.get(backend)!;
      const hub = await server.createHub("contoso");
      await importFile(server.database, hub, prepared.file, 5_000, 1 << 22);
      const plain = await Container.create(storage);
      await server.waitForEnd(await hub.export(plain));
      const undisturbed = (await plain.find(BLOB))!;
      expectSameLines(linesOf(prepared.expected, undisturbed), prepared.expected.lines, "the undisturbed export");

      const container = await Container.create(storage);
      const met: string[] = [];
      let moment = dice.pick(MOMENTS);
      let calls = 0;
      const meet = (call: StorageCall, blob: string, when: Moment["when"]) => {
        if (blob !== BLOB || met.length >= KILLS || call !== moment.call || when !== moment.when) return "pass";
        if (++calls < moment.nth) return "pass";
        kill(server.workerPid);
        met.push(`${when} ${call} ${moment.nth}`);
        moment = dice.pick(MOMENTS);
        calls = 0;
        return "cut";
      };
      server.proxy.onRequest = (call, blob) => meet(call, blob, "before");
      server.proxy.onAnswer = (call, blob) => meet(call, blob, "after");
      const jobId = await hub.export(container, server.proxy.host);
      const expectWholeOrNone = async () => {
        const blob = await container.find(BLOB);
        expect(blob === null || blob.equals(undisturbed), `${met.join(", ")}: ${blob?.length} bytes`).toBe(true);
      };
      for (let kills = 0; kills < KILLS; kills++) {
        const row = await server.waitForRow(jobId, (now) => hasEnded(now) || met.length > kills);
        expect(row.status, met.join(", ")).not.toBe("failed");
        await expectWholeOrNone();
      }
      const end = await server.waitForEnd(jobId);
      const label = `killed ${met.join(", ")}`;
      expect({ status: end.status, reason: end.failureReason }, label).toEqual({ status: "completed", reason: null });
      expect(end, label).toMatchObject({ attempt: KILLS + 1, byteOffset: undisturbed.length });
      expect(end.lines, label).toBe(prepared.expected.lines.length);
      expect((await container.find(BLOB))?.equals(undisturbed), `${label}: the blob`).toBe(true);
    },
    TEST_MS_MAX,
  );
});

test(
  "a commit of a killed worker that arrives late, while the next one writes, harms nothing",
  async () => {
    const server = servers.get("redis")!;
    const hub = await server.createHub("fabrikam");
    await importFile(server.database, hub, prepared.file, 5_000, 1 << 22);
    const container = await Container.create(storage);
    const arrives = Promise.withResolvers<"pass">();
    const isDone = Promise.withResolvers<void>();
    let commits = 0;
    server.proxy.onRequest = (call, blob) => {
      if (blob !== BLOB || call !== "commit" || ++commits > 1) return "pass";
      kill(server.workerPid);
      return arrives.promise;
    };
    server.proxy.onAnswer = async (call, blob): Promise<Fate> => {
      if (blob !== BLOB) return "pass";
      // The second attempt has its first block staged, and is not answered before the first one's commit is through.
      if (call === "block" && commits === 1) {
        arrives.resolve("pass");
        await isDone.promise;
      }
      if (call === "commit") isDone.resolve();
      return "pass";
    };
    const jobId = await hub.export(container, server.proxy.host);
    const end = await server.waitForEnd(jobId);
    expect({ status: end.status, reason: end.failureReason }).toEqual({ status: "completed", reason: null });
    const blob = (await container.find(BLOB))!;
    expectSameLines(linesOf(prepared.expected, blob), prepared.expected.lines, "the export");
  },
  TEST_MS_MAX,
);

function linesOf(expected: typeof prepared.expected, blob: Buffer): string[] {
  return expected.mask(blob.toString().split("\r\n").slice(0, -1));
}

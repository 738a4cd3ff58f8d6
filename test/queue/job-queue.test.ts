/** One contract for the queue, on both backends: it wakes workers, holds ids and nothing else, and may lose anything. */
import { Redis } from "ioredis";
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject, test } from "vitest";
import { openPool } from "../../src/db/pool.ts";
import { openLog } from "../../src/log.ts";
import { openConsumer, openJobQueue, type QueueBackend } from "../../src/queue/job-queue.ts";
import { openTestDatabase } from "../support/database.ts";
import { BACKENDS, type Backend } from "../support/fault-server.ts";
import { faultFile } from "../support/fault-file.ts";
import { startPostgresProxy } from "../support/postgres-proxy.ts";
import { findFreePort, startRedis } from "../support/redis.ts";
import { WorkerGround } from "../support/worker-ground.ts";

const log = openLog("silent");

interface Store extends QueueBackend, AsyncDisposable {}

async function openStore(backend: Backend): Promise<Store> {
  await using stack = new AsyncDisposableStack();
  const { database } = stack.use(await openTestDatabase());
  const redisUrl = backend === "redis" ? stack.use(await startRedis()).url : null;
  const opened = stack.move();
  return { database, redisUrl, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

/** Collects what the consumer is woken with. */
class Woken {
  readonly ids: string[] = [];
  readonly handle = async (jobId: string): Promise<void> => {
    this.ids.push(jobId);
  };

  async waitFor(jobId: string): Promise<void> {
    while (!this.ids.includes(jobId)) await sleep(5);
  }
}

describe.each(BACKENDS)("%s", (backend) => {
  test("a message wakes a handler with its id, each of them once", async () => {
    await using store = await openStore(backend);
    await using queue = openJobQueue(store, log);
    const woken = new Woken();
    await using _consumer = openConsumer(store, 2, woken.handle, log);
    const ids = Array.from({ length: 20 }, () => randomUUID());
    for (const id of ids) await queue.send(id);
    for (const id of ids) await woken.waitFor(id);
    expect(woken.ids.toSorted()).toEqual(ids.toSorted());
  });

  test("a message that was sent before anybody listened is not lost", async () => {
    await using store = await openStore(backend);
    const id = randomUUID();
    {
      await using queue = openJobQueue(store, log);
      await queue.send(id);
    }
    const woken = new Woken();
    await using _consumer = openConsumer(store, 1, woken.handle, log);
    await woken.waitFor(id);
  });

  test("messages of one job collapse while one waits", async () => {
    await using store = await openStore(backend);
    await using queue = openJobQueue(store, log);
    const [first, last] = [randomUUID(), randomUUID()];
    for (let times = 0; times < 5; times++) await queue.send(first);
    await queue.send(last);
    const woken = new Woken();
    await using _consumer = openConsumer(store, 1, woken.handle, log);
    await woken.waitFor(last);
    expect(woken.ids).toEqual([first, last]);
  });

  test("a message can be sent again once the one before was handled", async () => {
    await using store = await openStore(backend);
    await using queue = openJobQueue(store, log);
    const woken = new Woken();
    await using _consumer = openConsumer(store, 1, woken.handle, log);
    const id = randomUUID();
    for (let times = 1; times <= 5; times++) {
      while (woken.ids.length < times) {
        await queue.send(id);
        await sleep(5);
      }
    }
  });

  test("so many handlers at once and no more; closing waits for them", async () => {
    await using store = await openStore(backend);
    await using queue = openJobQueue(store, log);
    const gate = Promise.withResolvers<void>();
    let atOnce = 0;
    let most = 0;
    let done = 0;
    const handle = async () => {
      most = Math.max(most, ++atOnce);
      await gate.promise;
      await sleep(20);
      atOnce--;
      done++;
    };
    const consumer = openConsumer(store, 3, handle, log);
    for (let count = 0; count < 8; count++) await queue.send(randomUUID());
    await expect.poll(() => most).toBe(3);
    await sleep(100);
    const closed = consumer[Symbol.asyncDispose]();
    gate.resolve();
    await closed;
    expect({ most, atOnce }).toEqual({ most: 3, atOnce: 0 });
    expect(done).toBeGreaterThanOrEqual(3);
  });

  test("what is stored of a message is the job's id", async () => {
    await using store = await openStore(backend);
    await using queue = openJobQueue(store, log);
    const id = randomUUID();
    await queue.send(id);
    const stored = backend === "redis" ? await readRedis(store.redisUrl!) : await readQueueTables(store);
    // BullMQ's own events name the message beside the id.
    for (const data of dataIn(stored)) expect([{ jobId: id }, { jobId: id, name: "look" }]).toContainEqual(data);
    expect(dataIn(stored)).toContainEqual({ jobId: id });
    expect(JSON.stringify(stored)).not.toMatch(/sig=|https?:|SharedAccess|Key=/i);
  });

  test("a message that was lost is made up for by the sweep", async () => {
    await using ground = await WorkerGround.open(backend, inject("azurite").host);
    const hub = await ground.createHub("contoso");
    const container = await ground.createContainer();
    const before = await ground.import(hub, container, faultFile(1, 20), false);
    await using _worker = ground.startWorker();
    expect(await ground.waitForEnd(hub, before)).toMatchObject({ status: "completed" });
    // Now one that the first sweep has not seen.
    const after = await ground.import(hub, await ground.createContainer(), faultFile(2, 20), false);
    expect(await ground.waitForEnd(hub, after)).toMatchObject({ status: "completed" });
  });

  test("a queue that is down: sending comes back, and so does closing", async () => {
    await using down = await openDown(backend, await findFreePort());
    await expectSendAndClose(down);
  });

  test("a queue that does not answer: sending comes back, and so does closing", async () => {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => void sockets.add(socket.on("error", () => {})));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      await using silent = await openDown(backend, (server.address() as AddressInfo).port);
      await expectSendAndClose(silent);
    } finally {
      for (const socket of sockets) socket.destroy();
      server.close();
    }
  });

  test("a consumer of a queue that is down can be closed, once its handlers have ended", async () => {
    await using store = await openCuttable(backend);
    await using queue = openJobQueue(store, log);
    const [taken, gate] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let isHandled = false;
    const handle = async () => {
      taken.resolve();
      await gate.promise;
      isHandled = true;
    };
    const consumer = openConsumer(store, 2, handle, log);
    await queue.send(randomUUID());
    await taken.promise;
    await store.cut();
    const closed = consumer[Symbol.asyncDispose]();
    await sleep(300);
    gate.resolve();
    await within(closed, "closing the consumer");
    expect(isHandled).toBe(true);
  });

  test("a consumer of a queue that never was there can be closed", async () => {
    await using down = await openDown(backend, await findFreePort());
    const consumer = openConsumer(down, 1, async () => {}, log);
    await sleep(300);
    await within(consumer[Symbol.asyncDispose](), "closing the consumer");
  });
});

/** A backend that nobody answers for at this port. */
async function openDown(backend: Backend, port: number): Promise<Store> {
  const connection = { host: "127.0.0.1", port, user: "nobody", database: "nothing" };
  const database = openPool(connection, 2, log);
  const redisUrl = backend === "redis" ? `redis://127.0.0.1:${port}/0` : null;
  return { database, redisUrl, [Symbol.asyncDispose]: () => database.end() };
}

/** A backend that can be taken away for good. */
async function openCuttable(backend: Backend): Promise<Store & { cut(): Promise<void> }> {
  await using stack = new AsyncDisposableStack();
  const { connection, database, redisUrl } = { ...stack.use(await openTestDatabase()), redisUrl: null };
  if (backend === "redis") {
    const redis = await startRedis();
    const opened = stack.move();
    return {
      database,
      redisUrl: redis.url,
      cut: () => redis[Symbol.asyncDispose]() as Promise<void>,
      [Symbol.asyncDispose]: () => opened.disposeAsync(),
    };
  }
  const proxy = stack.use(await startPostgresProxy(connection));
  const pool = openPool({ ...connection, ...proxy.connection }, 4, log);
  stack.defer(() => pool.end());
  const opened = stack.move();
  return {
    database: pool,
    redisUrl,
    cut: () => proxy[Symbol.asyncDispose]() as Promise<void>,
    [Symbol.asyncDispose]: () => opened.disposeAsync(),
  };
}

async function expectSendAndClose(store: QueueBackend): Promise<void> {
  const queue = openJobQueue(store, log);
  await within(queue.send(randomUUID()), "sending");
  await within(queue.send(randomUUID()), "sending again");
  await within(queue[Symbol.asyncDispose](), "closing");
}

/** Far above any bound of the queue's own: it tells hanging from taking its time. */
const HANG_MS = 40_000;

async function within(promise: PromiseLike<void>, what: string): Promise<void> {
  const stop = new AbortController();
  const late = sleep(HANG_MS, undefined, { signal: stop.signal }).then(() => {
    throw new Error(`${what} hangs`);
  });
  late.catch(() => {});
  await Promise.race([promise, late]).finally(() => stop.abort());
}

/** The values of all members called `data`, however deep: BullMQ keeps there what it is given. */
function dataIn(value: unknown): unknown[] {
  if (Array.isArray(value)) return value.flatMap(dataIn);
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) => (name === "data" ? [parsed(member)] : dataIn(member)));
}

function parsed(value: unknown): unknown {
  return typeof value === "string" ? JSON.parse(value) : value;
}

/** Everything in the server. */
async function readRedis(url: string): Promise<unknown> {
  const redis = new Redis(url, { replyMapping: "legacy" });
  try {
    const found: unknown[] = [];
    for (const key of await redis.keys("*"))
      found.push({ key, value: await READERS[await redis.type(key)]!(redis, key) });
    return found;
  } finally {
    redis.disconnect();
  }
}

const READERS: Readonly<Record<string, (redis: Redis, key: string) => Promise<unknown>>> = {
  string: (redis, key) => redis.get(key),
  hash: (redis, key) => redis.hgetall(key),
  list: (redis, key) => redis.lrange(key, 0, -1),
  set: (redis, key) => redis.smembers(key),
  zset: (redis, key) => redis.zrange(key, "0", "-1"),
  stream: (redis, key) => redis.xrange(key, "-", "+"),
};

/** Every row of every table that is not ours. */
async function readQueueTables({ database }: QueueBackend): Promise<unknown> {
  const { rows: tables } = await database.query<{ name: string }>(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables
      where schemaname not in ('public', 'pg_catalog', 'information_schema')`,
  );
  expect(tables.length).toBeGreaterThan(0);
  const found: unknown[] = [];
  for (const { name } of tables) found.push({ name, rows: (await database.query(`select * from ${name}`)).rows });
  return found;
}

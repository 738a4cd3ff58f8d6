/** A Redis server of the tests' own, on loopback, without persistence. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { Redis } from "ioredis";

export interface RedisServer extends AsyncDisposable {
  readonly url: string;
}

const READY_MS_MAX = 10_000;

/** Throws when redis-server is not installed: `scripts/test` installs it. */
export async function startRedis(): Promise<RedisServer> {
  const port = await findFreePort();
  const child = spawn(
    "redis-server",
    [
      "--port",
      String(port),
      "--bind",
      "127.0.0.1",
      "--save",
      "",
      "--appendonly",
      "no",
      "--maxmemory-policy",
      "noeviction",
    ],
    { stdio: "ignore" },
  );
  const exited = once(child, "exit");
  child.on("error", () => {});
  const client = new Redis({
    port,
    host: "127.0.0.1",
    lazyConnect: false,
    maxRetriesPerRequest: null,
    retryStrategy: () => 50,
  });
  client.on("error", () => {});
  const failed = exited.then(() => {
    throw new Error("redis-server did not start: is it installed?");
  });
  const late = AbortSignal.timeout(READY_MS_MAX);
  await Promise.race([
    client.ping(),
    failed,
    once(late, "abort").then(() => Promise.reject(new Error("redis-server does not answer"))),
  ]);
  failed.catch(() => {});
  client.disconnect();
  return {
    url: `redis://127.0.0.1:${port}/0`,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** Free at the moment of asking. */
export async function findFreePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** The real parts that tests run on: one PostgreSQL, one Redis and one Azurite for all of them. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { type EmbeddedConnection } from "../../src/db/server-session.ts";
import { openEmbeddedPostgres } from "../../src/db/embedded-postgres.ts";
import { openLog } from "../../src/log.ts";
import { startAzurite } from "./azurite.ts";
import { startRedis } from "./redis.ts";

declare module "vitest" {
  export interface ProvidedContext {
    postgres: EmbeddedConnection;
    redisUrl: string;
    azurite: { host: string };
  }
}

export default async function setUp(project: TestProject): Promise<() => Promise<void>> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "hubferry-test-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const postgres = stack.use(await openEmbeddedPostgres(directory, openLog("silent")));
  const redis = stack.use(await startRedis());
  const azurite = stack.use(await startAzurite());
  project.provide("postgres", { ...postgres.connection });
  project.provide("redisUrl", redis.url);
  project.provide("azurite", { host: azurite.host });
  const started = stack.move();
  return () => started.disposeAsync();
}

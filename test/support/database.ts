/** A database of a test's own on the tests' PostgreSQL, migrated. */
import { randomBytes } from "node:crypto";
import pg from "pg";
import { inject } from "vitest";
import { migrate } from "../../src/db/migrate.ts";
import { type Database, openPool } from "../../src/db/pool.ts";
import { openLog } from "../../src/log.ts";
import { migrateQueue } from "../../src/queue/job-queue.ts";

export interface TestDatabase extends AsyncDisposable {
  readonly database: Database;
  readonly connection: pg.PoolConfig;
  /** As DATABASE_URL takes it. */
  readonly url: string;
}

export async function openTestDatabase(): Promise<TestDatabase> {
  const server = inject("postgres");
  const name = `test_${randomBytes(6).toString("hex")}`;
  await runOnServer(server, `create database ${name}`);
  const connection = { ...server, database: name };
  const database = openPool(connection, 10, openLog("silent"));
  await migrate(database);
  await migrateQueue({ database, redisUrl: null });
  return {
    database,
    connection,
    url: `postgres://${server.user}@/${name}?host=${encodeURIComponent(server.host)}&port=${server.port}`,
    [Symbol.asyncDispose]: async () => {
      await database.end();
      await runOnServer(server, `drop database ${name} with (force)`);
    },
  };
}

async function runOnServer(server: pg.ClientConfig, sql: string): Promise<void> {
  const client = new pg.Client(server);
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

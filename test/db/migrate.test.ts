import { afterAll, beforeAll, expect, test } from "vitest";
import { migrate } from "../../src/db/migrate.ts";
import { openPool } from "../../src/db/pool.ts";
import { openLog } from "../../src/log.ts";
import { migrateQueue } from "../../src/queue/job-queue.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";

let test_database: TestDatabase;
beforeAll(async () => {
  test_database = await openTestDatabase();
});
afterAll(() => test_database[Symbol.asyncDispose]());

test("starts at once do not meet, and a second one changes nothing", async () => {
  const name = "migrated_at_once";
  const { connection, database } = test_database;
  await database.query(`create database ${name}`);
  const pools = [1, 2, 3, 4].map(() => openPool({ ...connection, database: name }, 3, openLog("silent")));
  try {
    const start = async (pool: (typeof pools)[number]) => {
      await migrate(pool);
      await migrateQueue({ database: pool, redisUrl: null });
    };
    await Promise.all(pools.map(start));
    const applied = "select name, applied_at from schema_migrations order by name";
    const { rows } = await pools[0]!.query(applied);
    expect(rows.length).toBeGreaterThan(0);
    await start(pools[1]!);
    expect((await pools[0]!.query(applied)).rows).toEqual(rows);
  } finally {
    await Promise.all(pools.map((pool) => pool.end()));
    await database.query(`drop database ${name} with (force)`);
  }
});

test("a database of a newer version is refused, with what is unknown", async () => {
  const { database } = test_database;
  await database.query("insert into schema_migrations (name) values ('9999-from-the-future.sql')");
  await expect(migrate(database)).rejects.toThrow("does not know: 9999-from-the-future.sql");
  await database.query("delete from schema_migrations where name like '9999%'");
  await migrate(database);
});

import { afterAll, beforeAll, expect, test } from "vitest";
import { sqlStateOf, withConnection, withTransaction } from "../../src/db/pool.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";

let test_database: TestDatabase;
beforeAll(async () => {
  test_database = await openTestDatabase();
  await test_database.database.query("create table pooled (id integer primary key, value integer not null)");
  await test_database.database.query("insert into pooled values (1, 0), (2, 0)");
});
afterAll(() => test_database[Symbol.asyncDispose]());

const valueOf = async (id: number) =>
  (await test_database.database.query<{ value: number }>("select value from pooled where id = $1", [id])).rows[0]
    ?.value;

test("a bigint is a number", async () => {
  expect((await test_database.database.query("select 9007199254740991::bigint as n")).rows).toEqual([
    { n: 2 ** 53 - 1 },
  ]);
});

test("a transaction is undone when the work throws", async () => {
  const work = withTransaction(test_database.database, async (connection) => {
    await connection.query("update pooled set value = 5 where id = 1");
    throw new Error("changed my mind");
  });
  await expect(work).rejects.toThrow("changed my mind");
  expect(await valueOf(1)).toBe(0);
});

test("two transactions that lock each other out both end: one is run again", async () => {
  const { database } = test_database;
  let tries = 0;
  let waiting = 0;
  const { promise: both, resolve: bothHold } = Promise.withResolvers<void>();
  const add = (first: number, second: number) =>
    withTransaction(database, async (connection) => {
      tries++;
      await connection.query("update pooled set value = value + 1 where id = $1", [first]);
      if (++waiting === 2) bothHold();
      await both;
      await connection.query("update pooled set value = value + 1 where id = $1", [second]);
    });
  await Promise.all([add(1, 2), add(2, 1)]);
  expect(tries).toBeGreaterThan(2);
  expect([await valueOf(1), await valueOf(2)]).toEqual([2, 2]);
});

test("a connection that the server has cut is not given out again", async () => {
  const { database } = test_database;
  const cut = withConnection(database, async (connection) => {
    const { rows } = await connection.query<{ pid: number }>("select pg_backend_pid() as pid");
    await database.query("select pg_terminate_backend($1)", [rows[0]!.pid]);
    await connection.query("select 1");
  });
  await expect(cut).rejects.toThrow();
  for (let index = 0; index < 12; index++) expect((await database.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
});

test("sqlStateOf", async () => {
  const error: unknown = await test_database.database
    .query("insert into pooled values (1, 0)")
    .catch((caught: unknown) => caught);
  expect([sqlStateOf(error), sqlStateOf(new Error("x")), sqlStateOf(null)]).toEqual(["23505", "", ""]);
});

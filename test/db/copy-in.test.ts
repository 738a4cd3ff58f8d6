import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { COPY_CSV_OPTIONS, COPY_DELIMITER, copyIn, copyText } from "../../src/db/copy-in.ts";
import { type Connection, withConnection, withTransaction } from "../../src/db/pool.ts";
import { openTestDatabase, type TestDatabase } from "../support/database.ts";

const SQL = `copy copied (id, text) from stdin with (${COPY_CSV_OPTIONS})`;
const LARGE_ROWS = 200_000;

let test_database: TestDatabase;
beforeAll(async () => {
  test_database = await openTestDatabase();
  await test_database.database.query("create table copied (id integer primary key, text text)");
});
beforeEach(async () => void (await test_database.database.query("truncate copied")));
afterAll(() => test_database[Symbol.asyncDispose]());

const row = (id: number | string, text: string | null) => Buffer.from(`${id}${COPY_DELIMITER}${copyText(text)}\n`);
const withOne = <T>(work: (connection: Connection) => Promise<T>) => withConnection(test_database.database, work);
const readTexts = async () =>
  (await test_database.database.query<{ text: string | null }>("select text from copied order by id")).rows.map(
    ({ text }) => text,
  );

describe("copyText", () => {
  test("every text but U+0000 comes back as it was", async () => {
    const characters = [
      "\x01",
      "\x02",
      "\n",
      "\r",
      '"',
      "\\",
      "\\N",
      "\\.",
      ",",
      "\t",
      "'",
      "é",
      "🛠",
      "\x1f",
      "\x7f",
      "\u2028",
      "",
    ];
    const text = fc.oneof(
      fc.array(fc.constantFrom(...characters)).map((parts) => parts.join("")),
      fc.string({ unit: "binary" }).map((given) => given.toWellFormed().replaceAll("\0", "")),
    );
    const texts = [...fc.sample(text, { numRuns: 2_000, seed: 1 }), ...characters, null];
    await withOne((connection) =>
      copyIn(
        connection,
        SQL,
        texts.map((one, index) => row(index, one)),
      ),
    );
    expect(await readTexts()).toEqual(texts);
  });
});

describe("copyIn", () => {
  test("nothing", async () => {
    await withOne((connection) => copyIn(connection, SQL, []));
    expect(await readTexts()).toEqual([]);
  });

  test("more than the socket takes at once, made as it is taken", async () => {
    function* rows() {
      for (let id = 0; id < LARGE_ROWS; id++) yield row(id, "x".repeat(100));
    }
    await withOne((connection) => copyIn(connection, SQL, rows()));
    const { rows: counted } = await test_database.database.query("select count(*) as count from copied");
    expect(counted).toEqual([{ count: LARGE_ROWS }]);
  });

  test.each<[string, () => Iterable<Buffer>, object]>([
    ["a duplicate", () => [row(1, "a"), row(1, "b")], { code: "23505" }],
    ["no number", () => [row("x", "a")], { code: "22P02" }],
    ["a column too many", () => [Buffer.from(`1${COPY_DELIMITER}a${COPY_DELIMITER}b\n`)], { code: "22P04" }],
    ["no UTF-8", () => [Buffer.from([0x31, 0x02, 0xff, 0x0a])], { code: "22021" }],
  ])("%s: PostgreSQL's error, and the connection is usable at once", async (_name, rows, error) => {
    await withOne(async (connection) => {
      await connection.query("begin");
      await connection.query("savepoint here");
      await expect(copyIn(connection, SQL, rows())).rejects.toMatchObject(error);
      await connection.query("rollback to savepoint here");
      await copyIn(connection, SQL, [row(7, "after")]);
      await connection.query("commit");
    });
    expect(await readTexts()).toEqual(["after"]);
  });

  test("a failure early in a long COPY does not have the rest made", async () => {
    let made = 0;
    function* rows() {
      yield row("x", "bad");
      for (; made < LARGE_ROWS * 10; made++) yield row(made, "x".repeat(1_000));
    }
    await withOne(async (connection) => {
      await expect(copyIn(connection, SQL, rows())).rejects.toMatchObject({ code: "22P02" });
      expect((await connection.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    });
    expect(made).toBeLessThan(LARGE_ROWS * 10);
  });

  test("what the generator throws is thrown on, and nothing is copied", async () => {
    let isClosed = false;
    function* rows() {
      try {
        yield row(1, "a");
        throw new Error("no more rows");
      } finally {
        isClosed = true;
      }
    }
    await withOne(async (connection) => {
      await expect(copyIn(connection, SQL, rows())).rejects.toThrow("no more rows");
      expect((await connection.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    });
    expect(isClosed).toBe(true);
    expect(await readTexts()).toEqual([]);
  });

  test("statements queued behind it wait for it", async () => {
    await withTransaction(test_database.database, async (connection) => {
      const copied = copyIn(connection, SQL, [row(1, "a")]);
      const counted = connection.query("select count(*) as count from copied");
      await copied;
      expect((await counted).rows).toEqual([{ count: 1 }]);
    });
  });

  test("SQL that is no COPY, or is wrong, is an error", async () => {
    await withOne(async (connection) => {
      await expect(copyIn(connection, "copy nothing from stdin", [])).rejects.toMatchObject({ code: "42P01" });
      expect((await connection.query("select 1 as one")).rows).toEqual([{ one: 1 }]);
    });
  });
});

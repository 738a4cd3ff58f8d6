/** Schema migrations: src/db/migrations/NNNN-name.sql, immutable once released, applied in order, once each. */
import { readdir, readFile } from "node:fs/promises";
import { type Connection, type Database, withTransaction } from "./pool.ts";

const MIGRATIONS = new URL("./migrations/", import.meta.url);
/** Any constant will do: it only has to be the same in every process. */
const MIGRATION_LOCK_KEY = 4_817_223_001;

/**
 * Brings the schema up to date. Processes that start together wait for one another. Throws when the database was
 * migrated by a newer hubferry, which this one could damage.
 */
export async function migrate(database: Database): Promise<void> {
  const files = (await readdir(MIGRATIONS)).filter((file) => file.endsWith(".sql")).sort();
  await withTransaction(database, async (connection) => {
    await connection.query("select pg_advisory_xact_lock($1)", [MIGRATION_LOCK_KEY]);
    await connection.query(
      "create table if not exists schema_migrations (name text primary key, applied_at timestamptz not null default now())",
    );
    const applied = await findApplied(connection);
    const unknown = [...applied].filter((name) => !files.includes(name));
    if (unknown.length > 0)
      throw new Error(
        `the database holds migrations that this version of hubferry does not know: ${unknown.join(", ")}`,
      );
    for (const file of files.filter((name) => !applied.has(name))) {
      await connection.query(await readFile(new URL(file, MIGRATIONS), "utf8"));
      await connection.query("insert into schema_migrations (name) values ($1)", [file]);
    }
  });
}

async function findApplied(connection: Connection): Promise<Set<string>> {
  const { rows } = await connection.query<{ name: string }>("select name from schema_migrations");
  return new Set(rows.map((row) => row.name));
}

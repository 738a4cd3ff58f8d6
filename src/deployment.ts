/** What every command works on: the database, brought up to date, and the key to what is sealed in it. */
import type pg from "pg";
import type { Config } from "./config.ts";
import { type EmbeddedPostgres, openEmbeddedPostgres } from "./db/embedded-postgres.ts";
import { migrate } from "./db/migrate.ts";
import { type Database, openPool } from "./db/pool.ts";
import { checkSecretKey } from "./hubs/hubs.ts";
import type { Logger } from "./log.ts";
import { migrateQueue } from "./queue/job-queue.ts";
import { getSecretKeyOfDataDir, SecretBox } from "./secret-box.ts";
import { createDataDir } from "./db/run-as.ts";

export interface Deployment extends AsyncDisposable {
  readonly database: Database;
  readonly box: SecretBox;
  /** Null where DATABASE_URL names another server. */
  readonly postgres: EmbeddedPostgres | null;
}

/** Starts or joins the embedded PostgreSQL, or connects to DATABASE_URL; migrates. */
export async function openDeployment(config: Config, connectionsMax: number, log: Logger): Promise<Deployment> {
  await using stack = new AsyncDisposableStack();
  createDataDir(config.dataDir);
  const box = new SecretBox(config.secretKey ?? getSecretKeyOfDataDir(config.dataDir));
  const postgres = config.databaseUrl === null ? stack.use(await openEmbeddedPostgres(config.dataDir, log)) : null;
  const connection: pg.PoolConfig = postgres === null ? { connectionString: config.databaseUrl! } : postgres.connection;
  const database = openPool(connection, connectionsMax, log);
  stack.defer(() => database.end());
  await migrate(database);
  await migrateQueue({ database, redisUrl: config.redisUrl });
  await checkSecretKey(database, box);
  const opened = stack.move();
  return { database, box, postgres, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

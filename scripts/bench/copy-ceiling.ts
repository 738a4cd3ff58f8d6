/** The ceiling of an import: a plain COPY of the rows that it made into a table and indexes of the same kind. */
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import pg from "pg";
import pgCopyStreams from "pg-copy-streams";
import { POSTGRES_PORT, socketDirectoryOf } from "../../src/db/socket-directory.ts";
import { createDataDir } from "../../src/db/run-as.ts";

const COPY_BYTES = 256 * 1024;

async function connect(dataDir: string): Promise<pg.Client> {
  const client = new pg.Client({
    host: socketDirectoryOf(createDataDir(dataDir)),
    port: POSTGRES_PORT,
    user: "hubferry",
    database: "hubferry",
    ssl: false,
  });
  await client.connect();
  return client;
}

/** Writes the hub's rows to a file, as they lie in the table: in the order in which the import wrote them. */
export async function saveRows(dataDir: string, hubId: number, file: string): Promise<void> {
  const client = await connect(dataDir);
  await pipeline(
    client.query(pgCopyStreams.to(`copy (select * from identities where hub_id = ${hubId} order by ctid) to stdout`)),
    createWriteStream(file),
  );
  await client.end();
}

/** Seconds of the COPY alone; the table is dropped again. */
export async function copyIntoSameTable(dataDir: string, file: string): Promise<number> {
  const client = await connect(dataDir);
  await client.query("create table ceiling (like identities including all)");
  const start = performance.now();
  await pipeline(
    createReadStream(file, { highWaterMark: COPY_BYTES }),
    client.query(pgCopyStreams.from("copy ceiling from stdin")),
  );
  const seconds = (performance.now() - start) / 1000;
  await client.query("drop table ceiling");
  await client.end();
  return seconds;
}

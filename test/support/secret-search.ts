/** Everything that a deployment wrote, as pieces of text with the place where each lies; and the secrets in them. */
import { readdir, readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { Redis } from "ioredis";
import pg from "pg";

export interface Piece {
  readonly place: string;
  readonly text: string;
}

/** What must lie somewhere, and may lie there: identities hold their keys, policies are sealed. */
const TABLES_OF_KEYS = new Set(["public.identities", "public.hub_policies"]);

/** Files of the directory, but for those that are skipped and what lies under them. */
export async function piecesOfDirectory(directory: string, skipped: readonly string[]): Promise<Piece[]> {
  const pieces: Piece[] = [];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const file = join(entry.parentPath, entry.name);
    const place = relative(directory, file);
    if (!entry.isFile() || skipped.some((name) => place === name || place.startsWith(`${name}/`))) continue;
    pieces.push({ place, text: await readFile(file, "latin1") });
  }
  return pieces;
}

/** Every row of every table and what PostgreSQL keeps of statements, as text. */
export async function piecesOfDatabase(connection: pg.ClientConfig): Promise<Piece[]> {
  const client = new pg.Client(connection);
  await client.connect();
  try {
    const { rows: tables } = await client.query<{ name: string; schema: string }>(
      `select table_schema as schema, table_name as name from information_schema.tables
        where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE' order by 1, 2`,
    );
    const pieces: Piece[] = [];
    for (const { schema, name } of tables) {
      if (TABLES_OF_KEYS.has(`${schema}.${name}`)) continue;
      const { rows } = await client.query<{ text: string }>(
        `select t::text as text from ${client.escapeIdentifier(schema)}.${client.escapeIdentifier(name)} as t`,
      );
      pieces.push({ place: `table ${schema}.${name}`, text: rows.map((row) => row.text).join("\n") });
    }
    const { rows: activity } = await client.query<{ query: string }>(
      "select query from pg_stat_activity union all select statement from pg_prepared_statements",
    );
    pieces.push({ place: "pg_stat_activity", text: activity.map((row) => row.query).join("\n") });
    return pieces;
  } finally {
    await client.end();
  }
}

/** Every key with its value, whatever its type. */
export async function piecesOfRedis(url: string): Promise<Piece[]> {
  const redis = new Redis(url);
  try {
    const pieces: Piece[] = [];
    for (const key of await redis.keys("*")) {
      const reading: Readonly<Record<string, () => Promise<unknown>>> = {
        string: () => redis.get(key),
        list: () => redis.lrange(key, 0, -1),
        set: () => redis.smembers(key),
        zset: () => redis.zrange(key, "0", "-1"),
        hash: () => redis.hgetall(key),
        stream: () => redis.xrange(key, "-", "+"),
      };
      const read = reading[await redis.type(key)];
      pieces.push({
        place: `Redis ${key}`,
        text: `${key}\n${JSON.stringify(read === undefined ? null : await read())}`,
      });
    }
    return pieces;
  } finally {
    redis.disconnect();
  }
}

/** A signature or key that has been replaced by `***` is none any more. */
const PATTERNS: readonly RegExp[] = [/\bsig=(?!\*\*\*)[^\s"'\\]/i, /(?:SharedAccess|Account)Key=(?!\*\*\*)[^\s"'\\]/i];

/** One line for each secret that a piece holds: where, and what is around it. Nothing is fine. */
export function findSecrets(pieces: readonly Piece[], secrets: ReadonlySet<string>): string[] {
  const found: string[] = [];
  for (const { place, text } of pieces) {
    for (const secret of secrets) report(place, text, text.indexOf(secret));
    for (const pattern of PATTERNS) report(place, text, text.search(pattern));
  }
  return found;

  function report(place: string, text: string, index: number): void {
    if (index >= 0) found.push(`${place}: ...${text.slice(Math.max(0, index - 80), index + 80)}...`);
  }
}

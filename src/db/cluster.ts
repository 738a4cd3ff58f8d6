/** Makes the embedded cluster: PostgreSQL's word for a data directory with its databases. */
import { execFile } from "node:child_process";
import { chownSync, closeSync, existsSync, fsyncSync, mkdtempSync, openSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import type { PostgresServer } from "./postmaster.ts";
import { commandAs } from "./run-as.ts";

export const POSTGRES_NAME = "hubferry";
const OUTPUT_CHARS_MAX = 2_000;

/** To be called under the start lock. Does nothing when the cluster is there; it appears complete or not at all. */
export async function createClusterUnlessThere(server: PostgresServer): Promise<void> {
  if (existsSync(server.clusterDir)) return;
  await removeRemains(server);
  const fresh = mkdtempSync(unfinishedPrefix(server)); // mode 0700
  if (server.runAs.kind === "user") chownSync(fresh, server.runAs.uid, server.runAs.gid);
  await initialise(server, fresh);
  renameSync(fresh, server.clusterDir);
  syncDirectory(server.dataDir);
  server.log.info({ directory: server.clusterDir }, "made the embedded database");
}

/** Of processes that were killed at this point. Their initdb may still write for a moment, so names are not shared. */
async function removeRemains(server: PostgresServer): Promise<void> {
  const prefix = basename(unfinishedPrefix(server));
  for (const name of readdirSync(server.dataDir).filter((entry) => entry.startsWith(prefix))) {
    await rm(join(server.dataDir, name), { recursive: true, force: true, maxRetries: 5 });
  }
}

function unfinishedPrefix(server: PostgresServer): string {
  return `${server.clusterDir}.new-`;
}

async function initialise(server: PostgresServer, fresh: string): Promise<void> {
  // Trust is safe: the socket's directory lets in the server's own user and root alone.
  const user = [`--username=${POSTGRES_NAME}`, "--auth=trust"];
  // Locale C: ids compare byte by byte, and no index depends on the machine's libc.
  await run(server, server.programs.initdb, [
    `--pgdata=${fresh}`,
    ...user,
    "--encoding=UTF8",
    "--locale=C",
    "--no-instructions",
  ]);
  const single = ["--single", "-D", fresh, "-c", "exit_on_error=on", "postgres"];
  await run(server, server.programs.postgres, single, `create database ${POSTGRES_NAME}\n`);
}

async function run(server: PostgresServer, program: string, args: readonly string[], input = ""): Promise<void> {
  const command = commandAs(server.runAs, program, args);
  const running = promisify(execFile)(command.file, command.args, command.options);
  running.child.stdin?.on("error", () => {}); // it ended without reading: its exit code says so
  running.child.stdin?.end(input);
  try {
    await running;
  } catch (error) {
    const { stdout = "", stderr = "", message } = error as Error & { stdout?: string; stderr?: string };
    const output = `${stdout}${stderr}`.slice(-OUTPUT_CHARS_MAX).trim();
    throw new Error(`the embedded database could not be made: ${output || message}`, { cause: error });
  }
}

/** Else a power cut could lose the name of a database that has taken writes. */
function syncDirectory(directory: string): void {
  const fd = openSync(directory, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

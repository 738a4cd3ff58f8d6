/** The server process (PostgreSQL calls it postmaster) of an embedded cluster: find, start, stop. */
import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Logger } from "../log.ts";
import type { PostgresPrograms } from "./postgres-programs.ts";
import { settingArguments } from "./postgres-settings.ts";
import { commandAs, type RunAs } from "./run-as.ts";
import { createSocketDirectory, POSTGRES_PORT } from "./socket-directory.ts";

/** Where an embedded server lives and who it runs as. Absolute paths. */
export interface PostgresServer {
  readonly dataDir: string;
  readonly clusterDir: string;
  readonly socketDir: string;
  readonly programs: PostgresPrograms;
  readonly runAs: RunAs;
  readonly log: Logger;
}

const POLL_MS = 20;
/** Replaying `max_wal_size` after a crash takes minutes on a slow disk. */
export const START_MS_MAX = 300_000;
/** A fast stop writes out `shared_buffers`; one that takes longer is cut, and the next start replays the log. */
const STOP_MS_MAX = 60_000;
/** Backends of a killed postmaster end at their next wait; until then a new one refuses to start. */
const ORPHANS_MS_MAX = 60_000;
const LOG_BYTES_MAX = 10 * 1024 * 1024;
const LOG_TAIL_CHARS_MAX = 2_000;
/** Above any pid that Linux or macOS gives. */
const PID_OF_NOBODY = 2 ** 31 - 1;

/** The pid of the living postmaster of the cluster, ready or not; null when there is none. */
export function findPostmaster(clusterDir: string): number | null {
  const pid = readPidFile(clusterDir)?.pid;
  return pid !== undefined && isPostmaster(pid, clusterDir) ? pid : null;
}

/** False from the moment at which the server is told to stop, before it tells its sessions. */
export function isPostmasterReady(clusterDir: string): boolean {
  return readPidFile(clusterDir)?.status === "ready";
}

/**
 * Starts the server and returns its pid once it takes connections. To be called under the start lock while there is no
 * postmaster. Throws with the end of the server's log, and leaves nothing running, when it does not come up.
 */
export async function startPostmaster(server: PostgresServer): Promise<number> {
  retirePidFile(server.clusterDir);
  createSocketDirectory(server.socketDir, server.runAs);
  const deadline = Date.now() + ORPHANS_MS_MAX;
  for (;;) {
    const start = await tryStart(server);
    if (start.pid !== null) return start.pid;
    const orphans = /pre-existing shared memory block .* is still in use/.test(start.logTail);
    if (!orphans || Date.now() > deadline)
      throw new Error(`the embedded PostgreSQL did not start: ${start.reason}\n${start.logTail}`);
    await sleep(POLL_MS * 5);
  }
}

/** Stops the server without waiting for its clients, and returns when the process is gone. */
export async function stopPostmaster(server: PostgresServer): Promise<void> {
  const pid = findPostmaster(server.clusterDir);
  // Signals instead of pg_ctl stop, which waits for the pid file and would take that of a quick successor for this one.
  if (pid === null || (await endsAfter(server, pid, "SIGINT", STOP_MS_MAX))) return; // fast shutdown
  server.log.warn(
    { postmaster: pid },
    "the embedded PostgreSQL is slow to stop: it is cut, and recovers at its next start",
  );
  if (await endsAfter(server, pid, "SIGQUIT", STOP_MS_MAX)) return; // immediate shutdown
  throw new Error(`the embedded PostgreSQL, process ${pid}, does not stop`);
}

/** `pid` is null when the server ended or was ended before it was ready. */
interface Start {
  readonly pid: number | null;
  readonly reason: string;
  readonly logTail: string;
}

async function tryStart(server: PostgresServer): Promise<Start> {
  const logFile = join(server.dataDir, "postgres.log");
  const { fd, size } = openLogFile(logFile);
  const settings = settingArguments(server.socketDir, POSTGRES_PORT);
  const command = commandAs(server.runAs, server.programs.postgres, ["-D", server.clusterDir, ...settings]);
  // Detached: in a session of its own, so that Ctrl-C in the terminal reaches us and not the server. The log is passed
  // on as an open file, which needs no permission of the server's uid.
  const child = spawn(command.file, command.args, { ...command.options, detached: true, stdio: ["ignore", fd, fd] });
  closeSync(fd);
  child.unref();
  const reason = await waitUntilReady(child, server.clusterDir);
  const logTail = reason === null ? "" : readFileSync(logFile).subarray(size).toString().slice(-LOG_TAIL_CHARS_MAX);
  return { pid: reason === null ? (child.pid ?? null) : null, reason: reason ?? "", logTail };
}

/** Emptied here when it has grown long: a server that runs logs a few lines an hour. */
function openLogFile(file: string): { fd: number; size: number } {
  const fd = openSync(file, "a", 0o600);
  if (fstatSync(fd).size > LOG_BYTES_MAX) ftruncateSync(fd);
  return { fd, size: fstatSync(fd).size };
}

/** Returns null, or why the server is not there: then its process has ended. */
async function waitUntilReady(child: ChildProcess, clusterDir: string): Promise<string | null> {
  const ended = endOf(child);
  for (const deadline = Date.now() + START_MS_MAX; ;) {
    const pidFile = readPidFile(clusterDir);
    if (pidFile?.pid === child.pid && pidFile?.status === "ready") return null;
    if (Date.now() > deadline) child.kill("SIGQUIT"); // immediate shutdown
    const reason = await Promise.race([ended, sleep(POLL_MS)]);
    if (reason !== undefined) return reason;
  }
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("error", (error) => resolve(error.message)); // it could not be run at all
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
}

/** `postmaster.pid`: line 1 is the pid, line 8 the status (PostgreSQL's pidfile.h). */
function readPidFile(clusterDir: string): { pid: number; status: string } | null {
  const lines = findPidFileText(clusterDir)?.split("\n");
  return lines === undefined ? null : { pid: Number(lines[0]), status: lines[7]?.trim() ?? "" };
}

function findPidFileText(clusterDir: string): string | null {
  try {
    return readFileSync(join(clusterDir, "postmaster.pid"), "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/**
 * PostgreSQL takes any living process of that pid for a server. After a kill that is wrong for a zombie that process 1
 * of a container does not reap, and for whoever has the pid in the container's next life. The file is kept but for its
 * pid: by its last lines the new server finds out whether backends of the old one still run.
 */
function retirePidFile(clusterDir: string): void {
  const text = findPidFileText(clusterDir);
  if (text !== null) writeFileSync(join(clusterDir, "postmaster.pid"), text.replace(/^.*/, String(PID_OF_NOBODY)));
}

function isPostmaster(pid: number, clusterDir: string): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    if (process.platform !== "linux") return process.kill(pid, 0);
    const [program = "", ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0"); // empty for a zombie
    return basename(program) === "postgres" && args.includes(clusterDir);
  } catch (error) {
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
    throw error;
  }
}

async function endsAfter(
  server: PostgresServer,
  pid: number,
  signal: NodeJS.Signals,
  waitMs: number,
): Promise<boolean> {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
  for (const deadline = Date.now() + waitMs; isPostmaster(pid, server.clusterDir); await sleep(POLL_MS)) {
    if (Date.now() > deadline) return false;
  }
  return true;
}

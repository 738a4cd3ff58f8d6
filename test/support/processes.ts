/** Processes that fault tests kill, and those that must not be left. Linux alone has the means. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

/** Kills with SIGKILL; a process that is gone already is as wanted. */
export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** The pid of the embedded PostgreSQL's postmaster. */
export function postmasterPid(dataDir: string): number {
  return Number(readFileSync(join(dataDir, "postgres", "postmaster.pid"), "utf8").split("\n")[0]);
}

/** Processes that name the directory in their command line or work in it, as backends of PostgreSQL do. */
export function findProcesses(directory: string): string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      const { command, cwd } = describe(pid);
      return command.includes(directory) || cwd.startsWith(directory) ? [`${pid} ${command || cwd}`] : [];
    });
}

function describe(pid: string): { command: string; cwd: string } {
  try {
    const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
    return { command, cwd: readlinkSync(`/proc/${pid}/cwd`) };
  } catch {
    return { command: "", cwd: "" }; // gone meanwhile, or a zombie
  }
}

const LEFT_MS_MAX = 10_000;

/** What is still there after a while: processes that are on their way out are given the time. */
export async function processesLeft(directory: string): Promise<string[]> {
  for (const deadline = Date.now() + LEFT_MS_MAX; ; await sleep(50)) {
    const left = findProcesses(directory);
    if (left.length === 0 || Date.now() > deadline) return left;
  }
}

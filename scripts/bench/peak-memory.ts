/** The peak resident memory of a process, where the system tells it (Linux). */
import { readFileSync, writeFileSync } from "node:fs";

/** Bytes; null where it is not to be had. */
export function peakMemory(pid: number): number | null {
  try {
    const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
    return match === null ? null : Number(match[1]) * 1024;
  } catch {
    return null;
  }
}

/** From here on the peak is that of what comes. */
export function resetPeakMemory(pid: number): void {
  try {
    writeFileSync(`/proc/${pid}/clear_refs`, "5");
  } catch {
    // Not Linux, or not ours: the peak is then that of the process's whole life.
  }
}

/** The lock under which one process at a time creates or starts the embedded server. */
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

const SQLITE_BUSY = 5;
const POLL_MS = 50;

/**
 * Waits for the lock until `deadline` (epoch milliseconds), then throws. Node has no flock; SQLite's lock on an empty
 * file is one of the kernel's, which ends with its process. A file holding a pid would not: in a container the next
 * life of the process has the same pids, and a dead holder looks alive.
 */
export async function acquireStartLock(dataDir: string, deadline: number): Promise<Disposable> {
  const file = join(dataDir, "postgres.lock");
  const lock = new DatabaseSync(file, { timeout: 0 });
  try {
    while (!tryLock(lock)) {
      if (Date.now() > deadline) throw new Error(`another process holds ${file} and does not get done`);
      await sleep(POLL_MS);
    }
  } catch (error) {
    lock.close();
    throw error;
  }
  return { [Symbol.dispose]: () => lock.close() };
}

function tryLock(lock: DatabaseSync): boolean {
  try {
    lock.exec("begin exclusive");
    return true;
  } catch (error) {
    if ((error as { errcode?: number }).errcode === SQLITE_BUSY) return false;
    throw error;
  }
}

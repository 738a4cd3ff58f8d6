/** Starts the embedded PostgreSQL again when it has died. */
import { type EmbeddedPostgres, LockTaken } from "../db/embedded-postgres.ts";
import { messageOf } from "../errors.ts";
import type { Logger } from "../log.ts";

const WATCH_INTERVAL_MS = 2_000;

/** `onTaken` is called when another server took this one's place meanwhile. */
export function watchPostgres(
  postgres: EmbeddedPostgres,
  log: Logger,
  onTaken: () => void = () => {},
): AsyncDisposable {
  let timer: NodeJS.Timeout | undefined;
  let isStopped = false;
  let turn: Promise<void> = Promise.resolve();
  const look = async () => {
    try {
      await postgres.ensureRunning();
    } catch (error) {
      log.error({ err: messageOf(error) }, "PostgreSQL is down and could not be started");
      if (error instanceof LockTaken) return onTaken();
    }
    schedule();
  };
  const schedule = () => {
    if (!isStopped) timer = setTimeout(() => void (turn = look()), WATCH_INTERVAL_MS);
  };
  schedule();
  return {
    [Symbol.asyncDispose]: async () => {
      isStopped = true;
      clearTimeout(timer);
      await turn;
    },
  };
}

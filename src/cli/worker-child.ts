/** The worker process that `serve` keeps beside it. */
import { type ChildProcess, fork } from "node:child_process";
import { randomUUID } from "node:crypto";
import { fileURLToPath } from "node:url";
import type { Database } from "../db/pool.ts";
import { messageOf } from "../errors.ts";
import { releaseJobsOfWorker } from "../jobs/hold-job.ts";
import type { Logger } from "../log.ts";

const MAIN = fileURLToPath(new URL("../main.ts", import.meta.url));
const RESTART_DELAY_MS = 500;
const RESTART_DELAY_MS_MAX = 30_000;
/** A worker that lived so long did not die of its start. */
const STEADY_MS = 60_000;
/** Time that a worker gets to commit its batches and hand its jobs back. */
const DRAIN_MS_MAX = 60_000;

/**
 * A small heap: without a bound V8 lets garbage grow to hundreds of MB, for it sees a machine with much memory. Young
 * objects get 16 MB, so that most of a batch is gone before it is moved (measured: ARCHITECTURE.md, memory).
 */
const NODE_FLAGS = ["--max-semi-space-size=16", "--max-old-space-size=128"];

export class WorkerChild implements AsyncDisposable {
  readonly #args: readonly string[];
  readonly #database: Database;
  readonly #log: Logger;
  #child: ChildProcess | null = null;
  #restart: NodeJS.Timeout | undefined;
  #delayMs = RESTART_DELAY_MS;
  #isStopping = false;

  /** Starts `hubferry work` with these arguments, and again whenever it dies. */
  constructor(args: readonly string[], database: Database, log: Logger) {
    this.#args = args;
    this.#database = database;
    this.#log = log;
    this.#start();
  }

  #start(): void {
    const workerId = randomUUID();
    const startedAt = Date.now();
    // A group of its own: Ctrl-C of a terminal reaches the server alone, which then drains the worker.
    const child = fork(MAIN, ["work", "--worker-id", workerId, ...this.#args], {
      detached: true,
      execArgv: NODE_FLAGS,
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#child = child;
    child.on("error", (error) => this.#log.error({ err: messageOf(error) }, "the worker could not be started"));
    child.on("exit", (code, signal) => {
      this.#child = null;
      void this.#release(workerId);
      if (this.#isStopping) return;
      if (Date.now() - startedAt > STEADY_MS) this.#delayMs = RESTART_DELAY_MS;
      this.#log.error({ code, signal, restartInMs: this.#delayMs }, "the worker died");
      this.#restart = setTimeout(() => this.#start(), this.#delayMs);
      this.#delayMs = Math.min(this.#delayMs * 2, RESTART_DELAY_MS_MAX);
    });
  }

  /** The dead hold nothing: its jobs need not wait for their leases to run out. */
  async #release(workerId: string): Promise<void> {
    try {
      await releaseJobsOfWorker(this.#database, workerId);
    } catch (error) {
      this.#log.warn({ err: messageOf(error) }, "jobs of a dead worker wait for their leases to run out");
    }
  }

  /** Ends the worker without waiting for anything. */
  killAtOnce(): void {
    this.#child?.kill("SIGKILL");
  }

  /** Drains the worker; one that does not end in time is killed. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === null) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    child.once("exit", () => resolve());
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), DRAIN_MS_MAX);
    await promise;
    clearTimeout(timer);
  }
}

/** SIGTERM and SIGINT: the first one asks to drain, the second one ends the process at once. */

/** The exit code of a process that a signal ended at once, as shells give it. */
const EXIT_SIGINT = 130;

export interface Shutdown extends Disposable {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** The same as a signal, for a process that has lost its parent. */
  request(): void;
}

/** `atOnce` is called before the process ends for a second signal; it must not wait for anything. */
export function listenForShutdown(atOnce: () => void): Shutdown {
  const controller = new AbortController();
  const onSignal = () => {
    if (!controller.signal.aborted) return controller.abort();
    atOnce();
    process.exit(EXIT_SIGINT);
  };
  process.on("SIGTERM", onSignal).on("SIGINT", onSignal);
  return {
    signal: controller.signal,
    request: () => controller.abort(),
    [Symbol.dispose]: () => void process.off("SIGTERM", onSignal).off("SIGINT", onSignal),
  };
}

/** Resolves when the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (signal.aborted) resolve();
  else signal.addEventListener("abort", () => resolve(), { once: true });
  return promise;
}

/** Generation ids: .NET ticks (100 ns since 0001-01-01) of the creation, unique within one clock (contract 6). */

/** Milliseconds from 0001-01-01 to 1970-01-01. */
const UNIX_EPOCH_MS = 62_135_596_800_000;
const TICKS_PER_MS = 10_000;

export class GenerationClock {
  readonly #startMs: number;
  #count = 0;

  constructor(now: number = Date.now()) {
    this.#startMs = now + UNIX_EPOCH_MS;
  }

  /** Decimal digits: the number does not fit a double. */
  next(): string {
    const count = this.#count++;
    const ms = this.#startMs + Math.floor(count / TICKS_PER_MS);
    return `${ms}${String(count % TICKS_PER_MS).padStart(4, "0")}`;
  }
}

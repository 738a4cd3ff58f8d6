/** Reads a range in pieces of READ_CHUNK_BYTES, each fetched while the consumer works on the one before it. */
import { READ_CHUNK_BYTES } from "../limits.ts";

/** Fetches exactly these bytes, or throws. */
export type FetchRange = (offset: number, bytes: number, signal: AbortSignal) => Promise<Buffer>;

export interface ReadAheadRange {
  /** First byte to read. */
  readonly offset: number;
  /** Bytes of the whole blob: one past the last byte to read. */
  readonly bytesTotal: number;
  readonly signal: AbortSignal;
}

/**
 * Yields the pieces in order. At most two are held: the one being worked on and the one being fetched. When the
 * consumer returns early the fetch under way is aborted and waited for.
 */
export async function* readAhead(
  fetchRange: FetchRange,
  range: ReadAheadRange,
): AsyncGenerator<Buffer, void, undefined> {
  const stop = new AbortController();
  const signal = AbortSignal.any([range.signal, stop.signal]);
  const start = (offset: number): Promise<Buffer> | null => {
    if (offset >= range.bytesTotal) return null;
    const fetched = fetchRange(offset, Math.min(READ_CHUNK_BYTES, range.bytesTotal - offset), signal);
    fetched.catch(() => {}); // it may fail while nobody waits for it; whoever awaits it still sees the failure
    return fetched;
  };
  let { offset } = range;
  let ahead = start(offset);
  try {
    while (ahead !== null) {
      const piece = await ahead;
      offset += piece.length;
      ahead = start(offset);
      yield piece;
    }
  } finally {
    stop.abort();
    await ahead?.catch(() => {});
  }
}

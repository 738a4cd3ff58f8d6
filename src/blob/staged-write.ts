/**
 * Writes a stream as staged blocks. Until the block list is committed nobody sees any of it, and the commit shows all
 * of it at once; blocks that are never committed are dropped by storage after a week.
 */
import { randomUUID } from "node:crypto";
import { BLOCK_BYTES, BLOCKS_IN_FLIGHT_MAX } from "../limits.ts";

/** What the write needs of a blob. The first block is staged before any other is begun. */
export interface StagingTarget {
  stage(blockId: string, block: Buffer, signal: AbortSignal): Promise<void>;
  /** Makes the blob consist of these blocks, in this order. Returns its ETag. */
  commit(blockIds: readonly string[], signal: AbortSignal): Promise<string>;
}

export interface StagedWrite {
  readonly signal: AbortSignal;
  /** Called when everything is staged and before anything is visible: the last moment to find out that another
   *  attempt has taken the job over. What it throws is thrown on, and nothing is committed. */
  readonly beforeCommit?: (() => Promise<void>) | undefined;
}

export interface WrittenBlob {
  readonly etag: string;
  readonly bytes: number;
}

/**
 * Chunks are at most BLOCK_BYTES each and must not be changed after they are handed over. Throws what the chunks,
 * `beforeCommit` or the target throw, or the signal's reason; by then nothing of it is under way any more. An abort is
 * noticed at the next chunk, so whoever makes the chunks should heed the signal too.
 */
export async function writeStaged(
  target: StagingTarget,
  chunks: AsyncIterable<Buffer>,
  write: StagedWrite,
): Promise<WrittenBlob> {
  const stop = new AbortController();
  const signal = AbortSignal.any([write.signal, stop.signal]);
  const nextId = blockIds();
  const inFlight = new Set<Promise<void>>();
  const ids: string[] = [];
  let bytes = 0;
  try {
    for await (const block of toBlocks(chunks)) {
      signal.throwIfAborted();
      const id = nextId();
      ids.push(id);
      bytes += block.length;
      const staged = target.stage(id, block, signal).finally(() => inFlight.delete(staged));
      staged.catch((error) => stop.abort(error)); // the others stop at once, and the signal carries the failure here
      inFlight.add(staged);
      // The first goes alone: if the blob has to be cleared for it, no other block of ours may be lost with that.
      if (ids.length === 1) await staged;
      else if (inFlight.size >= BLOCKS_IN_FLIGHT_MAX) await Promise.race(inFlight);
    }
    await Promise.all(inFlight);
    signal.throwIfAborted();
    await write.beforeCommit?.();
    signal.throwIfAborted();
    return { etag: await target.commit(ids, signal), bytes };
  } finally {
    stop.abort();
    await Promise.allSettled(inFlight);
  }
}

/**
 * Blocks of at most BLOCK_BYTES: small chunks are joined, and a chunk that is a block already passes without a copy.
 * A block is not filled up by cutting a chunk, so that it costs one copy at most.
 */
export async function* toBlocks(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    if (chunk.length > BLOCK_BYTES)
      throw new RangeError(`a chunk has ${chunk.length} bytes, at most ${BLOCK_BYTES} are allowed`);
    if (bytes > 0 && bytes + chunk.length > BLOCK_BYTES) {
      yield join(parts, bytes);
      parts = [];
      bytes = 0;
    }
    if (chunk.length === 0) continue;
    parts.push(chunk);
    bytes += chunk.length;
  }
  if (bytes > 0) yield join(parts, bytes);
}

function join(parts: readonly Buffer[], bytes: number): Buffer {
  return parts.length === 1 && parts[0] !== undefined ? parts[0] : Buffer.concat(parts, bytes);
}

/**
 * Ids of one writer: its own random part, so that the blocks of two attempts never mix, and a number. All ids of a
 * blob must be of one length, leftovers of other writers included: 48 bytes is what Azure's own SDKs use.
 */
function blockIds(): () => string {
  const writer = randomUUID();
  let count = 0;
  return () => Buffer.from(`${writer}-${String(count++).padStart(11, "0")}`).toString("base64");
}

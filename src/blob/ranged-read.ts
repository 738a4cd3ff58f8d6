/** One ranged GET that is pinned to an ETag, and goes on from where it stopped when its body is cut. */
import type { BlobDownloadResponseParsed, BlockBlobClient } from "@azure/storage-blob";
import { setTimeout as sleep } from "node:timers/promises";
import { BlobError, toBlobError, type BlobAction } from "./blob-error.ts";
import { BODY_PROGRESS_BYTES_MIN, BODY_TRIES_MAX } from "./bounds.ts";

export interface RangeSource {
  readonly blob: BlockBlobClient;
  readonly etag: string;
  readonly action: BlobAction;
  readonly retryDelayMs: number;
}

export interface ByteRange {
  readonly offset: number;
  /** More than 0, and within the blob. */
  readonly bytes: number;
  readonly signal: AbortSignal;
}

/** Returns exactly the bytes asked for. Throws a BlobError, or the signal's reason. */
export async function fetchRange(source: RangeSource, range: ByteRange): Promise<Buffer> {
  const target = Buffer.allocUnsafeSlow(range.bytes); // not from the pool: the consumer may keep slices of it
  let filled = 0;
  for (let tries = 1; filled < range.bytes; tries += 1) {
    const before = filled;
    const response = await openBody(source, range, filled);
    filled = await fill(target, filled, response, range.signal);
    range.signal.throwIfAborted();
    if (filled === range.bytes) break;
    if (filled - before >= BODY_PROGRESS_BYTES_MIN) tries = 0;
    if (tries === BODY_TRIES_MAX)
      throw new BlobError("unavailable", source.action, "the connection was cut again and again");
    await sleep(tries * source.retryDelayMs, undefined, { signal: range.signal }).catch(() => {});
    range.signal.throwIfAborted();
  }
  return target;
}

/** Retries of the request itself are the SDK's; retries of its body are ours, as the SDK takes a cut for an abort. */
async function openBody(source: RangeSource, range: ByteRange, filled: number): Promise<BlobDownloadResponseParsed> {
  const bytes = range.bytes - filled;
  try {
    range.signal.throwIfAborted();
    const response = await source.blob.download(range.offset + filled, bytes, {
      conditions: { ifMatch: source.etag },
      abortSignal: range.signal,
      maxRetryRequests: 0,
    });
    if (response.contentLength === bytes) return response;
    destroyBody(response);
  } catch (error) {
    range.signal.throwIfAborted();
    throw toBlobError(error, source.action);
  }
  throw new BlobError("invalid", source.action, "the answer is not the range that was asked for");
}

/** Returns up to where the target is filled. A body that fails is a body that ends early. */
async function fill(
  target: Buffer,
  from: number,
  response: BlobDownloadResponseParsed,
  signal: AbortSignal,
): Promise<number> {
  let filled = from;
  try {
    for await (const part of response.readableStreamBody as AsyncIterable<Buffer>) filled += part.copy(target, filled);
  } catch {
    signal.throwIfAborted();
  }
  return filled;
}

function destroyBody(response: BlobDownloadResponseParsed): void {
  const body = response.readableStreamBody as (NodeJS.ReadableStream & { destroy?: () => void }) | undefined;
  body?.destroy?.();
}

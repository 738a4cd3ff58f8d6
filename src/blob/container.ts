/**
 * A customer's blob container, as its SAS URI opens it. Works with blob calls alone: the `az` extension signs a SAS
 * for objects only (srt=o) and without the right to list (contract 15).
 */
import { ContainerClient, StorageRetryPolicyType, type BlockBlobClient } from "@azure/storage-blob";
import { azureCodeOf, BlobError, toBlobError, type BlobAction } from "./blob-error.ts";
import { checkBlobName } from "./blob-name.ts";
import { REQUEST_TRIES_MAX, RETRY_DELAY_MS, RETRY_DELAY_MS_MAX, SOCKET_IDLE_MS_MAX } from "./bounds.ts";
import { openHttpClient } from "./http-client.ts";
import { fetchRange } from "./ranged-read.ts";
import { readAhead } from "./read-ahead.ts";
import { describeSas, type SasDescription } from "./sas.ts";
import { writeStaged, type StagedWrite, type StagingTarget, type WrittenBlob } from "./staged-write.ts";
import { checkStorageUri, type StorageHosts } from "./storage-hosts.ts";

export interface BlobStat {
  /** As storage sends it, with its quotes. */
  readonly etag: string;
  readonly bytes: number;
}

export interface ReadOptions {
  /** The blob must still be this one: a BlobError of kind `changed` otherwise. */
  readonly etag: string;
  readonly offset: number;
  /** Bytes of the whole blob. */
  readonly bytesTotal: number;
  readonly signal: AbortSignal;
}

/** What tests shorten. */
export interface ContainerOptions {
  readonly retryDelayMs?: number;
  readonly idleMsMax?: number;
}

/** NDJSON is UTF-8 text: portals and Storage Explorer show this type, and offer the default one for download only. */
const CONTENT_TYPE = "text/plain; charset=utf-8";

/** Throws a RegistryError when the URI or its host will not do (see checkStorageUri). Sends nothing. */
export function openContainer(uri: string, hosts: StorageHosts, options: ContainerOptions = {}): BlobContainer {
  return new BlobContainer(checkStorageUri(uri, hosts), hosts, options);
}

/**
 * Every method throws a BlobError for what storage or the network did, and the signal's own reason when it is aborted.
 * Holds no connection of its own, so it needs no closing.
 */
export class BlobContainer {
  /** Without the account. */
  readonly name: string;
  /** The container's URL without its query: safe to show. */
  readonly place: string;
  readonly sas: SasDescription | null;
  readonly #client: ContainerClient;
  readonly #retryDelayMs: number;

  constructor(
    url: URL,
    hosts: StorageHosts,
    { retryDelayMs = RETRY_DELAY_MS, idleMsMax = SOCKET_IDLE_MS_MAX }: ContainerOptions,
  ) {
    this.name = url.pathname.split("/").at(-1) ?? "";
    this.place = `${url.origin}${url.pathname}`;
    this.sas = describeSas(url);
    this.#retryDelayMs = retryDelayMs;
    this.#client = new ContainerClient(url.href, undefined, {
      httpClient: openHttpClient(hosts, idleMsMax),
      retryOptions: {
        maxTries: REQUEST_TRIES_MAX,
        retryDelayInMs: retryDelayMs,
        maxRetryDelayInMs: RETRY_DELAY_MS_MAX,
        retryPolicyType: StorageRetryPolicyType.EXPONENTIAL,
      },
    });
  }

  async statBlob(name: string, { signal }: { signal?: AbortSignal } = {}): Promise<BlobStat> {
    const action = this.#action("look at", name);
    const blob = this.#blob(name);
    const properties = await call(action, signal, () => blob.getProperties(abortBy(signal)));
    const { etag, contentLength } = properties;
    if (etag === undefined || contentLength === undefined)
      throw new BlobError("invalid", action, "the answer has no ETag or no length");
    return { etag, bytes: contentLength };
  }

  /** Yields the blob from the offset on, in pieces of READ_CHUNK_BYTES; one piece is fetched ahead. */
  readBlobChunks(name: string, options: ReadOptions): AsyncGenerator<Buffer, void, undefined> {
    const source = {
      blob: this.#blob(name),
      etag: options.etag,
      action: this.#action("read", name),
      retryDelayMs: this.#retryDelayMs,
    };
    return readAhead((offset, bytes, signal) => fetchRange(source, { offset, bytes, signal }), options);
  }

  /**
   * Writes a block blob that appears whole, at the end, or not at all, and takes the place of the one that is there.
   * Chunks are at most BLOCK_BYTES each and belong to the writer from then on; one of BLOCK_BYTES is not copied.
   */
  async writeBlob(name: string, chunks: AsyncIterable<Buffer>, write: StagedWrite): Promise<WrittenBlob> {
    return writeStaged(this.#stagingTarget(name), chunks, write);
  }

  /** A blob that is not there is no error: it may be gone because the answer to the first try was lost. */
  async deleteBlob(name: string, { signal }: { signal?: AbortSignal } = {}): Promise<void> {
    const blob = this.#blob(name);
    await call(this.#action("delete", name), signal, () => deleteIfThere(blob, signal));
  }

  #stagingTarget(name: string): StagingTarget {
    const blob = this.#blob(name);
    const action = this.#action("write", name);
    let isPrepared = false;
    /** Tries again once when the blob that is there keeps the first block from being staged. */
    const send = async <T>(signal: AbortSignal, act: () => Promise<T>): Promise<T> => {
      try {
        return await act();
      } catch (error) {
        if (isPrepared || !(await makeRoom(blob, azureCodeOf(error), signal))) throw error;
        return await act();
      } finally {
        isPrepared = true;
      }
    };
    return {
      stage: (id, block, signal) =>
        call(action, signal, async () => {
          await send(signal, () => blob.stageBlock(id, block, block.length, abortBy(signal)));
        }),
      commit: (ids, signal) =>
        call(action, signal, async () => {
          const options = { ...abortBy(signal), blobHTTPHeaders: { blobContentType: CONTENT_TYPE } };
          const answer = await send(signal, () => blob.commitBlockList([...ids], options));
          return answer.etag ?? "";
        }),
    };
  }

  #blob(name: string): BlockBlobClient {
    checkBlobName(name);
    return this.#client.getBlockBlobClient(name);
  }

  #action(verb: BlobAction["verb"], blob: string): BlobAction {
    return { verb, blob, place: this.place, sas: this.sas };
  }
}

/**
 * Removes what keeps blocks from being staged; false when it is something else.
 * InvalidBlobType: the blob is an append or page blob. IoT Hub deletes a blob of the name before it writes (contract
 * 4.1), so it is deleted. InvalidBlobOrBlock: somebody left uncommitted blocks with ids of another length. Only a
 * Put Blob drops those, so an empty blob takes the place and is deleted at once: a reader sees the old blob, for an
 * instant an empty one, then none until the commit, and never a part of one.
 */
async function makeRoom(blob: BlockBlobClient, code: string | null, signal: AbortSignal): Promise<boolean> {
  if (code === "InvalidBlobOrBlock") await blob.upload("", 0, abortBy(signal));
  else if (code !== "InvalidBlobType") return false;
  await deleteIfThere(blob, signal);
  return true;
}

/** A blob that is gone already is as wanted; a container that is gone is not. */
async function deleteIfThere(blob: BlockBlobClient, signal: AbortSignal | undefined): Promise<void> {
  try {
    await blob.delete(abortBy(signal));
  } catch (error) {
    if (azureCodeOf(error) !== "BlobNotFound") throw error;
  }
}

function abortBy(signal: AbortSignal | undefined): { abortSignal?: AbortSignal } {
  return signal === undefined ? {} : { abortSignal: signal };
}

/** Runs a call of the SDK. What it throws does not leave this function. */
async function call<T>(action: BlobAction, signal: AbortSignal | undefined, act: () => Promise<T>): Promise<T> {
  try {
    signal?.throwIfAborted();
    return await act();
  } catch (error) {
    signal?.throwIfAborted();
    throw toBlobError(error, action);
  }
}

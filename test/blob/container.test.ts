import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { BlobError } from "../../src/blob/blob-error.ts";
import { type BlobContainer, openContainer } from "../../src/blob/container.ts";
import { parseStorageHosts } from "../../src/blob/storage-hosts.ts";
import { BLOCK_BYTES, BLOCKS_IN_FLIGHT_MAX, READ_CHUNK_BYTES } from "../../src/limits.ts";
import { type Azurite, startAzurite } from "../support/azurite.ts";
import { answerError, startHttpProxy } from "./http-proxy.ts";
import { startTcpProxy } from "./tcp-proxy.ts";

const NEVER = new AbortController().signal;
const MIB = 1024 * 1024;

let azurite: Azurite;
let name: string;
let container: BlobContainer;
const unhandled: unknown[] = [];
const onUnhandled = (reason: unknown) => unhandled.push(reason);

beforeAll(async () => {
  azurite = await startAzurite();
  process.on("unhandledRejection", onUnhandled);
}, 60_000);
afterAll(async () => {
  process.off("unhandledRejection", onUnhandled);
  await azurite[Symbol.asyncDispose]();
});
beforeEach(async () => {
  name = await azurite.createContainer();
  container = open();
});
afterEach(async () => {
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(unhandled).toEqual([]);
});

/** By way of a proxy when a host is given. */
function open(host = azurite.host): BlobContainer {
  const uri = azurite.containerUri(name).replace(azurite.host, host);
  return openContainer(uri, parseStorageHosts(host), { retryDelayMs: 5 });
}

async function* from(chunks: Iterable<Buffer>): AsyncGenerator<Buffer> {
  yield* chunks;
}

async function read(from: BlobContainer, blob: string, offset = 0): Promise<Buffer> {
  const { etag, bytes } = await container.statBlob(blob);
  return Buffer.concat(
    await Array.fromAsync(from.readBlobChunks(blob, { etag, offset, bytesTotal: bytes, signal: NEVER })),
  );
}

describe("reading", () => {
  test.each([0, 1, READ_CHUNK_BYTES - 1, READ_CHUNK_BYTES, READ_CHUNK_BYTES + 1, 2 * READ_CHUNK_BYTES + 77])(
    "%d bytes",
    async (bytes) => {
      const data = randomBytes(bytes);
      await azurite.upload(name, "b", data);
      expect((await read(container, "b")).equals(data)).toBe(true);
    },
  );

  test("from any offset", async () => {
    const data = randomBytes(READ_CHUNK_BYTES + 12_345);
    await azurite.upload(name, "b", data);
    await fc.assert(
      fc.asyncProperty(fc.nat(data.length), async (offset) =>
        (await read(container, "b", offset)).equals(data.subarray(offset)),
      ),
      { numRuns: 20 },
    );
  });

  test("exactly one piece is fetched ahead", async () => {
    await using proxy = await startHttpProxy(azurite.host);
    await azurite.upload(name, "b", randomBytes(4 * READ_CHUNK_BYTES));
    const { etag, bytes } = await container.statBlob("b");
    const pieces = open(proxy.host).readBlobChunks("b", { etag, offset: 0, bytesTotal: bytes, signal: NEVER });
    await pieces.next();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(proxy.requests).toHaveLength(2);
    await pieces.next();
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(proxy.requests).toHaveLength(3);
    await pieces.return();
  });

  test("a blob that was replaced is not read on", async () => {
    await azurite.upload(name, "b", randomBytes(3 * READ_CHUNK_BYTES));
    const { etag, bytes } = await container.statBlob("b");
    const pieces = container.readBlobChunks("b", { etag, offset: 0, bytesTotal: bytes, signal: NEVER });
    await pieces.next();
    await azurite.upload(name, "b", randomBytes(3 * READ_CHUNK_BYTES));
    const rest = (async () => {
      while (!(await pieces.next()).done);
    })();
    await expect(rest).rejects.toMatchObject({ kind: "changed", retryable: false, azureCode: "ConditionNotMet" });
  });

  test("a failed fetch ahead is met at the next piece, or never when the reader leaves", async () => {
    await azurite.upload(name, "b", randomBytes(3 * READ_CHUNK_BYTES));
    const { etag, bytes } = await container.statBlob("b");
    const pieces = container.readBlobChunks("b", { etag, offset: 0, bytesTotal: bytes, signal: NEVER });
    await pieces.next();
    await container.deleteBlob("b");
    await pieces.next().catch(() => {});
    await pieces.return();
  });

  test("an abort stops it with the signal's reason", async () => {
    await azurite.upload(name, "b", randomBytes(3 * READ_CHUNK_BYTES));
    const { etag, bytes } = await container.statBlob("b");
    const abort = new AbortController();
    const pieces = container.readBlobChunks("b", { etag, offset: 0, bytesTotal: bytes, signal: abort.signal });
    await pieces.next();
    abort.abort(new Error("enough"));
    await expect(pieces.next()).rejects.toThrow("enough");
  });

  test("connections cut at random places: the bytes are the same", async () => {
    const data = randomBytes(2 * READ_CHUNK_BYTES + 999);
    await azurite.upload(name, "b", data);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 300_000, max: 5 * MIB }), { minLength: 1, maxLength: 8 }),
        async (cuts) => {
          await using proxy = await startTcpProxy(azurite.host);
          proxy.cutAfter = (connection) => cuts[connection] ?? null;
          expect((await read(open(proxy.host), "b")).equals(data)).toBe(true);
          expect(proxy.connections).toBeGreaterThan(1);
        },
      ),
      { numRuns: 8 },
    );
  }, 60_000);

  test("a connection that is always cut at once is given up", async () => {
    await azurite.upload(name, "b", randomBytes(READ_CHUNK_BYTES));
    await using proxy = await startTcpProxy(azurite.host);
    proxy.cutAfter = () => 5_000;
    await expect(read(open(proxy.host), "b")).rejects.toMatchObject({ kind: "unavailable", retryable: true });
    expect(proxy.connections).toBe(4);
  });

  test("an answer that ignores the range is refused", async () => {
    await azurite.upload(name, "b", randomBytes(1000));
    await using proxy = await startHttpProxy(azurite.host);
    proxy.answer = (request) => {
      delete request.headers["x-ms-range"];
      delete request.headers.range;
      return false;
    };
    await expect(read(open(proxy.host), "b", 10)).rejects.toMatchObject({ kind: "invalid" });
  });

  test.each(["../other/b", "a/../../other/b", "..", "./b", "", "a\\b", "a\nb", "\ud800", "x".repeat(1025)])(
    "no blob has the name %j",
    async (blob) => {
      await expect(container.statBlob(blob)).rejects.toMatchObject({ code: "ArgumentInvalid" });
    },
  );

  test.each(["a/b c/ä€😀.txt", "q?x=1&y#z;%2e%2e+'()", "dir//b"])("a blob may have the name %j", async (blob) => {
    await container.writeBlob(blob, from([Buffer.from("x")]), { signal: NEVER });
    expect(await azurite.listBlobs(name)).toEqual([blob]);
    expect((await container.statBlob(blob)).bytes).toBe(1);
    await container.deleteBlob(blob);
    expect(await azurite.listBlobs(name)).toEqual([]);
  });
});

describe("writing", () => {
  test.each([
    ["nothing", []],
    ["empty chunks", [0, 0]],
    ["one byte", [1]],
    ["small ones", [1, 2, 3, MIB, 5]],
    ["a whole block", [BLOCK_BYTES]],
    ["more than three blocks", [BLOCK_BYTES, 17, BLOCK_BYTES, 3 * MIB, 2 * MIB, BLOCK_BYTES, BLOCK_BYTES, 1]],
  ])("%s", async (_name, sizes) => {
    const chunks = sizes.map((size) => randomBytes(size));
    const data = Buffer.concat(chunks);
    const written = await container.writeBlob("b", from(chunks), { signal: NEVER });
    expect(written.bytes).toBe(data.length);
    expect((await azurite.download(name, "b")).equals(data)).toBe(true);
    expect(await container.statBlob("b")).toEqual(written);
  });

  test("takes the place of the blob that is there, and says that it is text", async () => {
    await azurite.upload(name, "b", "old");
    await container.writeBlob("b", from([Buffer.from("new")]), { signal: NEVER });
    expect((await azurite.download(name, "b")).toString()).toBe("new");
    const { contentType } = await azurite.service.getContainerClient(name).getBlobClient("b").getProperties();
    expect(contentType).toBe("text/plain; charset=utf-8");
  });

  test("nothing is seen until the commit", async () => {
    let before: string[] = ["?"];
    await container.writeBlob("b", from([randomBytes(BLOCK_BYTES), randomBytes(9)]), {
      signal: NEVER,
      beforeCommit: async () => {
        before = await azurite.listBlobs(name);
      },
    });
    expect(before).toEqual([]);
    expect(await azurite.listBlobs(name)).toEqual(["b"]);
  });

  test.each(["abort", "failing chunks", "failing beforeCommit"])("%s leaves the old blob", async (how) => {
    await azurite.upload(name, "b", "old");
    const abort = new AbortController();
    async function* chunks(): AsyncGenerator<Buffer> {
      for (let count = 0; count < 4; count += 1) yield randomBytes(BLOCK_BYTES);
      if (how === "abort") abort.abort(new Error("abort"));
      if (how === "failing chunks") throw new Error(how);
      yield randomBytes(9);
    }
    const beforeCommit = async () => {
      if (how === "failing beforeCommit") throw new Error(how);
    };
    await expect(container.writeBlob("b", chunks(), { signal: abort.signal, beforeCommit })).rejects.toThrow(how);
    expect((await azurite.download(name, "b")).toString()).toBe("old");
  });

  test("at most so many blocks are on their way", async () => {
    await using proxy = await startHttpProxy(azurite.host);
    let underWay = 0;
    let most = 0;
    proxy.answer = (_request, response) => {
      most = Math.max(most, ++underWay);
      response.on("close", () => (underWay -= 1));
      return false;
    };
    await open(proxy.host).writeBlob("b", from(Array.from({ length: 9 }, () => randomBytes(BLOCK_BYTES))), {
      signal: NEVER,
    });
    expect(most).toBeLessThanOrEqual(BLOCKS_IN_FLIGHT_MAX);
    expect(most).toBeGreaterThan(1);
  });

  test("503 on every first try and cut uploads: the bytes are the same", async () => {
    await using proxy = await startHttpProxy(azurite.host);
    const seen = new Set<string>();
    proxy.answer = (request, response) => {
      const key = `${request.method} ${request.url}`;
      if (seen.has(key)) return false;
      seen.add(key);
      if (seen.size % 3 === 0) request.socket.destroy();
      else answerError(response, 503, "ServerBusy");
      return true;
    };
    const chunks = Array.from({ length: 5 }, () => randomBytes(BLOCK_BYTES));
    await open(proxy.host).writeBlob("b", from(chunks), { signal: NEVER });
    expect((await azurite.download(name, "b")).equals(Buffer.concat(chunks))).toBe(true);
    expect((await read(open(proxy.host), "b")).equals(Buffer.concat(chunks))).toBe(true);
  });

  test("the answer to the commit is lost: the second try succeeds", async () => {
    await using proxy = await startHttpProxy(azurite.host);
    let commits = 0;
    proxy.answer = (request, response) => {
      if (request.url?.includes("comp=blocklist") && ++commits === 1) {
        response.write = () => response.destroy().writable;
        response.end = () => response.destroy();
      }
      return false;
    };
    await open(proxy.host).writeBlob("b", from([Buffer.from("once")]), { signal: NEVER });
    expect(commits).toBe(2);
    expect((await azurite.download(name, "b")).toString()).toBe("once");
  });

  test("a block that fails for good stops the others and the chunks", async () => {
    await using proxy = await startHttpProxy(azurite.host);
    let isReturned = false;
    async function* endless(): AsyncGenerator<Buffer> {
      try {
        for (;;) yield randomBytes(BLOCK_BYTES);
      } finally {
        isReturned = true;
      }
    }
    proxy.answer = (_request, response) =>
      proxy.requests.length > 3 && answerError(response, 403, "AuthorizationFailure");
    await expect(open(proxy.host).writeBlob("b", endless(), { signal: NEVER })).rejects.toMatchObject({
      kind: "unauthorized",
    });
    expect(isReturned).toBe(true);
    expect(await azurite.listBlobs(name)).toEqual([]);
  });

  test("two attempts at once never mix", async () => {
    const data = [65, 66].map((letter) => Array.from({ length: 3 }, () => Buffer.alloc(BLOCK_BYTES, letter)));
    const results = await Promise.allSettled(
      data.map((chunks) => container.writeBlob("b", from(chunks), { signal: NEVER })),
    );
    // The first commit drops the blocks that the other one has staged, as it should.
    expect(results.map(({ status }) => status)).toContain("fulfilled");
    const written = await azurite.download(name, "b");
    expect(data.some((chunks) => written.equals(Buffer.concat(chunks)))).toBe(true);
  });

  test.each(["append", "page"])("an %s blob gives way", async (kind) => {
    const client = azurite.service.getContainerClient(name);
    if (kind === "append") await client.getAppendBlobClient("b").create();
    else await client.getPageBlobClient("b").create(512);
    await container.writeBlob("b", from([Buffer.from("new")]), { signal: NEVER });
    expect((await azurite.download(name, "b")).toString()).toBe("new");
    if (kind === "append") await client.getAppendBlobClient("empty").create();
    else await client.getPageBlobClient("empty").create(512);
    await container.writeBlob("empty", from([]), { signal: NEVER });
    expect(await azurite.download(name, "empty")).toHaveLength(0);
  });

  test.each([true, false])("blocks left with ids of another length give way (a blob is there: %s)", async (isThere) => {
    const client = azurite.service.getContainerClient(name).getBlockBlobClient("b");
    if (isThere) await azurite.upload(name, "b", "old");
    await client.stageBlock(Buffer.from("short").toString("base64"), "left", 4);
    await container.writeBlob("b", from([randomBytes(BLOCK_BYTES), Buffer.from("new")]), { signal: NEVER });
    expect((await azurite.download(name, "b")).subarray(-3).toString()).toBe("new");
  });

  test("a chunk above a block is our mistake", async () => {
    await expect(container.writeBlob("b", from([Buffer.alloc(BLOCK_BYTES + 1)]), { signal: NEVER })).rejects.toThrow(
      RangeError,
    );
  });
});

test("deleting a blob that is not there is no error, a container that is not there is one", async () => {
  await container.deleteBlob("b");
  name = "missing";
  await expect(open().deleteBlob("b")).rejects.toMatchObject({ kind: "containerNotFound" });
});

test("an account SAS for objects alone is enough", async () => {
  const { AccountSASPermissions, AccountSASResourceTypes, AccountSASServices, generateAccountSASQueryParameters } =
    await import("@azure/storage-blob");
  const values = {
    permissions: AccountSASPermissions.parse("rwd"),
    services: AccountSASServices.parse("b").toString(),
    resourceTypes: AccountSASResourceTypes.parse("o").toString(),
    expiresOn: new Date(Date.now() + 60_000),
  };
  const sas = generateAccountSASQueryParameters(values, azurite.service.credential as never).toString();
  const uri = `${azurite.containerUri(name).split("?")[0]}?${sas}`;
  const opened = openContainer(uri, parseStorageHosts(azurite.host));
  await opened.writeBlob("b", from([Buffer.from("x")]), { signal: NEVER });
  expect((await read(opened, "b")).toString()).toBe("x");
  await opened.deleteBlob("b");
  expect(await azurite.listBlobs(name)).toEqual([]);
});

test("an error of the SDK does not leave the folder", async () => {
  const error = await container.statBlob("b").catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(BlobError);
  expect((error as BlobError).cause).toBeUndefined();
  const { inspect } = await import("node:util");
  for (const thing of [error, container]) expect(inspect(thing, { depth: 9, showHidden: true })).not.toContain("sig=");
});

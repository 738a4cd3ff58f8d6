import fc from "fast-check";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { type StagingTarget, toBlocks, writeStaged } from "../../src/blob/staged-write.ts";
import { BLOCK_BYTES } from "../../src/limits.ts";

const NEVER = new AbortController().signal;

async function* from(chunks: Iterable<Buffer>): AsyncGenerator<Buffer> {
  yield* chunks;
}

test("blocks are the chunks in order, none is empty or too long, and a whole chunk is not copied", async () => {
  const size = fc.oneof(fc.nat(100), fc.nat(BLOCK_BYTES), fc.constantFrom(BLOCK_BYTES, BLOCK_BYTES - 1));
  await fc.assert(
    fc.asyncProperty(fc.array(size, { maxLength: 6 }), async (sizes) => {
      const chunks = sizes.map((bytes, index) => Buffer.alloc(bytes, index + 1));
      const blocks = await Array.fromAsync(toBlocks(from(chunks)));
      expect(Buffer.concat(blocks).equals(Buffer.concat(chunks))).toBe(true);
      for (const block of blocks) expect(block.length > 0 && block.length <= BLOCK_BYTES).toBe(true);
      for (const chunk of chunks) if (chunk.length === BLOCK_BYTES) expect(blocks.includes(chunk)).toBe(true);
      for (let at = 1; at < blocks.length; at += 1) {
        expect((blocks[at - 1]?.length ?? 0) + (blocks[at]?.length ?? 0)).toBeGreaterThan(BLOCK_BYTES / 2);
      }
    }),
    { numRuns: 30 },
  );
});

test("a block that fails while the next chunk is being made is thrown as what it is, and nothing is committed", async () => {
  const unhandled: unknown[] = [];
  const onUnhandled = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", onUnhandled);
  const calls: string[] = [];
  const target: StagingTarget = {
    async stage(_id, block) {
      calls.push(`stage ${block[0]}`);
      await sleep(5);
      if (block[0] === 2) throw new Error("disk full");
    },
    async commit() {
      calls.push("commit");
      return "";
    },
  };
  async function* slow(): AsyncGenerator<Buffer> {
    for (let letter = 1; letter <= 4; letter += 1) {
      yield Buffer.alloc(BLOCK_BYTES, letter);
      if (letter >= 3) await sleep(50);
    }
  }
  const beforeCommit = async () => void calls.push("beforeCommit");
  await expect(writeStaged(target, slow(), { signal: NEVER, beforeCommit })).rejects.toThrow("disk full");
  await sleep(20);
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled).toEqual([]);
  expect(calls).toEqual(["stage 1", "stage 2"]);
});

test("ids are of one length, in order, and differ from writer to writer", async () => {
  const committed: string[][] = [];
  const target: StagingTarget = {
    async stage() {},
    async commit(ids) {
      committed.push([...ids]);
      return "";
    },
  };
  const chunks = () => from(Array.from({ length: 12 }, () => Buffer.alloc(BLOCK_BYTES)));
  await writeStaged(target, chunks(), { signal: NEVER });
  await writeStaged(target, chunks(), { signal: NEVER });
  const ids = committed.flat();
  expect(new Set(ids).size).toBe(24);
  expect(new Set(ids.map((id) => Buffer.from(id, "base64").length))).toEqual(new Set([48]));
});

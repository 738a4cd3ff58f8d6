import fc from "fast-check";
import { expect, test } from "vitest";
import { BLOCK_BYTES } from "../../src/limits.ts";
import { assembleBlocks, type Progress } from "../../workers/export/assemble-blocks.ts";

async function assemble(chunks: Iterable<Buffer>): Promise<{ blocks: Buffer[]; progress: Progress }> {
  const progress: Progress = { lines: 0, bytes: 0 };
  const blocks: Buffer[] = [];
  for await (const block of assembleBlocks(streamOf(chunks), progress)) blocks.push(block);
  return { blocks, progress };
}

async function* streamOf(chunks: Iterable<Buffer>): AsyncGenerator<Buffer> {
  yield* chunks;
}

/** Every block but the last is full, none is empty, and together they are the text with CRLF. */
async function expectBlocks(chunks: readonly Buffer[]): Promise<void> {
  const { blocks, progress } = await assemble(chunks);
  const rows = Buffer.concat(chunks).toString("latin1");
  const expected = Buffer.from(rows.replaceAll("\n", "\r\n"), "latin1");
  for (const block of blocks.slice(0, -1)) expect(block.length).toBe(BLOCK_BYTES);
  if (expected.length > 0) expect(blocks.at(-1)!.length).toBeGreaterThan(0);
  expect(Buffer.concat(blocks).equals(expected)).toBe(true);
  expect(progress).toEqual({ lines: rows.split("\n").length - 1, bytes: expected.length });
}

test("any chunks of rows", async () => {
  const chunk = fc
    .array(fc.constantFrom("\n", "{}", "x", "é", "\n\n", '{"id":"d"}\n'))
    .map((parts) => Buffer.from(parts.join("")));
  await fc.assert(fc.asyncProperty(fc.array(chunk), expectBlocks));
});

test("rows that end around the edge of a block", async () => {
  for (const before of [0, 1, 2, 3])
    for (const row of [1, 2, 3, 4, 100]) {
      const first = Buffer.from(`${"x".repeat(BLOCK_BYTES - 2 - before)}\n`);
      const rest = Buffer.from(`${"y".repeat(row - 1)}\n`.repeat(3));
      await expectBlocks([first, rest]);
      await expectBlocks([Buffer.concat([first, rest])]);
    }
});

test("rows and chunks larger than a block", async () => {
  const row = Buffer.from(`${"x".repeat(2 * BLOCK_BYTES + 17)}\n`);
  await expectBlocks([row, row, Buffer.from("{}\n")]);
  await expectBlocks([row.subarray(0, BLOCK_BYTES), row.subarray(BLOCK_BYTES)]);
  await expectBlocks([Buffer.from(`${"x".repeat(BLOCK_BYTES - 2)}\n`)]);
  await expectBlocks([Buffer.from("{}\n".repeat(3_000_000))]);
});

test("nothing is no block", async () => {
  expect(await assemble([])).toEqual({ blocks: [], progress: { lines: 0, bytes: 0 } });
  expect(await assemble([Buffer.alloc(0)])).toEqual({ blocks: [], progress: { lines: 0, bytes: 0 } });
});

test("a block that was handed over is not written again", async () => {
  const seen: { block: Buffer; copy: Buffer }[] = [];
  const rows = Array.from({ length: 5 }, (_, index) => Buffer.from(`${String(index).repeat(BLOCK_BYTES)}\n`));
  for await (const block of assembleBlocks(streamOf(rows), { lines: 0, bytes: 0 }))
    seen.push({ block, copy: Buffer.from(block) });
  for (const { block, copy } of seen) expect(block.equals(copy)).toBe(true);
});

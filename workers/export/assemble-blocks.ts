/** The rows of an export as blocks of a blob. */
import { BLOCK_BYTES } from "../../src/limits.ts";

/** Counted as it goes on. */
export interface Progress {
  lines: number;
  bytes: number;
}

const LF = 10;
const CR = 13;
const CRLF = Buffer.from([CR, LF]);
const NOTHING = Buffer.alloc(0);

/**
 * Copies rows that end with LF into blocks of BLOCK_BYTES, the last one shorter, and ends them with CRLF: clients split
 * at that (contract 15). COPY itself cannot write it without quoting each row. A row may lie across two blocks.
 */
export async function* assembleBlocks(rows: AsyncIterable<Buffer>, progress: Progress): AsyncGenerator<Buffer> {
  let block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
  let used = 0;
  for await (const chunk of rows) {
    let start = 0;
    while (start < chunk.length) {
      const end = chunk.indexOf(LF, start);
      const stop = end === -1 ? chunk.length : end;
      const bytes = stop - start + (end === -1 ? 0 : CRLF.length);
      if (used + bytes < BLOCK_BYTES) {
        used += chunk.copy(block, used, start, stop);
        if (end !== -1) {
          block[used++] = CR;
          block[used++] = LF;
        }
      } else {
        let rest = Buffer.concat([chunk.subarray(start, stop), end === -1 ? NOTHING : CRLF]);
        while (used + rest.length >= BLOCK_BYTES) {
          rest = rest.subarray(rest.copy(block, used));
          yield block;
          block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
          used = 0;
        }
        used = rest.copy(block);
      }
      if (end !== -1) progress.lines++;
      progress.bytes += bytes;
      start = stop + 1;
    }
  }
  if (used > 0) yield block.subarray(0, used);
}

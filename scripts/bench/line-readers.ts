/** Our line splitter against stream-json's reader of the same: it stays only while it is the faster one. */
import { createReadStream } from "node:fs";
import { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import streamJsonLines from "stream-json/jsonl/parser.js";
import { READ_CHUNK_BYTES } from "../../src/limits.ts";
import { LineSplitter } from "../../workers/import/line-splitter.ts";
import type { Figure } from "./report.ts";

/** Both read the file, split it and parse each line; the ratio is to the other one. */
export async function measureLineReaders(file: string, bytes: number): Promise<Figure[]> {
  const own = await time(() => readWithSplitter(file));
  const other = await time(() => readWithStreamJson(file));
  if (own.lines !== other.lines)
    throw new Error(`the readers disagree over ${bytes} bytes: ${own.lines} and ${other.lines} lines`);
  return [
    {
      name: "line splitter and JSON.parse",
      identities: own.lines,
      seconds: own.seconds,
      ratio: other.seconds / own.seconds,
      peakBytes: null,
    },
    {
      name: "  stream-json's jsonl parser",
      identities: other.lines,
      seconds: other.seconds,
      ratio: 1,
      peakBytes: null,
    },
  ];
}

async function time(read: () => Promise<number>): Promise<{ lines: number; seconds: number }> {
  const start = performance.now();
  const lines = await read();
  return { lines, seconds: (performance.now() - start) / 1000 };
}

async function readWithSplitter(file: string): Promise<number> {
  const splitter = new LineSplitter(0, 0);
  let lines = 0;
  const parse = (bytes: Buffer | null) => {
    if (JSON.parse(bytes!.toString()) !== undefined) lines++;
  };
  for await (const chunk of createReadStream(file, { highWaterMark: READ_CHUNK_BYTES }))
    for (const line of splitter.push(chunk as Buffer)) parse(line.bytes);
  for (const line of splitter.end()) parse(line.bytes);
  return lines;
}

async function readWithStreamJson(file: string): Promise<number> {
  let lines = 0;
  const count = new Writable({
    objectMode: true,
    write: (_line, _encoding, done) => {
      lines++;
      done();
    },
  });
  await pipeline(createReadStream(file, { highWaterMark: READ_CHUNK_BYTES }), streamJsonLines.asStream(), count);
  return lines;
}

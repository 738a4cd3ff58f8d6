import fc from "fast-check";
import { expect, test } from "vitest";
import { LINE_BYTES_MAX } from "../../src/limits.ts";
import { type Line, LineSplitter } from "../../workers/import/line-splitter.ts";

const MARK = Buffer.from([0xef, 0xbb, 0xbf]);

interface Found {
  readonly text: string | null;
  readonly length: number;
  readonly number: number;
  readonly byteOffset: number;
  readonly nextOffset: number;
}

/** Copied at once: a line's bytes are the chunk's. */
const found = ({ bytes, length, number, byteOffset, nextOffset }: Line): Found => ({
  text: bytes === null ? null : bytes.toString("latin1"),
  length,
  number,
  byteOffset,
  nextOffset,
});

function split(chunks: readonly Buffer[], byteOffset = 0, linesBefore = 0): Found[] {
  const splitter = new LineSplitter(byteOffset, linesBefore);
  const lines: Found[] = [];
  for (const chunk of chunks) for (const line of splitter.push(chunk)) lines.push(found(line));
  for (const line of splitter.end()) lines.push(found(line));
  return lines;
}

/** The same in the plainest way: the whole blob at once. */
function splitPlainly(blob: Buffer, byteOffset = 0, linesBefore = 0): Found[] {
  const lines: Found[] = [];
  let start = byteOffset === 0 && blob.subarray(0, 3).equals(MARK) ? 3 : 0;
  for (let end = start; start < blob.length; end = start) {
    while (end < blob.length && blob[end] !== 10 && blob[end] !== 13) end++;
    const isPair = blob[end] === 13 && blob[end + 1] === 10;
    const next = Math.min(blob.length, end + (isPair ? 2 : 1));
    const length = end - start;
    const text = length > LINE_BYTES_MAX ? null : blob.subarray(start, end).toString("latin1");
    lines.push({
      text,
      length,
      number: linesBefore + lines.length + 1,
      byteOffset: byteOffset + start,
      nextOffset: byteOffset + next,
    });
    start = next;
  }
  return lines;
}

function cut(blob: Buffer, at: readonly number[]): Buffer[] {
  const places = [0, ...at.map((place) => place % (blob.length + 1)), blob.length].toSorted((a, b) => a - b);
  return places.slice(1).map((place, index) => blob.subarray(places[index], place));
}

const piece = fc.oneof(
  fc.constantFrom("\n", "\r\n", "\r", "\n\r", "", "{}", "\ufeff", " ", "é"),
  fc.string({ unit: "binary", maxLength: 20 }),
);
const blob = fc.oneof(
  fc.array(piece).map((parts) => Buffer.from(parts.join(""))),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
);
const cuts = fc.array(fc.nat(), { maxLength: 30 });

test("any bytes in any chunks give what the plainest way gives", () => {
  fc.assert(
    fc.property(blob, cuts, (bytes, places) => {
      expect(split(cut(bytes, places))).toEqual(splitPlainly(bytes));
    }),
    { numRuns: 2_000 },
  );
});

test("byte by byte", () => {
  fc.assert(
    fc.property(blob, (bytes) => {
      expect(split([...bytes].map((byte) => Buffer.from([byte])))).toEqual(splitPlainly(bytes));
    }),
  );
});

test("going on behind any line gives the rest of the lines", () => {
  fc.assert(
    fc.property(blob, cuts, (bytes, places) => {
      const lines = splitPlainly(bytes);
      for (const line of lines) {
        const rest = split(cut(bytes.subarray(line.nextOffset), places), line.nextOffset, line.number);
        expect(rest).toEqual(lines.slice(line.number));
      }
    }),
  );
});

test.each([
  ["", []],
  ["\ufeff", []],
  ["\n", [""]],
  ["a", ["a"]],
  ["a\n", ["a"]],
  ["a\r", ["a"]],
  ["a\r\nb\n\nc\rd", ["a", "b", "", "c", "d"]],
  ["\ufeffa\n\ufeffb", ["a", "ï»¿b"]],
])("%j", (text, lines) => {
  const bytes = Buffer.from(text);
  for (const chunks of [[bytes], [...bytes].map((byte) => Buffer.from([byte]))])
    expect(split(chunks).map((line) => line.text)).toEqual(lines);
});

test("around the longest line that is allowed, with and without a mark, in chunks of any size", () => {
  for (const mark of ["", "\ufeff"]) {
    for (const excess of [-1, 0, 1, 5_000_000]) {
      for (const end of ["", "\n", "\r\n", "\r", "\nnext", "\r\nnext"]) {
        const bytes = Buffer.from(`${mark}${"x".repeat(LINE_BYTES_MAX + excess)}${end}`);
        for (const size of [65_536, 1_000_003, bytes.length]) {
          const places = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) => index * size);
          expect(split(cut(bytes, places)), `${excess} ${JSON.stringify(end)} ${size}`).toEqual(splitPlainly(bytes));
        }
      }
    }
  }
});

test("a line without end is not held", () => {
  const splitter = new LineSplitter(0, 0);
  const chunk = Buffer.alloc(4 * 1024 * 1024, 0x78);
  const before = process.memoryUsage().arrayBuffers;
  for (let index = 0; index < 200; index++) expect([...splitter.push(chunk)]).toEqual([]);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 1024 * 1024);
  expect([...splitter.end()]).toMatchObject([{ bytes: null, length: 200 * chunk.length }]);
});

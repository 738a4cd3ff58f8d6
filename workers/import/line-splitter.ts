/**
 * Splits a blob into lines, whatever the chunks that it comes in. Own code: a line's byte offset is needed, which
 * stream-json does not give, and it is faster (see scripts/bench.ts).
 */
import { LINE_BYTES_MAX } from "../../src/limits.ts";

export interface Line {
  /** Without terminator and byte order mark; null when the line is longer than LINE_BYTES_MAX. */
  readonly bytes: Buffer | null;
  readonly length: number;
  /** From 1. */
  readonly number: number;
  /** Of the first byte in the blob. */
  readonly byteOffset: number;
  /** Of the next line's first byte: where to go on once this line is done with. */
  readonly nextOffset: number;
}

const LF = 10;
const CR = 13;
const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
const NOTHING = Buffer.alloc(0);

/** Lines end with LF, CRLF or CR, the last one with the blob; behind a last terminator there is no further line. */
export class LineSplitter {
  /** The beginning of a line whose end has not been seen; it may end with a CR whose LF has not been seen. */
  #carry: Buffer = NOTHING;
  /** Bytes at the line's beginning that were given up because it is too long. */
  #dropped = 0;
  #droppedMark = false;
  #offset: number;
  #number: number;

  /** Begins at a line's first byte, `linesBefore` lines into the blob. */
  constructor(byteOffset: number, linesBefore: number) {
    this.#offset = byteOffset;
    this.#number = linesBefore;
  }

  /** Of the first byte that belongs to no line so far; behind `end`, of the blob's end. */
  get offset(): number {
    return this.#offset;
  }

  /** The lines that end within this chunk. Their bytes are not copied: they are the chunk's as long as they are used. */
  *push(chunk: Buffer): Generator<Line> {
    let start = 0;
    if (chunk.length > 0 && this.#carry.at(-1) === CR) {
      const terminator = chunk[0] === LF ? 2 : 1;
      yield this.#take(this.#carry.subarray(0, -1), terminator);
      start = terminator - 1;
    }
    let lf = chunk.indexOf(LF, start);
    let cr = chunk.indexOf(CR, start);
    for (;;) {
      if (lf !== -1 && lf < start) lf = chunk.indexOf(LF, start);
      if (cr !== -1 && cr < start) cr = chunk.indexOf(CR, start);
      // A CR at the chunk's end waits for what follows.
      const isCr = cr !== -1 && cr < chunk.length - 1 && (lf === -1 || cr < lf);
      const end = isCr ? cr : lf;
      if (end === -1) break;
      const terminator = isCr && chunk[end + 1] === LF ? 2 : 1;
      yield this.#take(this.#join(chunk.subarray(start, end)), terminator);
      start = end + terminator;
    }
    if (start < chunk.length) this.#keep(this.#join(chunk.subarray(start)));
  }

  /** The last line, where the blob does not end with a terminator. */
  *end(): Generator<Line> {
    const terminator = this.#carry.at(-1) === CR ? 1 : 0;
    const isEmpty =
      this.#dropped + this.#carry.length === 0 || (this.#offset === 0 && this.#carry.equals(BYTE_ORDER_MARK));
    if (isEmpty) this.#offset += this.#carry.length;
    else yield this.#take(this.#carry.subarray(0, this.#carry.length - terminator), terminator);
  }

  #join(rest: Buffer): Buffer {
    return this.#carry.length === 0 ? rest : Buffer.concat([this.#carry, rest]);
  }

  #take(line: Buffer, terminator: number): Line {
    const begin = this.#offset;
    const lengthInBlob = this.#dropped + line.length;
    const mark = this.#droppedMark || beginsWithMark(line, begin) ? BYTE_ORDER_MARK.length : 0;
    const length = lengthInBlob - mark;
    this.#offset = begin + lengthInBlob + terminator;
    const bytes = length > LINE_BYTES_MAX ? null : mark === 0 ? line : line.subarray(mark);
    this.#carry = NOTHING;
    this.#dropped = 0;
    this.#droppedMark = false;
    return { bytes, length, number: ++this.#number, byteOffset: begin + mark, nextOffset: this.#offset };
  }

  /** Copied, so that a line's beginning does not hold on to its whole chunk; given up when the line is too long. */
  #keep(carry: Buffer): void {
    if (this.#dropped === 0 && carry.length <= CARRY_BYTES_MAX) {
      this.#carry = Buffer.from(carry);
      return;
    }
    if (this.#dropped === 0) this.#droppedMark = beginsWithMark(carry, this.#offset);
    const tail = carry.at(-1) === CR ? 1 : 0;
    this.#dropped += carry.length - tail;
    this.#carry = Buffer.from(carry.subarray(carry.length - tail));
  }
}

/** A line of the greatest length that is allowed, a mark before it and a CR behind it. */
const CARRY_BYTES_MAX = LINE_BYTES_MAX + BYTE_ORDER_MARK.length + 1;

function beginsWithMark(line: Buffer, byteOffset: number): boolean {
  return (
    byteOffset === 0 &&
    line.length >= BYTE_ORDER_MARK.length &&
    line.compare(BYTE_ORDER_MARK, 0, BYTE_ORDER_MARK.length, 0, BYTE_ORDER_MARK.length) === 0
  );
}

/** What one transaction of an import applies, as it fills up line by line. */
import { BATCH_BYTES_MAX } from "../../src/limits.ts";
import { type JobCounters, NO_COUNTS } from "../../src/jobs/job.ts";
import type { LineError } from "../../src/jobs/line-errors.ts";
import { isLineFailure, lineTooLong, readImportLine } from "../../src/registry/import-line.ts";
import type { Operation } from "../../src/registry/operation.ts";
import type { Line } from "./line-splitter.ts";

const SPACE = 0x20;
const TAB = 0x09;
const OPENING_BRACE = 0x7b;

/** Where in the blob an operation came from. */
export type Position = Pick<LineError, "lineNumber" | "byteOffset">;

export class ImportBatch {
  readonly operations: Operation[] = [];
  /** Of each operation. */
  readonly positions: Position[] = [];
  /** Lines that are no operation. */
  readonly errors: LineError[] = [];
  readonly counters: JobCounters = { ...NO_COUNTS };
  readonly #linesMax: number;
  #bytes = 0;
  #nextOffset: number;

  constructor(byteOffset: number, linesMax: number) {
    this.#nextOffset = byteOffset;
    this.#linesMax = linesMax;
  }

  get isFull(): boolean {
    return this.counters.lines >= this.#linesMax || this.#bytes >= BATCH_BYTES_MAX;
  }

  get isEmpty(): boolean {
    return this.counters.lines === 0;
  }

  /** Of the first byte behind the batch's lines. */
  get nextOffset(): number {
    return this.#nextOffset;
  }

  /** Nothing but what belongs to no line lies between. */
  extendTo(offset: number): void {
    this.#nextOffset = offset;
  }

  add(line: Line): void {
    this.counters.lines++;
    this.#nextOffset = line.nextOffset;
    this.#bytes += line.bytes?.length ?? 0;
    if (line.bytes === null) return this.#fail(line, lineTooLong(line.length));
    const first = firstVisibleByte(line.bytes);
    // Contract 16: blank lines are passed over; so is the plain-text first line of an export without keys.
    if (first === undefined || (line.number === 1 && first !== OPENING_BRACE)) {
      this.counters.skipped++;
      return;
    }
    const read = readImportLine(line.bytes);
    if (isLineFailure(read)) return this.#fail(line, read);
    this.operations.push(read);
    this.positions.push({ lineNumber: line.number, byteOffset: line.byteOffset });
  }

  #fail(line: Line, failure: Omit<LineError, keyof Position>): void {
    this.counters.failed++;
    this.errors.push({ lineNumber: line.number, byteOffset: line.byteOffset, ...failure });
  }
}

function firstVisibleByte(line: Buffer): number | undefined {
  if (line[0] === OPENING_BRACE) return OPENING_BRACE;
  return line.find((byte) => byte !== SPACE && byte !== TAB);
}

/** An import: from the cursor to the blob's end, batch by batch, then importErrors.log. */
import { setImmediate } from "node:timers/promises";
import { readErrorLog } from "../../src/jobs/line-errors.ts";
import type { ClaimedJob } from "../../src/jobs/job.ts";
import { BATCH_LINES_MAX } from "../../src/limits.ts";
import { isFinalFailure, JobFailure } from "../job-failure.ts";
import type { JobContext } from "../run-job.ts";
import { applyImportBatch } from "./apply-import-batch.ts";
import { ImportBatch } from "./import-batch.ts";
import { type Line, LineSplitter } from "./line-splitter.ts";

/** The thread is let go after so many lines, for the batch before to be sent meanwhile. */
const LINES_PER_TURN = 64;

export async function runImport(context: JobContext, job: ClaimedJob): Promise<void> {
  const { inputBlobName } = job.parameters;
  const { inputBlobContainerUri, outputBlobContainerUri } = job.secrets;
  if (inputBlobName === undefined || inputBlobContainerUri === undefined)
    throw new JobFailure("The job names no input blob.");
  const input = context.openContainer(inputBlobContainerUri);
  const { inputEtag: etag, bytesTotal } = job;
  if (etag === null || bytesTotal === null) throw new JobFailure("The job does not know its input blob.");
  const writeErrorLog = async () => {
    const output = context.openContainer(outputBlobContainerUri);
    const write = { signal: context.signal, beforeCommit: context.checkHold };
    await output.writeBlob(job.parameters.outputBlobName, readErrorLog(context.database, job.jobId), write);
  };
  try {
    const range = { etag, offset: job.byteOffset, bytesTotal, signal: context.signal };
    await applyLines(context, job, input.readBlobChunks(inputBlobName, range));
  } catch (error) {
    // The errors met so far are worth having, if the output container can still be written.
    if (isFinalFailure(error)) await writeErrorLog().catch(() => {});
    throw error;
  }
  await writeErrorLog();
}

/** What the application of lines needs of a job's context. */
type ApplyContext = Pick<JobContext, "database" | "hub" | "signal" | "batchLinesMax">;

/** Applies a blob's lines, of which `chunks` begin at the job's cursor. Throws FenceLost, or the signal's reason. */
export async function applyLines(context: ApplyContext, job: ClaimedJob, chunks: AsyncIterable<Buffer>): Promise<void> {
  const splitter = new LineSplitter(job.byteOffset, job.lines);
  const applier = new BatchApplier(context, job);
  try {
    for await (const chunk of chunks) await applier.addLines(splitter.push(chunk));
    await applier.addLines(splitter.end());
    await applier.finish(splitter.offset);
  } finally {
    await applier.settled();
  }
}

/** Fills one batch while the one before is applied. */
class BatchApplier {
  readonly #context: ApplyContext;
  readonly #job: ClaimedJob;
  readonly #linesMax: number;
  #batch: ImportBatch;
  #applying: Promise<void> = Promise.resolve();
  #assumeNew = true;

  constructor(context: ApplyContext, job: ClaimedJob) {
    this.#context = context;
    this.#job = job;
    this.#linesMax = context.batchLinesMax ?? BATCH_LINES_MAX;
    this.#batch = new ImportBatch(job.byteOffset, this.#linesMax);
  }

  async addLines(lines: Iterable<Line>): Promise<void> {
    let inTurn = 0;
    for (const line of lines) {
      this.#batch.add(line);
      if (this.#batch.isFull) await this.#apply();
      if (++inTurn % LINES_PER_TURN === 0) await setImmediate();
    }
  }

  /** `offset`: of the blob's end, which the cursor reaches even where no line does (a byte order mark alone). */
  async finish(offset: number): Promise<void> {
    if (!this.#batch.isEmpty || this.#batch.nextOffset < offset) {
      this.#batch.extendTo(offset);
      await this.#apply();
    }
    await this.#applying;
  }

  /** Nothing is under way any more, whatever came of it. */
  async settled(): Promise<void> {
    await this.#applying.catch(() => {});
  }

  async #apply(): Promise<void> {
    const batch = this.#batch;
    await this.#applying;
    this.#context.signal.throwIfAborted();
    this.#applying = this.#applyOne(batch);
    // Awaited before the next batch; until then a failure must not count as unhandled.
    this.#applying.catch(() => {});
    this.#batch = new ImportBatch(batch.nextOffset, this.#linesMax);
  }

  async #applyOne(batch: ImportBatch): Promise<void> {
    this.#assumeNew = await applyImportBatch(
      this.#context.database,
      this.#context.hub,
      this.#job,
      batch,
      this.#assumeNew,
    );
  }
}

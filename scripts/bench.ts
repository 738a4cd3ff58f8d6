/**
 * `npm run bench`: the jobs on the embedded default and Azurite, each beside its ceiling measured in the same run.
 * A JSON object a line; a table too where a person looks on. BENCH_IDENTITIES (200,000) and BENCH_ROUNDS (3): figures
 * are medians of the rounds, in which job and ceiling take turns, since small machines are noisy.
 */
import { createWriteStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Registry } from "azure-iothub";
import { startAzurite } from "../test/support/azurite.ts";
import { call, runHubferry, startHubferry, waitForJob } from "../test/support/hubferry.ts";
import { copyIntoSameTable, saveRows } from "./bench/copy-ceiling.ts";
import { measureLineReaders } from "./bench/line-readers.ts";
import { peakMemory, resetPeakMemory } from "./bench/peak-memory.ts";
import { type Figure, printFigure, printTable } from "./bench/report.ts";
import { generateDevices } from "./generate-devices.ts";

const SEED = 1;
const BULK_DEVICES = 5_000;
const BULK_ITEMS = 100;
const UPLOAD_BLOCK_BYTES = 8 * 1024 * 1024;
const UPLOADS_AT_ONCE = 4;
/** Polling costs both cores; the figures come from the server's own times. */
const POLL_MS = 500;

const identities = wholeNumber("BENCH_IDENTITIES", 200_000);
const rounds = wholeNumber("BENCH_ROUNDS", 3);

await using stack = new AsyncDisposableStack();
const directory = await mkdtemp(join(tmpdir(), "hubferry-bench-"));
stack.defer(() => rm(directory, { recursive: true, force: true }));
const azurite = stack.use(await startAzurite({ directory: join(directory, "azurite") }));
const dataDir = join(directory, "data");
const hubferry = stack.use(
  await startHubferry({ dataDir, storageHosts: azurite.host, env: { HUBFERRY_LOG_LEVEL: "info" } }),
);

const input = await azurite.createContainer();
const file = join(directory, "devices.txt");
await pipeline(Readable.from(generateDevices({ identities, seed: SEED })), createWriteStream(file));
await azurite.service.getContainerClient(input).getBlockBlobClient("devices.txt").uploadFile(file);

const runs = {
  import: [] as Run[],
  copy: [] as number[],
  export: [] as Run[],
  upload: [] as number[],
  bulk: [] as number[],
};
for (let round = 0; round < rounds; round++) await runRound(round);
report();

interface Run {
  readonly seconds: number;
  readonly lines: number;
  readonly peakBytes: number | null;
}

async function runRound(round: number): Promise<void> {
  const { registry, hubId } = await openHub(`round-${round}`);
  const output = await azurite.createContainer();
  runs.import.push(
    await runJob(registry, (done) =>
      registry.importDevicesFromBlob(azurite.containerUri(input), azurite.containerUri(output), done),
    ),
  );

  const rows = join(directory, "rows");
  await saveRows(dataDir, hubId, rows);
  runs.copy.push(await copyIntoSameTable(dataDir, rows));

  runs.export.push(
    await runJob(registry, (done) => registry.exportDevicesToBlob(azurite.containerUri(output), false, done)),
  );
  const exported = join(directory, "exported");
  await azurite.service.getContainerClient(output).getBlockBlobClient("devices.txt").downloadToFile(exported);
  runs.upload.push(
    await seconds(async () => {
      const target = azurite.service.getContainerClient(output).getBlockBlobClient("ceiling.txt");
      await target.uploadFile(exported, {
        blockSize: UPLOAD_BLOCK_BYTES,
        concurrency: UPLOADS_AT_ONCE,
        maxSingleShotSize: 0,
      });
    }),
  );

  runs.bulk.push(await seconds(() => addDevices(registry)));
  await runHubferry(["hub", "delete", `round-${round}`, "--data-dir", dataDir]);
}

async function openHub(name: string): Promise<{ registry: Registry; hubId: number }> {
  await runHubferry(["hub", "create", name, "--data-dir", dataDir]);
  const connectionString = await runHubferry(["hub", "connection-string", name, "--data-dir", dataDir]);
  const listed = (await runHubferry(["hub", "show", name, "--data-dir", dataDir])).match(/^number\s+(\d+)/m);
  return { registry: hubferry.registry(connectionString), hubId: Number(listed![1]) };
}

/** From the submission to the end, as the server's own times say. */
async function runJob(registry: Registry, submit: (done: never) => void): Promise<Run> {
  const worker = hubferry.workerPids().at(-1)!;
  resetPeakMemory(worker);
  const { jobId } = await call<{ jobId: string }>((done) => submit(done as never));
  const job = (await waitForJob(registry, jobId, () => {}, POLL_MS)) as Awaited<ReturnType<typeof waitForJob>> & {
    startTimeUtc: string;
    endTimeUtc: string;
  };
  if (job.status !== "completed" || job.statistics["failed"] !== 0)
    throw new Error(`job ${job.status}: ${JSON.stringify(job)}`);
  return {
    seconds: (Date.parse(job.endTimeUtc) - Date.parse(job.startTimeUtc)) / 1000,
    lines: job.statistics["lines"]!,
    peakBytes: peakMemory(worker),
  };
}

async function addDevices(registry: Registry): Promise<void> {
  for (let start = 0; start < BULK_DEVICES; start += BULK_ITEMS) {
    const devices = Array.from({ length: BULK_ITEMS }, (_, index) => ({ deviceId: `bulk-${start + index}` }));
    await call((done) => registry.addDevices(devices, done as never));
  }
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

function report(): void {
  const figures: Figure[] = [
    ...jobFigures("import job", runs.import, "COPY of the same rows", runs.copy),
    ...jobFigures("export job", runs.export, "upload of the same bytes", runs.upload),
    {
      name: `addDevices, ${BULK_ITEMS} a call`,
      identities: BULK_DEVICES,
      seconds: median(runs.bulk),
      ratio: null,
      peakBytes: null,
    },
  ];
  for (const figure of figures) printFigure(figure);
}

function jobFigures(name: string, jobs: readonly Run[], ceilingName: string, ceilings: readonly number[]): Figure[] {
  const lines = jobs[0]!.lines;
  const peaks = jobs.map((job) => job.peakBytes).filter((bytes) => bytes !== null);
  return [
    {
      name,
      identities: lines,
      seconds: median(jobs.map((job) => job.seconds)),
      ratio: median(jobs.map((job, round) => ceilings[round]! / job.seconds)),
      peakBytes: peaks.length === 0 ? null : Math.max(...peaks),
    },
    { name: `  ceiling: ${ceilingName}`, identities: lines, seconds: median(ceilings), ratio: 1, peakBytes: null },
  ];
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

const readers = await measureLineReaders(file, (await stat(file)).size);
for (const reader of readers) printFigure(reader);
printTable();

function wholeNumber(name: string, otherwise: number): number {
  const text = process.env[name] ?? String(otherwise);
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Error(`${name} should be a whole number from 1, it is "${text}"`);
  return Number(text);
}

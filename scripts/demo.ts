/**
 * The whole job on one machine: imports a generated file into one hub, moves the identities to another one by export
 * and import, and compares what both export. `scripts/demo` installs what this needs and runs it:
 *
 *     DEMO_IDENTITIES=200000 ./scripts/demo
 *
 * The last line is `demo: ok` or `demo: FAILED <why>`; neither a process nor a file stays behind, interrupted or not.
 */
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import type { Registry } from "azure-iothub";
import { findPostmaster } from "../src/db/postmaster.ts";
import { messageOf } from "../src/errors.ts";
import { type Azurite, startAzurite } from "../test/support/azurite.ts";
import { type Hubferry, type JobBody, runHubferry, startHubferry, waitForJob } from "../test/support/hubferry.ts";
import { generateDevices } from "./generate-devices.ts";
import { compareExports } from "./lib/compare-exports.ts";
import { openProgress, type Progress } from "./lib/progress.ts";
import { formatNumber, formatTable } from "./lib/table.ts";

const IDENTITIES_DEFAULT = 20_000;
/** As many as Azure lets a hub hold. */
const IDENTITIES_MAX = 1_000_000;
const SEED = 1;
/** What the API reads and writes unless it is told another name. */
const BLOB = "devices.txt";
const UPLOAD_BLOCK_BYTES = 4 * 1024 * 1024;
const UPLOADS_AT_ONCE = 2;
/** A job that shows no change for so long is stuck. */
const STALL_MS_MAX = 120_000;
/** Time that PostgreSQL gets to end after its last user, before it is cut. */
const POSTGRES_STOP_MS_MAX = 10_000;
const POLL_MS = 20;
const FAULT_LINES_MAX = 20;

interface Deployment {
  readonly azurite: Azurite;
  readonly hubferry: Hubferry;
  readonly signal: AbortSignal;
}

interface Hub {
  readonly name: string;
  readonly registry: Registry;
}

interface FinishedJob {
  readonly label: string;
  readonly identities: number;
  readonly failed: number;
  readonly seconds: number;
}

/** Gives the exit code. */
async function main(): Promise<number> {
  const signal = listenForInterrupts();
  try {
    const identities = parseIdentities(process.env["DEMO_IDENTITIES"]);
    leaveEnvironment();
    await runDemo(identities, signal);
    signal.throwIfAborted();
  } catch (error) {
    // What an interrupt broke on its way says less than that there was one.
    const cause = signal.aborted ? signal.reason : error;
    const [first = "", ...more] = messageOf(cause).trim().split("\n");
    if (more.length > 0) say(more.join("\n"));
    say(`demo: FAILED ${first}`);
    return 1;
  }
  say("demo: ok");
  return 0;
}

/** Aborted by the first signal; later ones are not heard, for the way out is short. */
function listenForInterrupts(): AbortSignal {
  const controller = new AbortController();
  const interrupt = () => controller.abort(new Error("interrupted"));
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, interrupt);
  process.stdout.on("error", interrupt); // nobody reads on
  process.on("uncaughtException", (error) => controller.abort(error));
  return controller.signal;
}

function parseIdentities(value = ""): number {
  if (value.trim() === "") return IDENTITIES_DEFAULT;
  const number = Number(value);
  if (/^\d+$/.test(value) && number >= 1 && number <= IDENTITIES_MAX) return number;
  throw new Error(`DEMO_IDENTITIES should be a whole number from 1 to ${IDENTITIES_MAX}, it is "${value}"`);
}

/** The demo has parts of its own, all on this machine: no settings of another deployment, and no proxy. */
function leaveEnvironment(): void {
  const foreign = /^(HUBFERRY_.*|DATABASE_URL|REDIS_URL|PG[A-Z]+|(https?|all)_proxy)$/i;
  for (const name of Object.keys(process.env)) if (foreign.test(name)) delete process.env[name];
}

async function runDemo(identities: number, signal: AbortSignal): Promise<void> {
  await using stack = new AsyncDisposableStack();
  say(`starting Azurite and hubferry, for ${formatNumber(identities)} identities`);
  const deployment = await start(stack, signal);
  try {
    const jobs = await moveIdentities(identities, deployment);
    say(`\n${describeJobs(jobs)}\n`);
    await checkExports(identities, deployment);
  } catch (error) {
    if (!signal.aborted) showLog(deployment.hubferry);
    throw error;
  }
  say("stopping");
  await stack.disposeAsync();
}

/** What has to be stopped is on the stack, even if a part does not come up. */
async function start(stack: AsyncDisposableStack, signal: AbortSignal): Promise<Deployment> {
  const directory = await mkdtemp(join(tmpdir(), "hubferry-demo-"));
  stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  // Root's PostgreSQL runs as another user, who has to pass; the directories inside are closed.
  if (process.getuid?.() === 0) await chmod(directory, 0o711);
  const azurite = stack.use(await startAzurite({ directory: join(directory, "blobs") }));
  signal.throwIfAborted();
  const dataDir = join(directory, "data");
  stack.defer(() => waitForPostgres(join(dataDir, "postgres")));
  const hubferry = stack.use(await startHubferry({ dataDir, storageHosts: azurite.host }));
  signal.throwIfAborted();
  return { azurite, hubferry, signal };
}

/** A terminal's Ctrl-C reaches hubferry too: our own signal is then its second one, and it waits for nothing. */
async function waitForPostgres(clusterDir: string): Promise<void> {
  for (const deadline = Date.now() + POSTGRES_STOP_MS_MAX; ; await sleep(POLL_MS)) {
    const postmaster = findPostmaster(clusterDir);
    if (postmaster === null) return;
    if (Date.now() > deadline) process.kill(postmaster, "SIGQUIT"); // immediate shutdown
  }
}

/** One container a step, as each of them has the blob of the default name. */
async function moveIdentities(identities: number, deployment: Deployment): Promise<FinishedJob[]> {
  const { azurite, signal } = deployment;
  const a = await createHub("contoso-a", deployment);
  const b = await createHub("contoso-b", deployment);
  for (const name of ["generated", "errors-a", "export-a", "errors-b", "export-b"]) await azurite.createContainer(name);
  await upload(identities, deployment);
  const jobs = [
    await runImport(a, "generated", "errors-a", deployment),
    await runExport(a, "export-a", deployment),
    await runImport(b, "export-a", "errors-b", deployment),
    await runExport(b, "export-b", deployment),
  ];
  signal.throwIfAborted();
  return jobs;
}

async function createHub(name: string, { hubferry, signal }: Deployment): Promise<Hub> {
  const place = ["--data-dir", hubferry.dataDir];
  say(await runHubferry(["hub", "create", name, ...place]));
  const connectionString = await runHubferry(["hub", "connection-string", name, ...place]);
  signal.throwIfAborted();
  return { name, registry: hubferry.registry(connectionString) };
}

/** Made while it is sent: no more than a few blocks of it are ever held. */
async function upload(identities: number, { azurite, signal }: Deployment): Promise<void> {
  const progress = openProgress(labelOf("generate", BLOB), process.stdout);
  const blob = azurite.service.getContainerClient("generated").getBlockBlobClient(BLOB);
  let [bytes, lines] = [0, 0];
  const show = (percent: number) => progress.show(percent, `${formatNumber(bytes / 1e6, 1)} MB`);
  function* chunks() {
    for (const chunk of generateDevices({ identities, seed: SEED })) {
      bytes += Buffer.byteLength(chunk);
      lines += chunk.split("\n").length - 1;
      show(Math.floor((99 * lines) / identities));
      yield chunk;
    }
  }
  try {
    await blob.uploadStream(Readable.from(chunks()), UPLOAD_BLOCK_BYTES, UPLOADS_AT_ONCE, { abortSignal: signal });
    show(100);
  } finally {
    progress.end();
  }
}

function runImport(hub: Hub, input: string, errors: string, deployment: Deployment): Promise<FinishedJob> {
  const { azurite } = deployment;
  const uris = [azurite.containerUri(input), azurite.containerUri(errors)] as const;
  return runJob(labelOf("import into", hub.name), hub, deployment, () => hub.registry.importDevicesFromBlob(...uris));
}

function runExport(hub: Hub, output: string, deployment: Deployment): Promise<FinishedJob> {
  const uri = deployment.azurite.containerUri(output);
  return runJob(labelOf("export of", hub.name), hub, deployment, () => hub.registry.exportDevicesToBlob(uri, false));
}

/** Submits a job and watches it to its end. Throws unless it completed without a failed line. */
async function runJob(
  label: string,
  { registry }: Hub,
  { signal }: Deployment,
  submit: () => Promise<unknown>,
): Promise<FinishedJob> {
  const progress = openProgress(label, process.stdout);
  const checkStall = watchForStall();
  const startedAt = performance.now();
  try {
    const { jobId } = (await submit()) as JobBody;
    const job = await waitForJob(registry, jobId, (state) => {
      signal.throwIfAborted();
      showJob(progress, state);
      checkStall(state);
    });
    const seconds = (performance.now() - startedAt) / 1_000;
    return { label, identities: figure(job, "lines"), failed: checkJob(label, job), seconds };
  } finally {
    progress.end();
  }
}

function showJob(progress: Progress, job: JobBody): void {
  const { secondsLeft } = job.statistics;
  const left = typeof secondsLeft === "number" ? `, ${secondsLeft} s left` : "";
  const speed = `${formatNumber(figure(job, "linesPerSecond"))}/s`;
  progress.show(job.progress, `${formatNumber(figure(job, "lines"))} identities, ${speed}${left}`);
}

function watchForStall(): (job: JobBody) => void {
  let last = "";
  let changedAt = Date.now();
  return ({ status, progress, statistics: { lines, bytes } }) => {
    const now = JSON.stringify([progress, lines, bytes]);
    if (now !== last) changedAt = Date.now();
    last = now;
    if (Date.now() - changedAt > STALL_MS_MAX)
      throw new Error(`the job shows no change for ${STALL_MS_MAX / 1_000} seconds, at status ${status}`);
  };
}

/** Gives the number of failed lines, which is none. */
function checkJob(label: string, job: JobBody): number {
  const failed = figure(job, "failed");
  if (job.status !== "completed") throw new Error(`${label}: the job is ${job.status}: ${job.failureReason ?? "why?"}`);
  if (failed > 0) throw new Error(`${label}: ${failed} lines failed`);
  return failed;
}

function figure({ statistics }: JobBody, name: string): number {
  return statistics[name] ?? 0;
}

/** Both hubs hold the same, and all of what was generated. */
async function checkExports(identities: number, { azurite, signal }: Deployment): Promise<void> {
  const [one, other] = await Promise.all(["export-a", "export-b"].map((name) => read(azurite, name, signal)));
  const { lines, difference } = await compareExports(one!, other!);
  if (difference !== null) throw new Error(`the exports differ: ${difference}`);
  // Two empty ones are equal too. An edge device has modules that the file lacks, so there may be more.
  if (lines < identities) throw new Error(`the exports have ${lines} lines, of ${identities} that were imported`);
  say(`the exports are byte-identical but for eTag and twinETag: ${formatNumber(lines)} lines`);
}

async function read(azurite: Azurite, container: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
  const blob = azurite.service.getContainerClient(container).getBlockBlobClient(BLOB);
  const { readableStreamBody } = await blob.download(0, undefined, { abortSignal: signal });
  return readableStreamBody as unknown as AsyncIterable<Buffer>;
}

function describeJobs(jobs: readonly FinishedJob[]): string {
  const heading = ["job", "identities", "failed lines", "seconds", "identities/s"];
  const rows = jobs.map(({ label, identities, failed, seconds }) => [
    label,
    formatNumber(identities),
    formatNumber(failed),
    formatNumber(seconds, 1),
    formatNumber(identities / seconds),
  ]);
  return formatTable([heading, ...rows]);
}

/** All of one width, so that the bars stand below one another. */
function labelOf(verb: string, object: string): string {
  return `${verb} ${object}`.padEnd("import into contoso-a".length);
}

/** It holds no secrets. */
function showLog(hubferry: Hubferry): void {
  say(`the end of hubferry's log:\n${hubferry.output().trim().split("\n").slice(-FAULT_LINES_MAX).join("\n")}`);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

process.exitCode = await main();

/**
 * No key, SAS or connection string is anywhere in what a full run writes, with the log as loud as it can be: output,
 * files, tables, queue, errors. On both queue backends.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { type ApiClient, type Json, sasToken } from "../support/api-client.ts";
import { type Azurite, startAzurite } from "../support/azurite.ts";
import { awaitJob, type JobBody, submitJob } from "../support/job-client.ts";
import {
  findSecrets,
  type Piece,
  piecesOfDatabase,
  piecesOfDirectory,
  piecesOfRedis,
} from "../support/secret-search.ts";
import { type ServedHubs, serveHubs } from "../support/served-hubs.ts";

const HUB = "secretive";
/** The cluster's own files hold the identities; these two hold keys, and nobody but their owner may read them. */
const FILES_OF_KEYS = ["postgres", "secret.key", join("tls", "ca.key"), "tls"];
const LARGE_LINES = 40_000;

/** What a run has used, and what it was answered. */
interface Run {
  readonly azurite: Azurite;
  readonly served: ServedHubs;
  readonly hub: ApiClient;
  readonly secrets: Set<string>;
  readonly pieces: Piece[];
}

describe.each<[string, () => string | null]>([
  ["PostgreSQL", () => null],
  // A database that no other test has, or else they would take one another's messages.
  ["Redis", () => inject("redisUrl").replace(/\/0$/, "/7")],
])("the queue on %s", (_name, urlOf) => {
  test("nothing that is written holds a secret", async () => {
    const redisUrl = urlOf();
    await using stack = new AsyncDisposableStack();
    const azurite = stack.use(await startAzurite());
    const args = ["--log-level", "trace", ...(redisUrl === null ? [] : ["--redis-url", redisUrl])];
    const served = stack.use(await serveHubs([HUB], { storageHosts: azurite.host, args }));
    const run: Run = { azurite, served, hub: await served.client(HUB), secrets: new Set(), pieces: [] };
    for (const policy of ["iothubowner", "registryRead"]) {
      const { credentials } = await served.client(HUB, policy);
      run.secrets.add(credentials.key);
      run.secrets.add(encodeURIComponent(credentials.key));
    }
    await createIdentities(run);
    await refuseRequests(run);
    await failLines(run);
    await loseWorker(run, redisUrl);
    await failAndExport(run);
    const whileUp = await searchStores(run, redisUrl);
    expect(whileUp).toEqual([]);

    // A server that ends writes too.
    served.hubferry.signal("SIGTERM");
    await served.hubferry.exited;
    run.pieces.push({ place: "output", text: served.hubferry.output() });
    run.pieces.push(...(await piecesOfDirectory(served.hubferry.dataDir, FILES_OF_KEYS)));
    expect(run.pieces.map((piece) => piece.place)).toContain("postgres.log");
    expect(run.secrets.size).toBeGreaterThan(30);
    expect(findSecrets(run.pieces, run.secrets)).toEqual([]);
    // A log that says nothing would show nothing.
    expect(served.hubferry.output()).toContain('"level":20');
  });
});

test("the search finds what it is there for", () => {
  const pieces = [
    { place: "a", text: "x sig=abc" },
    { place: "b", text: "SharedAccessKey=abc" },
    { place: "c", text: "my secret key" },
    { place: "d", text: "sig=*** SharedAccessKey=*** signature" },
  ];
  expect(findSecrets(pieces, new Set(["secret"])).map((line) => line[0])).toEqual(["a", "b", "c"]);
});

const newKey = (bytes = 32) => randomBytes(bytes).toString("base64");

/** Keys of a new identity, which count as secret from now on. */
function newKeys({ secrets }: Run): { primaryKey: string; secondaryKey: string } {
  const keys = { primaryKey: newKey(), secondaryKey: newKey() };
  secrets.add(keys.primaryKey).add(keys.secondaryKey);
  return keys;
}

/** Sends a request and keeps the answer when it is an error. */
async function send(
  { hub, pieces }: Run,
  method: string,
  path: string,
  options: Parameters<ApiClient["send"]>[2] = {},
) {
  const reply = await hub.send(method, path, options);
  if (reply.status >= 400)
    pieces.push({ place: `${method} ${path}`, text: `${JSON.stringify(reply.headers)}\n${reply.text}` });
  return reply;
}

async function createIdentities(run: Run): Promise<void> {
  for (const index of [1, 2, 3]) {
    const body = { deviceId: `d${index}`, authentication: { symmetricKey: newKeys(run) } };
    expect((await send(run, "PUT", `/devices/d${index}`, { body })).status).toBe(200);
  }
  const generated = await send(run, "PUT", "/devices/generated", { body: {} });
  const { symmetricKey } = generated.body["authentication"] as { symmetricKey: Record<string, string> };
  for (const key of Object.values(symmetricKey)) run.secrets.add(key);
}

/** Each request breaks a rule beside a secret. */
async function refuseRequests(run: Run): Promise<void> {
  const keys = newKeys(run);
  const half = { primaryKey: newKeys(run).primaryKey };
  const bodies: unknown[] = [
    { authentication: { symmetricKey: half } },
    { authentication: { symmetricKey: keys, x509Thumbprint: { primaryThumbprint: "0".repeat(40) } } },
    { authentication: { type: "certificateAuthority", symmetricKey: keys } },
    { authentication: { type: newKeys(run).primaryKey } },
    { authentication: { x509Thumbprint: { primaryThumbprint: newKeys(run).primaryKey } } },
    { authentication: newKeys(run).primaryKey },
    { status: newKeys(run).primaryKey },
    `{"authentication":{"symmetricKey":{"primaryKey":"${keys.primaryKey}","secondaryKey":"${keys.secondaryKey}"`,
    `{"authentication":{"symmetricKey":{"primaryKey":${keys.primaryKey}}}}`,
  ];
  for (const body of bodies) {
    expect((await send(run, "PUT", "/devices/refused", { body })).status).toBe(400);
    const item = typeof body === "string" ? body : [{ id: "refused", ...(body as Json) }];
    expect((await send(run, "POST", "/devices", { body: item })).status).toBe(400);
  }
  const { credentials } = run.hub;
  for (const token of [
    sasToken(credentials, { expiry: 1 }),
    sasToken(credentials, { policy: "registryRead" }),
    `SharedAccessSignature ${credentials.key}`,
  ]) {
    run.secrets.add(/sig=([^&]+)/.exec(token)?.[1] ?? credentials.key);
    expect((await send(run, "GET", "/devices", { token })).status).toBe(401);
  }
  await refuseJobs(run);
}

async function refuseJobs(run: Run): Promise<void> {
  const { azurite } = run;
  const container = await azurite.createContainer();
  const uris = [
    azurite.containerUri("missing-container"),
    azurite.containerUri(container, { permissions: "r" }),
    azurite.containerUri(container, { expiresOn: new Date(Date.now() - 1_000) }),
    azurite.containerUri(container).replace(container, "another"),
    azurite.containerUri(container).replace("http://127.0.0.1", "http://169.254.169.254"),
    azurite.containerUri(container).replace("http://", "http://user:pass@"),
    azurite.containerUri(container).replace("?", "%3F"),
    azurite.containerUri(container).replace("http://", ""),
    `${azurite.containerUri(container)}#fragment`,
    azurite.containerUri(container).replace("?", "/"),
  ];
  for (const outputBlobContainerUri of uris) {
    rememberSas(run, outputBlobContainerUri);
    const reply = await send(run, "POST", "/jobs/create", { body: { type: "export", outputBlobContainerUri } });
    expect(reply.status, outputBlobContainerUri).toBe(400);
  }
  // Where a URI is put in the wrong member, it is quoted as whatever that member is.
  const [uri] = uris as [string];
  for (const body of [
    { type: uri },
    { type: "export", storageAuthenticationType: uri },
    { type: "export", outputBlobContainerUri: uri, outputBlobName: `${uri}${"/x".repeat(600)}` },
  ])
    expect((await send(run, "POST", "/jobs/create", { body })).status).toBe(400);
}

function rememberSas({ secrets }: Run, uri: string): string {
  const signature = /sig=([^&]+)/.exec(uri)![1]!;
  secrets.add(signature).add(decodeURIComponent(signature));
  return uri;
}

/** Lines that cannot be read or applied, each with keys in it; the log is searched like the rest. */
async function failLines(run: Run): Promise<void> {
  const keys = () => JSON.stringify(newKeys(run));
  const key = () => newKeys(run).primaryKey;
  const sas = rememberSas(run, run.azurite.containerUri("somewhere"));
  const lines = [
    `{"id":"d1","importMode":"create","authentication":{"symmetricKey":${keys()}}}`,
    `{"id":"d9","importMode":"update","authentication":{"symmetricKey":${keys()}}}`,
    `{"id":"bad-1","authentication":{"symmetricKey":${keys()}`,
    `{"id":"bad-2","authentication":{"symmetricKey":${keys()}}}}`,
    `{"id":"bad-3","authentication":{"symmetricKey":{"primaryKey":${key()},"secondaryKey":"${key()}"}}}`,
    `{'id':'bad-4','authentication':{'symmetricKey':{'primaryKey':'${key()}'}}}`,
    `bad-5,${key()},${key()}`,
    `HostName=h;DeviceId=bad-6;SharedAccessKey=${key()}`,
    `{"id":"bad-7","tags":{"sas":"${sas}"}`,
    `{"id":"bad-8","authentication":{"type":"${key()}"}}`,
    `{"id":"bad-9","authentication":{"x509Thumbprint":{"primaryThumbprint":"${key()}"}}}`,
    `{"id":"bad-10","authentication":"${key()}"}`,
    `{"id":"bad-11","status":"${key()}"}`,
    `{"id":"bad-12","importMode":"${key()}"}`,
    `{"id":"bad-13","importMode":"${sas}"}`,
    `{"id":"bad-14","status":"${sas}"}`,
    `{"id":"bad-15","authentication":{"symmetricKey":{"primaryKey":"${key()}"}}}`,
    `{"id":"bad-16","authentication":{"symmetricKey":${keys()}},"tags":{"a":null}}`,
    `{"id":"bad-17","statusReason":${" ".repeat(2_000)}"${key()}`,
    `{"id":"bad-18","authentication":{"symmetricKey":{"primaryKey":"${key()}\\u0000"}}`,
  ];
  const { job, log } = await importLines(run, lines);
  expect(job.statistics).toMatchObject({ lines: lines.length, failed: lines.length });
  run.pieces.push({ place: "importErrors.log", text: log });
  // What was made is in the registry, whole.
  expect((await run.hub.send("GET", "/devices/d1")).text).toMatch(/"primaryKey":"[^"*]{44}"/);
}

async function importLines(run: Run, lines: readonly string[]): Promise<{ job: JobBody; log: string }> {
  const { azurite, hub } = run;
  const container = await azurite.createContainer();
  await azurite.upload(container, "devices.txt", lines.join("\n"));
  const uri = rememberSas(run, azurite.containerUri(container));
  const { jobId } = await submitJob(hub, { type: "import", inputBlobContainerUri: uri, outputBlobContainerUri: uri });
  const job = await awaitJob(hub, jobId);
  run.pieces.push({ place: `job ${jobId}`, text: JSON.stringify(job) });
  const log = job.status === "completed" ? (await azurite.download(container, "importErrors.log")).toString() : "";
  return { job, log };
}

/** Kills the worker in the middle of an import, with the SAS of the job in use; stores are searched meanwhile. */
async function loseWorker(run: Run, redisUrl: string | null): Promise<void> {
  const { azurite, hub, served } = run;
  const container = await azurite.createContainer();
  const { primaryKey, secondaryKey } = newKeys(run);
  const line = (index: number) =>
    `{"id":"lost-${index}","authentication":{"symmetricKey":{"primaryKey":"${primaryKey}","secondaryKey":"${secondaryKey}"}}}`;
  await azurite.upload(
    container,
    "devices.txt",
    Array.from({ length: LARGE_LINES }, (_, index) => line(index)).join("\n"),
  );
  const uri = rememberSas(run, azurite.containerUri(container));
  const { jobId } = await submitJob(hub, { type: "import", inputBlobContainerUri: uri, outputBlobContainerUri: uri });
  let isKilled = false;
  const job = await awaitJob(hub, jobId, (seen) => {
    if (isKilled || seen.progress === 0 || seen.status !== "running") return;
    isKilled = true;
    process.kill(served.hubferry.workerPids().at(-1)!, "SIGKILL");
  });
  expect(isKilled).toBe(true);
  expect(job).toMatchObject({ status: "completed", statistics: { lines: LARGE_LINES, created: LARGE_LINES } });
  expect(await searchStores(run, redisUrl)).toEqual([]);
}

/** A job that is accepted and fails, one that is cancelled, and an export. */
async function failAndExport(run: Run): Promise<void> {
  const { azurite, hub } = run;
  const container = await azurite.createContainer();
  const uri = rememberSas(run, azurite.containerUri(container));
  await azurite.upload(container, "devices.txt", '{"id":"d1"}');
  const exported = await submitJob(hub, { type: "export", outputBlobContainerUri: uri, outputBlobName: "out.txt" });
  expect((await awaitJob(hub, exported.jobId)).status).toBe("completed");
  const body = { type: "import", inputBlobContainerUri: uri, outputBlobContainerUri: uri };
  const blocking = await submitJob(hub, body);
  const failing = await submitJob(hub, body);
  await azurite.service.getContainerClient(container).delete();
  for (const { jobId } of [blocking, failing]) {
    const job = await awaitJob(hub, jobId);
    run.pieces.push({ place: `job ${jobId}`, text: JSON.stringify(job) });
  }
  run.pieces.push({ place: "GET /jobs", text: (await hub.send("GET", "/jobs")).text });
}

async function searchStores(run: Run, redisUrl: string | null): Promise<string[]> {
  const { dataDir } = run.served.hubferry;
  const connection = { host: join(dataDir, "socket"), user: "hubferry", database: "hubferry" };
  const pieces = await piecesOfDatabase(connection);
  expect(pieces.map((piece) => piece.place)).toEqual(
    expect.arrayContaining(["table public.jobs", "table public.job_line_errors"]),
  );
  if (redisUrl === null) expect(pieces.some((piece) => piece.place.startsWith("table bullmq."))).toBe(true);
  else {
    const redis = await piecesOfRedis(redisUrl);
    expect(redis.length).toBeGreaterThan(0);
    pieces.push(...redis);
  }
  return findSecrets(pieces, run.secrets);
}

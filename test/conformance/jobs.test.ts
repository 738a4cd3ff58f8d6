/** Import and export jobs over HTTPS: recorded exchanges, results, and refusals at submission (contract 2 and 4). */
import { AccountSASPermissions } from "@azure/storage-blob";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ApiClient, Json } from "../support/api-client.ts";
import { type Azurite, startAzurite } from "../support/azurite.ts";
import { expectError } from "../support/expect-error.ts";
import {
  awaitJob,
  exportedLines,
  exportHub,
  importBlob,
  type JobBody,
  readJob,
  submitJob,
} from "../support/job-client.ts";
import { expectLikeRecorded, recorded } from "../support/recorded-exchanges.ts";
import { sampleLines } from "../support/sample-registry.ts";
import { type ServedHubs, serveHubs } from "../support/served-hubs.ts";

const WRITE = "Unauthorized to write to output blob container.";
const READ = "Unauthorized to read from output blob container.";
const DELETE = "Unauthorized to delete from output blob container.";
const INPUT = "Failed to read devices blob from the input container.";
const HUBS = ["jobs", "results", "big", "round-a", "round-b", "ordered", "cancelled"] as const;
const HOUR_MS = 3_600_000;

let azurite: Azurite;
let served: ServedHubs;
const hubs = {} as Record<(typeof HUBS)[number], ApiClient>;

beforeAll(async () => {
  azurite = await startAzurite();
  served = await serveHubs(HUBS, { storageHosts: `${azurite.host},*.blob.core.windows.net` });
  for (const name of HUBS) hubs[name] = await served.client(name);
});
afterAll(async () => {
  await served[Symbol.asyncDispose]();
  await azurite[Symbol.asyncDispose]();
});

const linesOf = (...objects: readonly Json[]) => objects.map((object) => JSON.stringify(object)).join("\n");

describe("recorded exchanges", () => {
  /** Ours beside the recorded: the names of the blobs, the counts, and for an import its input (contract 2 and 16). */
  const added = ["inputBlobName", "outputBlobName", "statistics"];

  test("an import, then an export", async () => {
    const container = await azurite.createContainer();
    await azurite.upload(container, "devices.txt", linesOf({ id: "recorded", importMode: "create" }));
    const uri = azurite.containerUri(container);
    const importCreation = recorded("POST /jobs/create", 1);
    const asked = { type: "import", inputBlobContainerUri: uri, outputBlobContainerUri: uri };
    const created = await submitJob(hubs.jobs, asked);
    expectLikeRecorded(created, importCreation.resBody!, { added });
    expect(created).toMatchObject(asked);

    const running = recorded("GET /jobs/{id} (poll, repeated)");
    const seen = { running: 0 };
    const ended = await awaitJob(hubs.jobs, created.jobId, (job) => {
      const body = { ...running.resBody, status: job.status, progress: job.progress };
      if (job.status !== "completed") expectLikeRecorded(job, body, { added: [...added, "inputBlobContainerUri"] });
      seen.running += 1;
    });
    expectLikeRecorded(ended, recorded("GET /jobs/{id} (end)").resBody!, {
      added: [...added, "inputBlobContainerUri"],
      anywhere: ["endTimeUtc"],
    });
    expect(ended.startTimeUtc).toBe(created.startTimeUtc);

    const exported = await submitJob(hubs.jobs, {
      type: "export",
      outputBlobContainerUri: uri,
      excludeKeysInExport: false,
    });
    expectLikeRecorded(exported, recorded("POST /jobs/create", 0).resBody!, { added });
    const exportEnd = await awaitJob(hubs.jobs, exported.jobId);
    expectLikeRecorded(exportEnd, recorded("GET /jobs/{id} (5 s later)").resBody!, { added });
  });

  test("the submission echoes what was sent, nothing later does", async () => {
    const container = await azurite.createContainer();
    await azurite.upload(container, "in.txt", "");
    const uri = azurite.containerUri(container);
    const asked = {
      type: "import",
      inputBlobContainerUri: uri,
      inputBlobName: "in.txt",
      outputBlobContainerUri: uri,
      outputBlobName: "errors.log",
      storageAuthenticationType: "keyBased",
    };
    const created = await submitJob(hubs.jobs, asked);
    expect(created).toMatchObject(asked);
    const job = await awaitJob(hubs.jobs, created.jobId);
    const plain = uri.split("?")[0];
    expect(job).toMatchObject({ inputBlobContainerUri: plain, outputBlobContainerUri: plain, inputBlobName: "in.txt" });
    const list = await hubs.jobs.send<JobBody[]>("GET", "/jobs");
    expect(list.body.find((one) => one.jobId === created.jobId)).toEqual(job);
    expect(`${JSON.stringify(job)}${list.text}`).not.toMatch(/sig=|\?/);
    expect(await azurite.listBlobs(container)).toEqual(["errors.log", "in.txt"]);
  });

  test("a job of another hub is not there", async () => {
    const { jobId } = (await importBlob(hubs.jobs, azurite, "")).job;
    expectError(await hubs.results.send("GET", `/jobs/${jobId}`), 404, "JobNotFound");
    expectError(await hubs.results.send("DELETE", `/jobs/${jobId}`), 404, "JobNotFound");
    for (const unknown of ["nothing", "00000000-0000-0000-0000-000000000000", "%00", "x".repeat(200)])
      expectError(await hubs.jobs.send("GET", `/jobs/${unknown}`), 404, "JobNotFound");
    expect((await hubs.results.send<JobBody[]>("GET", "/jobs")).body.map((job) => job.jobId)).not.toContain(jobId);
  });

  test("scheduled jobs are unknown, in the form that `az` looks for", async () => {
    const { jobId } = (await importBlob(hubs.jobs, azurite, "")).job;
    expect((await hubs.jobs.send("GET", `/jobs/v2/${jobId}`)).body).toMatchObject({
      type: "unknown",
      status: "unknown",
    });
    expect((await hubs.jobs.send("GET", "/jobs/v2/query?api-version=2021-04-12&jobType=x&jobStatus=y")).text).toBe(
      "[]",
    );
  });
});

describe("refused at submission", () => {
  let container: string;
  let uri: string;
  beforeAll(async () => {
    container = await azurite.createContainer();
    await azurite.upload(container, "devices.txt", linesOf({ id: "x" }));
    uri = azurite.containerUri(container);
  });
  const refuse = async (body: unknown, code: string, status = 400) =>
    expectError(await hubs.jobs.send("POST", "/jobs/create", { body }), status, code);
  const exportTo = (outputBlobContainerUri: unknown, more: Json = {}): Json => ({
    type: "export",
    outputBlobContainerUri,
    ...more,
  });
  const withSas = (permissions: string, name = container) => azurite.containerUri(name, { permissions });
  const signature = () => decodeURIComponent(/sig=([^&]+)/.exec(uri)![1]!);

  test.each<[string, () => unknown, string]>([
    ["no JSON", () => "no JSON", "The body is not valid JSON."],
    ["a list", () => [], "The body should be a JSON object."],
    ["no type", () => ({ outputBlobContainerUri: uri }), "'type' should be import or export, it is missing."],
    ["an unknown type", () => ({ type: "backup" }), "'type' should be import or export, it is \"backup\"."],
    ["a type that is no word", () => ({ type: 1 }), "'type' should be a string, it is a number."],
    ["no output", () => ({ type: "export" }), "'outputBlobContainerUri' is missing."],
    ["an empty output", () => exportTo(""), "'outputBlobContainerUri' is missing."],
    ["no input", () => ({ type: "import", outputBlobContainerUri: uri }), "'inputBlobContainerUri' is missing."],
    [
      "no output of an import",
      () => ({ type: "import", inputBlobContainerUri: uri }),
      "'outputBlobContainerUri' is missing.",
    ],
    ["a URI that is none", () => exportTo("nonsense"), "does not start with https://"],
    ["ftp", () => exportTo("ftp://127.0.0.1/x?sig=a"), "does not start with https://"],
    ["a file", () => exportTo("file:///etc/passwd"), "does not start with https://"],
    ["a user in the URI", () => exportTo(uri.replace("//", "//user:pass@")), "holds a user name"],
    ["no container in the URI", () => exportTo("https://a.blob.core.windows.net/?sig=a"), "names no container"],
    ["a URI of the wrong type", () => exportTo(1), "'outputBlobContainerUri' should be a string, it is a number."],
    [
      "identities",
      () => exportTo(uri, { storageAuthenticationType: "IdentityBased" }),
      "'storageAuthenticationType' \"IdentityBased\" is not supported",
    ],
    [
      "configurations",
      () => exportTo(uri, { includeConfigurations: true }),
      "'includeConfigurations' is not supported.",
    ],
    [
      "a flag of the wrong type",
      () => exportTo(uri, { excludeKeysInExport: "yes" }),
      "'excludeKeysInExport' should be true or false",
    ],
    [
      "a log whose name climbs",
      () => ({ type: "import", inputBlobContainerUri: uri, outputBlobContainerUri: uri, outputBlobName: "a/../../x" }),
      "The blob name has a segment",
    ],
    [
      "an input whose name climbs",
      () => ({ type: "import", inputBlobContainerUri: uri, outputBlobContainerUri: uri, inputBlobName: "../x" }),
      "The blob name has a segment",
    ],
    ["a blob name that climbs", () => exportTo(uri, { outputBlobName: "../x" }), "The blob name has a segment"],
    ["a long blob name", () => exportTo(uri, { outputBlobName: "x".repeat(1_025) }), "characters"],
    [
      "the log in place of the input",
      () => ({
        type: "import",
        inputBlobContainerUri: uri,
        outputBlobContainerUri: uri,
        outputBlobName: "devices.txt",
      }),
      "is the input blob itself",
    ],
  ])("%s: ArgumentInvalid", async (_name, body, text) => {
    expect(await refuse(body(), "ArgumentInvalid")).toContain(text);
  });

  test.each<[string, () => string, string]>([
    [
      "an expired SAS",
      () => azurite.containerUri(container, { expiresOn: new Date("2026-01-02T03:04:05Z") }),
      `${WRITE} The SAS expired at 2026-01-02T03:04:05Z.`,
    ],
    [
      "the SAS of another container",
      () =>
        uri.replace(
          container,
          container.replace(/.$/, (last) => (last === "0" ? "1" : "0")),
        ),
      WRITE,
    ],
    ["no SAS", () => uri.split("?")[0]!, `${WRITE} The URI of the container has no SAS.`],
    ["no w", () => withSas("rdl"), `${WRITE} The SAS grants 'rdl', it needs 'w'.`],
    ["no r", () => withSas("wd"), `${READ} The SAS grants 'wd', it needs 'r'.`],
    ["no d", () => withSas("rwl"), `${DELETE} The SAS grants 'rwl', it needs 'd'.`],
    [
      "a container that is not there",
      () => withSas("rwd", "missing-container"),
      `${WRITE} The container 'missing-container' does not exist.`,
    ],
    [
      "a changed signature",
      () => uri.replace(/sig=[^&]+/, `sig=${encodeURIComponent(Buffer.alloc(32).toString("base64"))}`),
      WRITE,
    ],
    [
      "a host that is not allowed, over http",
      () => "http://blob.example/container?sig=a",
      "The storage host 'blob.example' is not allowed",
    ],
    [
      "an allowed host, over http",
      () => "http://account.blob.core.windows.net/container?sig=a",
      "The storage host 'account.blob.core.windows.net' is allowed over https only.",
    ],
    [
      "an allowed host, at another port",
      () => "https://account.blob.core.windows.net:8443/container?sig=a",
      "is not allowed",
    ],
    ["ssh", () => "http://127.0.0.1:22/container?sig=a", "The storage host '127.0.0.1:22' is not allowed"],
    [
      "the metadata service",
      () => "http://169.254.169.254/metadata?sig=a",
      "The storage host '169.254.169.254' is not allowed",
    ],
    [
      "the metadata service as a number",
      () => "http://2852039166/metadata?sig=a",
      "The storage host '169.254.169.254' is not allowed",
    ],
    ["loopback in IPv6", () => "https://[::1]:22/container?sig=a", "is not allowed"],
    ["the server itself", () => `https://127.0.0.1:${served.hubferry.port}/devices?sig=a`, "is not allowed"],
    ["a host that only looks allowed", () => "https://blob.core.windows.net.evil.example/c?sig=a", "is not allowed"],
  ])("%s: BlobContainerValidationError", async (_name, uriOf, text) => {
    const said = await refuse(exportTo(uriOf()), "BlobContainerValidationError");
    expect(said).toContain(text);
    expect(said).not.toContain(signature());
    expect(said).not.toMatch(/sig=/);
    const asOutput = { type: "import", inputBlobContainerUri: uri, outputBlobContainerUri: uriOf() };
    expect(await refuse(asOutput, "BlobContainerValidationError")).toBe(said);
  });

  test.each<[string, () => Json, string]>([
    [
      "a blob that is not there",
      () => ({ inputBlobContainerUri: uri, inputBlobName: "other.txt" }),
      `${INPUT} The blob 'other.txt' does not exist in container`,
    ],
    [
      "a container that is not there",
      () => ({ inputBlobContainerUri: withSas("r", "missing-container") }),
      `${INPUT} The container 'missing-container' does not exist.`,
    ],
    [
      "an expired SAS",
      () => ({
        inputBlobContainerUri: azurite.containerUri(container, { expiresOn: new Date("2026-01-02T03:04:05Z") }),
      }),
      `${INPUT} The SAS expired`,
    ],
    ["no r", () => ({ inputBlobContainerUri: withSas("wd") }), `${INPUT} The SAS grants 'wd', it needs 'r'.`],
    [
      "ssh",
      () => ({ inputBlobContainerUri: "http://127.0.0.1:22/c?sig=a" }),
      "The storage host '127.0.0.1:22' is not allowed",
    ],
  ])("the input: %s", async (_name, input, text) => {
    const body = { type: "import", outputBlobContainerUri: uri, ...input() };
    expect(await refuse(body, "BlobContainerValidationError")).toContain(text);
  });

  test("nothing of it is left: no job, no blob, and the server goes on", async () => {
    expect(await azurite.listBlobs(container)).toEqual(["devices.txt"]);
    const jobs = await hubs.jobs.send<JobBody[]>("GET", "/jobs");
    expect(jobs.body.filter((job) => String(job["outputBlobContainerUri"]).endsWith(container))).toEqual([]);
    expect((await importBlob(hubs.jobs, azurite, linesOf({ id: "after", importMode: "create" }))).job).toMatchObject({
      status: "completed",
      statistics: { created: 1 },
    });
    expect(served.hubferry.workerPids()).toHaveLength(1);
  });
});

describe("results", () => {
  /** Every line of the blob is in exactly one of the counts. */
  const expectCounts = ({ statistics }: JobBody, expected: Json) => {
    const { lines, created, updated, deleted, twinsUpdated, failed, skipped } = statistics;
    const sum = [created, updated, deleted, twinsUpdated, failed, skipped].reduce<number>(
      (total, count) => total + Number(count),
      0,
    );
    expect(sum).toBe(lines);
    expect(statistics).toMatchObject({ attempt: 1, secondsLeft: null, ...expected });
    expect(statistics["bytes"]).toBe(statistics["bytesTotal"]);
  };
  const parse = (log: string) => exportedLines(log);

  test("success: the log is there, and empty", async () => {
    const { job, log, container } = await importBlob(
      hubs.results,
      azurite,
      `${linesOf({ id: "good", importMode: "create" })}\n`,
    );
    expect(job).toMatchObject({ status: "completed", progress: 100 });
    expect(job).not.toHaveProperty("failureReason");
    expectCounts(job, { lines: 1, created: 1, failed: 0 });
    expect(log).toBe("");
    expect(await azurite.listBlobs(container)).toEqual(["devices.txt", "importErrors.log"]);
  });

  test.each([
    ["an empty blob", "", 0],
    ["a byte order mark alone", "\ufeff", 0],
    ["a line feed alone", "\n", 1],
    ["blank lines", "\r\n  \r\n\n", 3],
  ])("%s", async (_name, blob, lines) => {
    const { job, log } = await importBlob(hubs.results, azurite, blob);
    expect(job.status).toBe("completed");
    expectCounts(job, { lines, skipped: lines, failed: 0 });
    expect(log).toBe("");
  });

  test("malformed lines: logged, the rest goes on", async () => {
    const good = (id: string) => JSON.stringify({ id, importMode: "create" });
    const bad = [
      '{"id":"bad-1",',
      "nonsense",
      '{"id":"bad-2"} {"id":"bad-3"}',
      "[]",
      '{"id":5}',
      '{"id":"bad-4","status":"on"}',
    ];
    const { job, log } = await importBlob(hubs.results, azurite, [good("m-1"), ...bad, good("m-2")].join("\r\n"));
    expectCounts(job, { lines: 8, created: 2, failed: 6 });
    const errors = parse(log);
    expect(errors.map((error) => Object.keys(error))).toEqual(bad.map(() => ["errorCode", "errorStatus"]));
    for (const [index, line] of bad.entries()) {
      expect(errors[index]!["errorCode"]).toBe(400012);
      expect(String(errors[index]!["errorStatus"]).startsWith(`Invalid device format in line: ${line}. `), line).toBe(
        true,
      );
    }
  });

  test("lines that fail: id, number and text as recorded, in the order of the blob", async () => {
    await importBlob(hubs.results, azurite, linesOf({ id: "there", importMode: "create" }));
    const { job, log } = await importBlob(
      hubs.results,
      azurite,
      linesOf(
        { id: "a_device_id", importMode: "update" },
        { id: "there", importMode: "create" },
        { id: "a_device_id", importMode: "Delete" },
        { id: "a_device_id", moduleId: "m", importMode: "create" },
        { id: "there", moduleId: "m", importMode: "update" },
        { id: "there", importMode: "sometimes" },
        { id: "there", importMode: "updateIfMatchETag", eTag: "c3RhbGU=" },
        { id: "a/b" },
        { status: "enabled" },
        { id: "there", authentication: { symmetricKey: { primaryKey: "AAAA" } } },
        { id: "there", moduleId: "$edgeAgent", importMode: "delete" },
      ),
    );
    expectCounts(job, { lines: 11, failed: 11 });
    expect(log.split("\r\n").slice(0, 2)).toEqual([
      '{"deviceId":"a_device_id","errorCode":404001,"errorStatus":"a_device_id"}',
      '{"deviceId":"there","errorCode":409001,"errorStatus":"A device with ID \'there\' is already registered."}',
    ]);
    expect(parse(log).map((error) => [error["deviceId"], error["moduleId"], error["errorCode"]])).toEqual([
      ["a_device_id", undefined, 404001],
      ["there", undefined, 409001],
      ["a_device_id", undefined, 404001],
      ["a_device_id", "m", 404001],
      ["there", "m", 404010],
      ["there", undefined, 400004],
      ["there", undefined, 412001],
      ["a/b", undefined, 400004],
      [undefined, undefined, 400004],
      ["there", undefined, 400004],
      ["there", "$edgeAgent", 404010],
    ]);
    expect(parse(log)[3]).toEqual({
      deviceId: "a_device_id",
      moduleId: "m",
      errorCode: 404001,
      errorStatus: "a_device_id",
    });
    expect(String(parse(log)[5]!["errorStatus"])).toContain('"sometimes"');
  });

  test("a line of 5 MB is skipped over, with a report", async () => {
    const long = JSON.stringify({ id: "long", statusReason: "x".repeat(5 * 1024 * 1024) });
    const [first, last] = ["l-1", "l-2"].map((id) => linesOf({ id, importMode: "create" }));
    const blob = `${first}\n${long}\n${last}`;
    const { job, log } = await importBlob(hubs.results, azurite, blob);
    expectCounts(job, { lines: 3, created: 2, failed: 1, bytesTotal: Buffer.byteLength(blob) });
    expect(parse(log)).toEqual([
      { errorCode: 400006, errorStatus: `The line has ${long.length} bytes, at most 1048576 are allowed.` },
    ]);
  });

  test("a truncated last line", async () => {
    const { job, log } = await importBlob(
      hubs.results,
      azurite,
      `${linesOf({ id: "t-1", importMode: "create" })}\n{"id":"t-2","stat`,
    );
    expectCounts(job, { lines: 2, created: 1, failed: 1 });
    expect(parse(log)[0]).toMatchObject({
      errorCode: 400012,
      errorStatus: expect.stringContaining('{"id":"t-2","stat. '),
    });
  });

  test("any newline, a byte order mark, a first line in plain text", async () => {
    const line = (id: string) => JSON.stringify({ id, importMode: "create" });
    for (const blob of [
      `\ufeff${line("n0-a")}\r\n${line("n0-b")}\r\n`,
      `${line("n1-a")}\n${line("n1-b")}`,
      `${line("n2-a")}\r${line("n2-b")}\r`,
    ])
      expectCounts((await importBlob(hubs.results, azurite, blob)).job, {
        lines: 2,
        created: 2,
        bytesTotal: Buffer.byteLength(blob),
        skipped: 0,
      });
    const warned = await importBlob(hubs.results, azurite, `Keys are left out.\r\n${line("w-1")}\r\nmore text\r\n`);
    expectCounts(warned.job, { lines: 3, created: 1, skipped: 1, failed: 1 });
    expect(parse(warned.log)[0]).toMatchObject({ errorCode: 400012 });
  });

  test("a default mode, any case, ETags", async () => {
    const first = await importBlob(
      hubs.results,
      azurite,
      linesOf({ id: "e-1" }, { ID: "e-1", STATUS: "Disabled", ImportMode: "UPDATE" }),
    );
    expectCounts(first.job, { created: 1, updated: 1 });
    const { body } = await hubs.results.send("GET", "/devices/e-1");
    expect(body["status"]).toBe("disabled");
    const second = await importBlob(
      hubs.results,
      azurite,
      linesOf({ id: "e-1", importMode: "deleteIfMatchETag", eTag: body["etag"] }),
    );
    expectCounts(second.job, { deleted: 1 });
  });

  test("the output blob's name of an import is that of its log", async () => {
    const container = await azurite.createContainer();
    await azurite.upload(container, "devices.txt", "nonsense\nnonsense");
    const uri = azurite.containerUri(container);
    const { jobId } = await submitJob(hubs.results, {
      type: "import",
      inputBlobContainerUri: uri,
      outputBlobContainerUri: uri,
      outputBlobName: "logs/errors.ndjson",
    });
    await awaitJob(hubs.results, jobId);
    expect(await azurite.listBlobs(container)).toEqual(["devices.txt", "logs/errors.ndjson"]);
    expect(parse((await azurite.download(container, "logs/errors.ndjson")).toString())).toHaveLength(1);
  });

  test("the blob that was looked at is the one that is read", async () => {
    const container = await azurite.createContainer();
    await azurite.upload(container, "devices.txt", sampleLines(500).join("\n"));
    const uri = azurite.containerUri(container);
    const blocking = await submitJob(hubs.results, {
      type: "import",
      inputBlobContainerUri: uri,
      outputBlobContainerUri: uri,
    });
    const waiting = await submitJob(hubs.results, {
      type: "import",
      inputBlobContainerUri: uri,
      outputBlobContainerUri: uri,
    });
    await azurite.upload(container, "devices.txt", linesOf({ id: "other" }));
    await awaitJob(hubs.results, blocking.jobId);
    const job = await awaitJob(hubs.results, waiting.jobId);
    // The first may have been done before the blob was replaced; the second cannot.
    if (job.status === "failed") expect(job.failureReason).toMatch(/ConditionNotMet|changed/);
    expect((await hubs.results.send("GET", "/devices/other")).status).toBe(404);
  });
});

describe("exports", () => {
  test("order, newlines, keys and round trip", async () => {
    const given = sampleLines(40);
    const { job, log } = await importBlob(hubs["round-a"], azurite, given.join("\r\n"));
    expect(log).toBe("");
    expect(job.statistics).toMatchObject({ lines: given.length, created: 40 * 8, twinsUpdated: 40, failed: 0 });

    const text = await exportHub(hubs["round-a"], azurite);
    const lines = exportedLines(text);
    expect(lines).toHaveLength(40 * 10); // each edge device brings two system modules, of which the file has one
    expectExportOrder(lines);
    for (const line of lines) expectExportLine(line);

    const second = await importBlob(hubs["round-b"], azurite, text);
    expect(second.log).toBe("");
    const again = await exportHub(hubs["round-b"], azurite);
    const masked = (whole: string) => whole.replaceAll(/"(eTag|twinETag)":"[^"]*"/g, '"$1":"*"');
    expect(masked(again)).toBe(masked(text));

    const bare = exportedLines(
      await exportHub(hubs["round-a"], azurite, { excludeKeysInExport: true, outputBlobName: "bare/devices.ndjson" }),
    );
    expect(bare).toEqual(lines.map((line) => ({ ...line, authentication: null })));
    expect(Object.keys(bare[0]!)).toEqual(Object.keys(lines[0]!));
  });

  test("an empty hub is an empty blob, which takes the place of what was there", async () => {
    const container = await azurite.createContainer();
    await azurite.upload(container, "devices.txt", "old");
    const outputBlobContainerUri = azurite.containerUri(container);
    const { jobId } = await submitJob(hubs.ordered, { type: "export", outputBlobContainerUri });
    expect(await awaitJob(hubs.ordered, jobId)).toMatchObject({
      status: "completed",
      progress: 100,
      statistics: { lines: 0, bytes: 0 },
    });
    expect((await azurite.download(container, "devices.txt")).length).toBe(0);
  });

  /** By device id in bytes, each device's modules right behind it, by module id in bytes (contract 16). */
  function expectExportOrder(lines: readonly Json[]): void {
    const keys = lines.map((line) => [String(line["id"]), String(line["moduleId"] ?? "")] as const);
    const inOrder = keys.toSorted(
      ([a, b], [c, d]) =>
        Buffer.compare(Buffer.from(a), Buffer.from(c)) || Buffer.compare(Buffer.from(b), Buffer.from(d)),
    );
    expect(keys).toEqual(inOrder);
  }

  const ORDER = [
    "id",
    "moduleId",
    "eTag",
    "status",
    "statusReason",
    "authentication",
    "twinETag",
    "tags",
    "properties",
    "capabilities",
    "deviceScope",
    "parentScopes",
  ];

  /** Members in the order of contract 4.1; no importMode and no metadata. */
  function expectExportLine(line: Json): void {
    const names = Object.keys(line);
    expect(names).toEqual(ORDER.filter((name) => names.includes(name)));
    expect(names).toEqual(
      expect.arrayContaining([
        "id",
        "eTag",
        "status",
        "authentication",
        "twinETag",
        "tags",
        "properties",
        "capabilities",
      ]),
    );
    expect(Object.keys(line["properties"] as Json)).toEqual(["desired", "reported"]);
    expect(JSON.stringify(line)).not.toMatch(/\$metadata|\$version|importMode/);
    expect(Object.keys(line["authentication"] as Json)).toEqual(["symmetricKey", "x509Thumbprint", "type"]);
    if ("moduleId" in line) expect(line).not.toHaveProperty("statusReason");
  }
});

describe("a larger job", () => {
  const LINES = 60_000;

  test("its progress moves, of the import and of the export", async () => {
    const container = await azurite.createContainer();
    const lines = Array.from(
      { length: LINES },
      (_, index) => `{"id":"big-${index}","importMode":"create","tags":{"n":${index}}}`,
    );
    await azurite.upload(container, "devices.txt", lines.join("\n"));
    const uri = azurite.containerUri(container);
    for (const type of ["import", "export"]) {
      const { jobId } = await submitJob(hubs.big, {
        type,
        inputBlobContainerUri: uri,
        outputBlobContainerUri: uri,
        ...(type === "export" ? { outputBlobName: "out.txt" } : {}),
      });
      const polls: JobBody[] = [];
      const job = await awaitJob(hubs.big, jobId, (seen) => polls.push(seen));
      expect(job).toMatchObject({ status: "completed", progress: 100, statistics: { lines: LINES } });
      const progress = polls.map((poll) => poll.progress);
      expect(progress).toEqual(progress.toSorted((a, b) => a - b));
      for (const poll of polls) if (poll.status !== "completed") expect(poll.progress).toBeLessThan(100);
      const between = polls.filter((poll) => poll.progress > 0 && poll.progress < 100);
      // An export of this size may be done between two reports of its progress.
      if (type === "import") expect(between.length, JSON.stringify(progress)).toBeGreaterThan(0);
      for (const { statistics } of between)
        expect(statistics).toMatchObject({
          attempt: 1,
          secondsLeft: expect.any(Number),
          linesPerSecond: expect.any(Number),
        });
    }
  });
});

describe("cancel", () => {
  test("at once, whether it waits or runs; what has ended stays as it ended", async () => {
    const container = await azurite.createContainer();
    await azurite.upload(container, "devices.txt", sampleLines(3_000).join("\n"));
    const uri = azurite.containerUri(container);
    const body = { type: "import", inputBlobContainerUri: uri, outputBlobContainerUri: uri };
    const running = await submitJob(hubs.cancelled, body);
    const waiting = await submitJob(hubs.cancelled, body);
    // As the C# client sends it (contract 1.2).
    for (const { jobId } of [waiting, running]) {
      const reply = await hubs.cancelled.send("DELETE", `/jobs/${jobId}`, { headers: { "if-match": `"${jobId}"` } });
      expect([reply.status, reply.text]).toEqual([204, ""]);
    }
    expect((await readJob(hubs.cancelled, waiting.jobId)).status).toBe("cancelled");
    const ended = await readJob(hubs.cancelled, running.jobId);
    expect(ended.status).toMatch(/^(cancelled|completed)$/);
    expect(ended).toHaveProperty("endTimeUtc");
    expect((await hubs.cancelled.send("DELETE", `/jobs/${running.jobId}`)).status).toBe(204);
    expect((await readJob(hubs.cancelled, running.jobId)).status).toBe(ended.status);
    // The next one is not held up.
    expect((await importBlob(hubs.cancelled, azurite, linesOf({ id: "next" }))).job.status).toBe("completed");
    const list = (await hubs.cancelled.send<JobBody[]>("GET", "/jobs")).body.map((job) => job.jobId);
    expect(list.slice(1)).toEqual([waiting.jobId, running.jobId]);
  });
});

test("an account SAS as `az` signs it (srt=o, ss=b, sp=rwdac) will do", async () => {
  const container = await azurite.createContainer();
  await azurite.upload(container, "devices.txt", linesOf({ id: "az", importMode: "create" }));
  const account = azurite.service.generateAccountSasUrl(
    new Date(Date.now() + HOUR_MS),
    AccountSASPermissions.parse("rwdac"),
    "o",
  );
  const { search } = new URL(account);
  expect(Object.fromEntries(new URLSearchParams(search))).toMatchObject({ srt: "o", ss: "b" });
  const uri = `${azurite.containerUri(container).split("?")[0]}${search}`;
  const { jobId } = await submitJob(hubs.jobs, {
    type: "import",
    inputBlobContainerUri: uri,
    outputBlobContainerUri: uri,
  });
  expect(await awaitJob(hubs.jobs, jobId)).toMatchObject({ status: "completed", statistics: { created: 1 } });
  const exported = await submitJob(hubs.jobs, { type: "export", outputBlobContainerUri: uri });
  expect(await awaitJob(hubs.jobs, exported.jobId)).toMatchObject({ status: "completed" });
});

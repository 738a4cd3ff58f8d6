/** Errors: one envelope for everything, and nothing that a caller sends is a 500 (contract 7). */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import tls from "node:tls";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ApiClient, API_VERSION, type Reply, sasToken, type SendOptions } from "../support/api-client.ts";
import { type ServedHubs, serveHubs } from "../support/served-hubs.ts";

const FUZZ_RUNS = Number(process.env["FUZZ_RUNS"] ?? 600);
const FUZZ_SEED = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 31);
const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const BODY_BYTES_MAX = 8 * 1024 * 1024;

let served: ServedHubs;
let hub: ApiClient;

beforeAll(async () => {
  served = await serveHubs(["errors"]);
  hub = await served.client("errors");
});
afterAll(() => served[Symbol.asyncDispose]());

/** Holds the answer to envelope 1 and gives its code and text. */
function expectError(reply: Reply, status: number, code: string): string {
  expect([reply.status, reply.headers["iothub-errorcode"]], reply.text).toEqual([status, code]);
  expect(reply.headers["content-type"]).toBe("application/json; charset=utf-8");
  const requestId = String(reply.headers["x-ms-request-id"]);
  expect(requestId).toMatch(GUID);
  expect(Object.keys(reply.body)).toEqual(["Message", "ExceptionMessage"]);
  const parts = String(reply.body["Message"]).split(";");
  // The Node SDK splits at `;` and takes the second part, which must not be empty.
  expect(parts).toHaveLength(2);
  expect(parts[0]).toBe(`ErrorCode:${code}`);
  expect(parts[1]).not.toBe("");
  const stamp = /^Tracking ID:([0-9a-f]{32})-G:\d+-TimeStamp:(\d\d\/\d\d\/\d{4} \d\d:\d\d:\d\d)$/.exec(
    String(reply.body["ExceptionMessage"]),
  );
  expect(stamp?.[1]).toBe(requestId.replaceAll("-", ""));
  expect(Math.abs(Date.parse(`${stamp?.[2]}Z`) - Date.now())).toBeLessThan(60_000);
  return parts[1]!;
}

describe("the envelope", () => {
  test("of a device that is not there", async () => {
    expect(expectError(await hub.send("GET", "/devices/nobody"), 404, "DeviceNotFound")).toBe("nobody");
    expect(expectError(await hub.send("GET", encodeURI("/devices/a;b")), 404, "DeviceNotFound")).toBe("a,b");
  });

  test("of a path that is not there", async () => {
    for (const path of [
      "/",
      "/nothing",
      "/devices/a/b",
      "/devices/a/modules/b/c",
      "/jobs/v2/a/b/c",
      "//devices",
      "/Devices",
    ])
      expectError(await hub.send("GET", path), 404, "GenericNotFound");
    for (const [method, path] of [
      ["DELETE", "/devices"],
      ["POST", "/devices/a"],
      ["PUT", "/jobs/create"],
      ["PATCH", "/devices/a"],
      ["OPTIONS", "/devices"],
    ] as const)
      expectError(await hub.send(method, path), 404, "GenericNotFound");
  });

  test("of a request without a token, of an unknown host, without a version", async () => {
    expectError(await hub.send("GET", "/devices", { token: null }), 401, "IotHubUnauthorizedAccess");
    expectError(await hub.send("GET", "/devices", { host: "nobody.example" }), 404, "IotHubNotFound");
    expectError(await hub.send("GET", "/devices?"), 400, "InvalidProtocolVersion");
  });

  test("two requests have two ids", async () => {
    const ids = await Promise.all(
      [1, 2, 3].map(async () => (await hub.send("GET", "/devices")).headers["x-ms-request-id"]),
    );
    expect(new Set(ids).size).toBe(3);
  });
});

describe("bodies", () => {
  const put = (options: SendOptions) => hub.send("PUT", "/devices/body", options);

  test.each([
    ["no JSON", "no JSON"],
    ["half of it", '{"deviceId":"body"'],
    ["two of it", "{} {}"],
    ["a key in it", '{"primaryKey":"MTIzNDU2Nzg5MHF3ZXJ0eQ=="'],
    ["not UTF-8", Buffer.from([0x7b, 0xff, 0xfe])],
  ])("%s", async (_name, body) => {
    const text = expectError(await put({ body }), 400, "ArgumentInvalid");
    expect(text).not.toContain("MTIz");
    for (const path of ["/devices", "/jobs/create"])
      expectError(await hub.send("POST", path, { body }), 400, "ArgumentInvalid");
  });

  test.each([
    ["nothing", undefined],
    ["blank", "  \r\n"],
    ["null", "null"],
    ["a list", "[]"],
    ["a number", "1"],
    ["a string", '"x"'],
  ])("%s instead of an object", async (_name, body) => {
    expectError(await put({ body }), 400, "ArgumentInvalid");
    expectError(await hub.send("POST", "/jobs/create", { body }), 400, "ArgumentInvalid");
  });

  test("a byte order mark and any content type are taken", async () => {
    for (const [index, type] of [
      "application/json",
      "text/plain",
      "application/x-www-form-urlencoded",
      "application/octet-stream",
    ].entries()) {
      const options = { body: `\ufeff{"deviceId":"type-${index}"}`, headers: { "content-type": type } };
      expect((await hub.send("PUT", `/devices/type-${index}`, options)).status, type).toBe(200);
    }
  });

  test.each(["", ";", "nonsense", "application/json; charset=nothing", "a/b/c", "multipart/form-data", "*/*"])(
    "the content type %j is no server's fault",
    async (type) => {
      const reply = await put({ body: "{", headers: { "content-type": type } });
      expect(reply.status, reply.text).toBeLessThan(500);
      expectError(reply, reply.status, String(reply.headers["iothub-errorcode"]));
    },
  );

  test("too large", async () => {
    const large = JSON.stringify({ deviceId: "body", statusReason: "x".repeat(BODY_BYTES_MAX) });
    expectError(await put({ body: large }), 413, "MessageTooLarge");
    expectError(await put({ body: large, token: null }), 401, "IotHubUnauthorizedAccess");
  });

  test("nested as deep as a body can be", async () => {
    const depth = 1_000_000;
    for (const body of [
      "[".repeat(depth),
      `${'{"tags":'.repeat(depth)}1${"}".repeat(depth)}`,
      `[{"id":"deep","tags":${"[".repeat(depth)}${"]".repeat(depth)}}]`,
      `[{"id":"deep","tags":{"a":${"[".repeat(depth)}${"]".repeat(depth)}}}]`,
      `[{"id":"deep","properties":{"desired":{"$metadata":${"[".repeat(depth)}${"]".repeat(depth)}}}}]`,
    ]) {
      const reply = await hub.send("POST", "/devices", { body });
      expect(reply.status, body.slice(0, 40)).toBeLessThan(500);
    }
  });
});

describe("paths that cannot be decoded", () => {
  test.each([
    "/devices/%",
    "/devices/%zz",
    "/devices/%E0%A4%A",
    "/devices/%c3%28",
    "/devices/a/modules/%ff",
    "/jobs/%",
  ])("%s", async (path) => {
    expectError(await hub.send("GET", path), 400, "ArgumentInvalid");
  });

  test("too long", async () => {
    const reply = await hub.send("GET", `/devices/${"x".repeat(5_000)}`);
    expect(reply.status).toBeGreaterThanOrEqual(400);
    expectError(reply, reply.status, String(reply.headers["iothub-errorcode"]));
  });
});

test("what is no HTTP does no harm", async () => {
  const { hubferry } = served;
  for (const bytes of [
    "\0\0\0\0",
    "GET\r\n\r\n",
    "GET /devices HTTP/9.9\r\n\r\n",
    "GET /devices HTTP/1.1\r\n\r\n",
    "PUT /devices/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
    `GET /devices HTTP/1.1\r\nhost: localhost\r\nx: ${"x".repeat(100_000)}\r\n\r\n`,
    "POST /devices HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
  ]) {
    const socket = tls.connect({
      host: "127.0.0.1",
      port: hubferry.port,
      ca: readFileSync(hubferry.caFile),
      servername: "localhost",
    });
    await once(socket, "secureConnect");
    socket.on("error", () => {});
    let answer = "";
    socket.on("data", (chunk: Buffer) => (answer += chunk.toString()));
    socket.end(bytes);
    await new Promise((resolve) => socket.on("close", resolve));
    expect(answer, JSON.stringify(bytes.slice(0, 60))).not.toMatch(/^HTTP\/1\.1 5/);
  }
  expect((await hub.send("GET", "/statistics/devices")).status).toBe(200);
});

describe("anything at all", () => {
  const SEGMENTS = [
    "devices",
    "modules",
    "jobs",
    "create",
    "statistics",
    "service",
    "v2",
    "query",
    "livez",
    "readyz",
    "twins",
    "configurations",
  ];
  const id = fc.oneof(
    fc.constantFrom(
      "d1",
      "d2",
      "$edgeAgent",
      "é",
      "a/b",
      "",
      ".",
      "..",
      "%",
      "x".repeat(200),
      "00000000-0000-0000-0000-000000000000",
      "\0",
    ),
    fc.string({ unit: "binary", maxLength: 12 }),
  );
  const encoded = id.map((text) => encodeURIComponent(text.toWellFormed()));
  const path = fc.oneof(
    {
      weight: 6,
      arbitrary: fc
        .tuple(
          fc.constantFrom(
            "/devices",
            "/devices/",
            "/jobs",
            "/jobs/create",
            "/jobs/v2/",
            "/statistics/",
            "/devices/d1/modules",
            "/devices/d1/modules/",
          ),
          fc.option(encoded, { nil: "" }),
        )
        .map((parts) => parts.join("")),
    },
    {
      weight: 2,
      arbitrary: fc
        .array(fc.oneof(fc.constantFrom(...SEGMENTS), encoded), { maxLength: 5 })
        .map((parts) => `/${parts.join("/")}`),
    },
    { weight: 1, arbitrary: fc.stringMatching(/^\/[!-~]{0,40}$/) },
  );
  const query = fc.oneof(
    { weight: 6, arbitrary: fc.constant(`?api-version=${API_VERSION}`) },
    { weight: 2, arbitrary: fc.stringMatching(/^\?api-version=2021-04-12(&(top|x|__proto__)=[!-~]{0,8}){0,3}$/) },
    { weight: 1, arbitrary: fc.stringMatching(/^\?[!-~]{0,20}$/) },
  );
  const words = fc.constantFrom<unknown>(
    "create",
    "Update",
    "delete",
    "updateTwin",
    "enabled",
    "sas",
    "selfSigned",
    "none",
    "import",
    "export",
    "",
    "*",
    null,
    true,
    0,
    -1,
    1e308,
    "a",
    "\0",
    "\ud800",
    [],
    {},
    ["a"],
    "http://127.0.0.1:22/x?sig=a",
    "https://a.blob.core.windows.net/",
  );
  const NAMES = [
    "deviceId",
    "moduleId",
    "id",
    "importMode",
    "status",
    "statusReason",
    "authentication",
    "symmetricKey",
    "primaryKey",
    "secondaryKey",
    "x509Thumbprint",
    "primaryThumbprint",
    "type",
    "capabilities",
    "iotEdge",
    "deviceScope",
    "parentScopes",
    "tags",
    "properties",
    "desired",
    "reported",
    "$metadata",
    "$version",
    "eTag",
    "twinETag",
    "inputBlobContainerUri",
    "outputBlobContainerUri",
    "inputBlobName",
    "outputBlobName",
    "excludeKeysInExport",
    "includeConfigurations",
    "storageAuthenticationType",
    "__proto__",
    "constructor",
  ];
  const { value } = fc.letrec<{ value: unknown; object: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      words,
      fc.jsonValue({ maxDepth: 1 }),
      tie("object"),
      fc.array(tie("object"), { maxLength: 4 }),
    ),
    object: fc.dictionary(fc.constantFrom(...NAMES), tie("value"), { maxKeys: 7 }),
  }));
  const item = fc.record(
    {
      id: fc.oneof(fc.constantFrom<unknown>("d1", "d2", "d3"), words),
      moduleId: words,
      importMode: words,
      status: words,
      tags: value,
      properties: value,
      authentication: value,
    },
    { requiredKeys: ["id"] },
  );
  const body = fc.oneof(
    { weight: 5, arbitrary: value },
    { weight: 3, arbitrary: fc.array(item, { maxLength: 4 }) },
    { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  );
  const headerText = fc.stringMatching(/^[ -~]{0,24}$/).map((text) => text.trim());
  const headers = fc.dictionary(
    fc.constantFrom(
      "if-match",
      "content-type",
      "if-none-match",
      "accept",
      "x-ms-client-request-id",
      "x-http-method-override",
      "expect",
      "content-encoding",
      "accept-encoding",
    ),
    fc.oneof(fc.constantFrom("*", '"*"', '""', "MQ==", "application/json", "100-continue", "gzip"), headerText),
    { maxKeys: 4 },
  );
  const request = fc.record({
    method: fc.constantFrom("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"),
    path,
    query,
    body,
    headers,
    hasToken: fc.nat(20),
  });

  test(`is answered without a 500 (FUZZ_SEED=${FUZZ_SEED} FUZZ_RUNS=${FUZZ_RUNS})`, async () => {
    const statuses = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(request, async ({ method, path: where, query: how, body: what, headers: head, hasToken }) => {
        const { expect: expectation, ...rest } = head;
        const reply = await hub.send(method, `${where}${how}`, {
          ...(what === undefined || method === "GET" || method === "HEAD" ? {} : { body: what }),
          headers: { ...rest, ...(expectation === "100-continue" ? { expect: expectation } : {}) },
          token: hasToken === 0 ? null : sasToken(hub.credentials),
        });
        statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
        expect(reply.status, reply.text).toBeLessThan(500);
        const failedItems = reply.body !== null && "isSuccessful" in reply.body;
        if (reply.status >= 400 && !failedItems && method !== "HEAD")
          expectError(reply, reply.status, String(reply.headers["iothub-errorcode"]));
      }),
      { seed: FUZZ_SEED, numRuns: FUZZ_RUNS, endOnFailure: process.env["FUZZ_SHRINK"] === undefined },
    );
    // Most of it must come past the door, or else it shows nothing.
    expect(statuses.get(200) ?? 0, JSON.stringify([...statuses])).toBeGreaterThan(FUZZ_RUNS / 20);
    expect((await hub.send("GET", "/livez?", { token: null })).status).toBe(200);
  });

  test("nobody's fault was the server's, nor did it start anew", () => {
    expect(served.hubferry.output()).not.toContain('"msg":"a request failed"');
    expect(served.hubferry.workerPids().length).toBeLessThanOrEqual(1);
  });
});

/** Errors: one envelope for everything, and nothing that a caller sends is a 500 (contract 7). */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ApiClient, SendOptions } from "../support/api-client.ts";
import { expectError } from "../support/expect-error.ts";
import { type ServedHubs, serveHubs } from "../support/served-hubs.ts";

const BODY_BYTES_MAX = 8 * 1024 * 1024;

let served: ServedHubs;
let hub: ApiClient;

beforeAll(async () => {
  served = await serveHubs(["errors"]);
  hub = await served.client("errors");
});
afterAll(() => served[Symbol.asyncDispose]());

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

test("nobody's fault was taken for the server's", () => {
  expect(served.hubferry.output()).not.toContain('"msg":"a request failed"');
});

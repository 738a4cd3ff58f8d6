/** Nothing that a caller sends is a 500, nor does it end the server. FUZZ_RUNS says how much, FUZZ_SEED which. */
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type ApiClient, sasToken } from "../support/api-client.ts";
import { expectError } from "../support/expect-error.ts";
import { randomRequest } from "../support/random-requests.ts";
import { type ServedHubs, serveHubs } from "../support/served-hubs.ts";

const RUNS = Number(process.env["FUZZ_RUNS"] ?? 1_000);
const SEED = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 31);
/** Of all requests, at least. */
const SHARE_THAT_SUCCEEDS = 0.1;

let served: ServedHubs;
let hub: ApiClient;

beforeAll(async () => {
  served = await serveHubs(["fuzz"]);
  hub = await served.client("fuzz");
});
afterAll(() => served[Symbol.asyncDispose]());

test(`random requests (FUZZ_SEED=${SEED} FUZZ_RUNS=${RUNS})`, async () => {
  console.log(`FUZZ_SEED=${SEED}`);
  const statuses = new Map<number, number>();
  const property = fc.asyncProperty(randomRequest, async ({ method, path, body, headers, hasToken }) => {
    const reply = await hub.send(method, path, {
      ...(body === undefined ? {} : { body }),
      headers,
      token: hasToken ? sasToken(hub.credentials) : null,
    });
    statuses.set(reply.status, (statuses.get(reply.status) ?? 0) + 1);
    expect(reply.status, reply.text).toBeLessThan(500);
    const isBulkResult = reply.body !== null && "isSuccessful" in reply.body;
    if (reply.status >= 400 && !isBulkResult && method !== "HEAD")
      expectError(reply, reply.status, String(reply.headers["iothub-errorcode"]));
  });
  await fc.assert(property, { seed: SEED, numRuns: RUNS });
  const succeeded = (statuses.get(200) ?? 0) + (statuses.get(204) ?? 0);
  expect(succeeded, `of ${RUNS}: ${JSON.stringify([...statuses])}`).toBeGreaterThan(RUNS * SHARE_THAT_SUCCEEDS);
});

test("the server is the one that was started, and met no error of its own", async () => {
  expect((await hub.send("GET", "/livez?", { token: null })).status).toBe(200);
  expect((await hub.send("GET", "/statistics/devices")).status).toBe(200);
  expect(served.hubferry.output()).not.toContain('"msg":"a request failed"');
  expect(served.hubferry.workerPids()).toHaveLength(1);
});

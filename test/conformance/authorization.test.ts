/** Who may do what: SAS tokens, policies and hosts (contract 8 and 16). */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ApiClient, type Reply, sasToken, secondsFromNow, type TokenOptions } from "../support/api-client.ts";
import { runHubferry } from "../support/hubferry.ts";
import { type ServedHubs, serveHubs } from "../support/served-hubs.ts";

const UNAUTHORIZED = [401, "IotHubUnauthorizedAccess", "ErrorCode:IotHubUnauthorizedAccess;Unauthorized"];
const SKEW_SECONDS = 300;
const MARGIN_SECONDS = 30;
const FIRST = "first-hub";
const SECOND = "second-hub";

let served: ServedHubs;
let first: ApiClient;
let second: ApiClient;

beforeAll(async () => {
  served = await serveHubs([FIRST, SECOND]);
  first = await served.client(FIRST);
  second = await served.client(SECOND);
  for (const [client, id] of [
    [first, "of-first"],
    [second, "of-second"],
  ] as const)
    expect((await client.send("PUT", `/devices/${id}`, { body: { deviceId: id } })).status).toBe(200);
});
afterAll(() => served[Symbol.asyncDispose]());

/** Reads a device with a token of the test's own. */
const read = (options: TokenOptions, path = "/devices/of-first", host?: string) =>
  first.send("GET", path, { token: sasToken(first.credentials, options), ...(host === undefined ? {} : { host }) });
const outcomeOf = (reply: Reply) => [reply.status, reply.headers["iothub-errorcode"], reply.body["Message"]];

describe("expiry", () => {
  test.each([
    ["an hour ahead", 3_600, 200],
    ["just past, within the skew of clocks", -(SKEW_SECONDS - MARGIN_SECONDS), 200],
    ["past the skew of clocks", -(SKEW_SECONDS + MARGIN_SECONDS), 401],
    ["long past", -86_400, 401],
  ])("%s", async (_name, seconds, status) => {
    const reply = await read({ expiry: secondsFromNow(seconds) });
    expect(reply.status).toBe(status);
    if (status === 401) expect(outcomeOf(reply)).toEqual(UNAUTHORIZED);
  });

  test("changed after signing", async () => {
    const token = sasToken(first.credentials, { expiry: secondsFromNow(-86_400) });
    const reply = await first.send("GET", "/devices/of-first", {
      token: token.replace(/se=\d+/, `se=${secondsFromNow(3_600)}`),
    });
    expect(outcomeOf(reply)).toEqual(UNAUTHORIZED);
  });
});

describe("key", () => {
  test("a wrong one", async () => {
    expect(outcomeOf(await read({ key: Buffer.alloc(32, 1).toString("base64") }))).toEqual(UNAUTHORIZED);
    expect(outcomeOf(await read({ key: "" }))).toEqual(UNAUTHORIZED);
  });

  test("the name of another policy, or of none", async () => {
    expect(outcomeOf(await read({ policy: "registryRead" }))).toEqual(UNAUTHORIZED);
    expect(outcomeOf(await read({ policy: "nobody" }))).toEqual(UNAUTHORIZED);
  });

  test("of another hub, for this hub's host", async () => {
    expect(outcomeOf(await read({ key: second.credentials.key }))).toEqual(UNAUTHORIZED);
  });

  test("another hub's own token", async () => {
    const token = sasToken(second.credentials);
    expect(outcomeOf(await first.send("GET", "/devices/of-first", { token }))).toEqual(UNAUTHORIZED);
    expect((await first.send("GET", "/devices/of-second", { token, host: second.credentials.hostName })).status).toBe(
      200,
    );
  });
});

describe("the shape of a token", () => {
  const good = () => sasToken(first.credentials);
  const withToken = async (token: string | null) => outcomeOf(await first.send("GET", "/devices/of-first", { token }));

  test("what is none is refused", async () => {
    const [head, fields] = good().split(" ") as [string, string];
    const without = (name: string) =>
      `${head} ${fields
        .split("&")
        .filter((field) => !field.startsWith(`${name}=`))
        .join("&")}`;
    for (const token of [
      null,
      "",
      head,
      fields,
      `Bearer ${fields}`,
      `${head} ${fields} ${fields}`,
      `${head} sr`,
      `${head} &&&&`,
      `${head} sr=%zz&sig=%zz&se=1`,
      `Basic ${Buffer.from("a:b").toString("base64")}`,
      without("sr"),
      without("sig"),
      without("se"),
      good().replace(/se=\d+/, "se=tomorrow"),
      good().replace(/se=\d+/, "se=99999999999999999999999999"),
      good().replace(/sig=[^&]+/, "sig="),
      good().replace(/sig=[^&]+/, "sig=AAAA"),
    ])
      expect(await withToken(token), String(token)).toEqual(UNAUTHORIZED);
  });

  test("fields come in any order and case, with any blanks before them", async () => {
    const [head, fields] = good().split(" ") as [string, string];
    const reversed = fields
      .split("&")
      .toReversed()
      .map((field) => field.replace(/^\w+/, (name) => name.toUpperCase()))
      .join("&");
    for (const token of [`${head}  ${reversed}`, `${head.toLowerCase()} ${fields}`])
      expect((await withToken(token))[0], token).toBe(200);
  });
});

describe("resource", () => {
  const host = () => first.credentials.hostName;

  test.each<[string, () => string]>([
    ["the host, raw", () => host()],
    ["the host, percent-encoded", () => encodeURIComponent(host())],
    ["in upper case", () => host().toUpperCase()],
    ["with a port, raw", () => `${host()}:8443`],
    ["with a port, percent-encoded", () => `${host()}%3A8443`],
    ["with a port, percent-encoded in lower case", () => `${host()}%3a8443`],
    ["with a slash at its end", () => `${host()}%2f`],
    ["with the path", () => `${host()}/devices/of-first`],
    ["with the path, percent-encoded", () => encodeURIComponent(`${host()}/devices/of-first`)],
    ["with the path's first segment", () => `${host()}%2fdevices`],
    ["with the path's first segment and a slash", () => `${host()}%2Fdevices%2F`],
  ])("%s: taken", async (_name, resource) => {
    expect((await read({ rawResource: resource() })).status).toBe(200);
  });

  test.each<[string, () => string]>([
    ["another hub's host", () => second.credentials.hostName],
    ["nobody's host", () => "elsewhere.azure-devices.net"],
    ["a part of the host's name", () => host().slice(0, -1)],
    ["a longer name", () => `${host()}.evil.example`],
    ["half a segment", () => `${host()}/dev`],
    ["another path", () => `${host()}/jobs`],
    ["a longer path", () => `${host()}/devices/of-first/modules`],
    ["a path of its own alone", () => "/devices"],
    ["nothing", () => ""],
    ["a scheme", () => `https://${host()}`],
  ])("%s: refused", async (_name, resource) => {
    expect(outcomeOf(await read({ rawResource: resource() }))).toEqual(UNAUTHORIZED);
  });

  test("a token for one device is none for another, nor for one whose id it begins", async () => {
    const token = sasToken(first.credentials, { rawResource: `${host()}/devices/of` });
    expect(outcomeOf(await first.send("GET", "/devices/of-first", { token }))).toEqual(UNAUTHORIZED);
    expect((await first.send("GET", "/devices/of", { token })).status).toBe(404);
    expect((await first.send("GET", "/devices/of/modules", { token })).status).toBe(404);
    expect(outcomeOf(await first.send("GET", "/devices", { token }))).toEqual(UNAUTHORIZED);
  });
});

type Endpoint = readonly [method: string, path: string, right: "read" | "write"];

const ENDPOINTS: readonly Endpoint[] = [
  ["GET", "/devices", "read"],
  ["GET", "/devices/nobody", "read"],
  ["GET", "/devices/nobody/modules", "read"],
  ["GET", "/devices/nobody/modules/m", "read"],
  ["GET", "/statistics/devices", "read"],
  ["GET", "/statistics/service", "read"],
  ["GET", "/jobs", "read"],
  ["GET", "/jobs/nothing", "read"],
  ["GET", "/jobs/v2/nothing", "read"],
  ["GET", "/jobs/v2/query", "read"],
  ["PUT", "/devices/a b", "write"],
  ["PUT", "/devices/nobody/modules/m", "write"],
  ["DELETE", "/devices/nobody", "write"],
  ["DELETE", "/devices/nobody/modules/m", "write"],
  ["POST", "/devices", "write"],
  ["POST", "/jobs/create", "write"],
  ["DELETE", "/jobs/nothing", "write"],
];

const POLICIES: Readonly<Record<string, readonly Endpoint[2][]>> = {
  iothubowner: ["read", "write"],
  registryReadWrite: ["read", "write"],
  registryRead: ["read"],
  service: [],
  device: [],
};

describe.each(Object.entries(POLICIES))("policy %s", (policy, rights) => {
  test.each(ENDPOINTS)("%s %s needs the right to %s", async (method, path, right) => {
    const client = await served.client(FIRST, policy);
    const reply = await client.send(method, encodeURI(path), method === "PUT" || method === "POST" ? { body: {} } : {});
    if (rights.includes(right)) expect(reply.status, reply.text).not.toBe(401);
    else expect(outcomeOf(reply)).toEqual(UNAUTHORIZED);
  });

  test("its key also without its name", async () => {
    const client = await served.client(FIRST, policy);
    const token = sasToken(client.credentials, { policy: null });
    const reply = await first.send("GET", "/devices/of-first", { token });
    expect(reply.status).toBe(rights.length > 0 ? 200 : 401);
  });
});

describe("host", () => {
  test("nobody's: IotHubNotFound, token or no token", async () => {
    for (const host of ["unknown.azure-devices.net", "unknown.azure-devices.net:8443", "10.0.0.1", "[::2]:1", "a;b"]) {
      for (const token of [sasToken(first.credentials), null]) {
        const reply = await first.send("GET", "/devices", { host, token });
        expect(outcomeOf(reply).slice(0, 2), host).toEqual([404, "IotHubNotFound"]);
        expect(String(reply.body["Message"]).split(";")).toHaveLength(2);
      }
    }
  });

  test("a hub's own, with a port, in any case", async () => {
    for (const host of [`${first.credentials.hostName}:1234`, first.credentials.hostName.toUpperCase()])
      expect((await first.send("GET", "/devices/of-first", { host })).status, host).toBe(200);
  });

  test("loopback names go to the hub that was created first, with a token for either name", async () => {
    for (const host of [
      "localhost",
      "localhost:8443",
      "127.0.0.1",
      "127.0.0.1:8443",
      "127.1.2.3",
      "[::1]:8443",
      "[::1]",
    ]) {
      const bare = host.replace(/:\d+$/, "");
      for (const token of [
        sasToken(first.credentials),
        sasToken(first.credentials, { rawResource: host }),
        sasToken(first.credentials, { rawResource: encodeURIComponent(bare) }),
      ]) {
        expect((await first.send("GET", "/devices/of-first", { host, token })).status, host).toBe(200);
        expect((await first.send("GET", "/devices/of-second", { host, token })).status, host).toBe(404);
      }
      const foreign = sasToken(second.credentials, { rawResource: bare });
      expect(outcomeOf(await first.send("GET", "/devices/of-second", { host, token: foreign }))).toEqual(UNAUTHORIZED);
    }
  });

  test("a loopback name that a hub claims is that hub's", async () => {
    const { hubferry } = served;
    const dataDir = ["--data-dir", hubferry.dataDir];
    await runHubferry(["hub", "create", "claims", "--host-name", "127.9.9.9", "claims.example", ...dataDir]);
    using claims = new ApiClient(hubferry, await runHubferry(["hub", "connection-string", "claims", ...dataDir]));
    expect(claims.credentials.hostName).toBe("127.9.9.9");
    await expect.poll(async () => (await claims.send("GET", "/devices")).status, { timeout: 10_000 }).toBe(200);
    for (const host of ["127.9.9.9", "127.9.9.9:443", "claims.example"]) {
      expect((await claims.send("GET", "/devices", { host })).body).toEqual([]);
      expect(outcomeOf(await first.send("GET", "/devices", { host }))).toEqual(UNAUTHORIZED);
    }
    await runHubferry(["hub", "delete", "claims", ...dataDir]);
    await expect
      .poll(async () => (await claims.send("GET", "/devices", { host: "claims.example" })).status, { timeout: 10_000 })
      .toBe(404);
  });
});

describe("api-version", () => {
  test.each(["2018-06-30", "2020-03-13", "2020-05-31-preview", "2021-04-12", "2024-03-31"])(
    "%s is taken",
    async (version) => {
      expect((await first.send("GET", `/devices/of-first?api-version=${version}`)).status).toBe(200);
    },
  );

  test.each([
    "",
    "?",
    "?api-version=",
    "?api-version=latest",
    "?api-version=2021",
    "?api-version=2021-04-12&api-version=2021-04-12",
    "?version=2021-04-12",
  ])("%s is refused", async (query) => {
    const reply = await first.send("GET", `/devices/of-first${query === "" ? "?" : query}`);
    expect(outcomeOf(reply).slice(0, 2)).toEqual([400, "InvalidProtocolVersion"]);
  });

  test("who is not let in does not hear of it", async () => {
    expect(outcomeOf(await first.send("GET", "/devices/of-first?", { token: null }))).toEqual(UNAUTHORIZED);
  });
});

test("health needs neither hub nor token nor version", async () => {
  for (const path of ["/livez?", "/readyz?"]) {
    const reply = await first.send("GET", path, { token: null, host: "anything.example" });
    expect([reply.status, reply.body]).toEqual([200, { status: "ok" }]);
  }
});

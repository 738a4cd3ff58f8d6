/** Device and module identities over HTTPS: the recorded exchanges, and the rules of contract 1.2, 1.3, 5 and 6. */
import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ApiClient, Json, Reply, SendOptions } from "../support/api-client.ts";
import { expectLikeRecorded, recorded } from "../support/recorded-exchanges.ts";
import { type ServedHubs, serveHubs } from "../support/served-hubs.ts";

const BASE64_OF_32_BYTES = /^[A-Za-z0-9+/]{43}=$/;
const KEYS = { primaryKey: "MTIzNDU2Nzg5MHF3ZXJ0eQ==", secondaryKey: "eXRyZXdxMDk4NzY1NDMyMQ==" };

let served: ServedHubs;
let hub: ApiClient;
let other: ApiClient;

beforeAll(async () => {
  served = await serveHubs(["identities", "listing"]);
  hub = await served.client("identities");
  other = await served.client("listing");
});
afterAll(() => served[Symbol.asyncDispose]());

const newId = () => `d-${randomUUID()}`;
const pathOf = (...ids: readonly string[]) => `/devices/${ids.map(encodeURIComponent).join("/modules/")}`;
const put = (ids: readonly string[], body: Json, options: SendOptions = {}) =>
  hub.send("PUT", pathOf(...ids), {
    body: { deviceId: ids[0], ...(ids[1] && { moduleId: ids[1] }), ...body },
    ...options,
  });
const ifMatch = (value: string) => ({ headers: { "if-match": value } });

async function newDevice(body: Json = {}): Promise<{ id: string; device: Json; etag: string }> {
  const id = newId();
  const { body: device, status } = await put([id], body);
  expect(status, JSON.stringify(device)).toBe(200);
  return { id, device, etag: String(device["etag"]) };
}

/** Code and text of an error, in the one envelope that every client reads (contract 7). */
function errorOf(reply: Reply): [status: number, code: string, text: string] {
  const code = String(reply.headers["iothub-errorcode"]);
  const message = String(reply.body["Message"]);
  expect(message.startsWith(`ErrorCode:${code};`), message).toBe(true);
  return [reply.status, code, message.slice(`ErrorCode:${code};`.length)];
}

describe("recorded exchanges", () => {
  test("a device is created, read, updated and deleted", async () => {
    const id = newId();
    const creation = recorded("PUT /devices/{id}", 0);
    const created = await put([id], {}, { headers: { "if-match": creation.headers!["If-Match"]! } });
    expect(created.status).toBe(creation.status);
    expectLikeRecorded(created.body, creation.resBody!);
    expect(created.headers.etag).toBe(`"${String(created.body["etag"])}"`);

    const reading = recorded("GET /devices/{id}");
    const read = await hub.send("GET", pathOf(id));
    expect(read.status).toBe(reading.status);
    expectLikeRecorded(read.body, reading.resBody!);
    expect(read.headers.etag).toBe(created.headers.etag);
    expect(read.body["generationId"]).toBe(created.body["generationId"]);

    const update = recorded("PUT /devices/{id}", 1);
    const disabled = { ...read.body, status: "disabled" };
    const updated = await put([id], disabled, { headers: { "if-match": update.headers!["If-Match"]! } });
    expect(updated.status).toBe(update.status);
    expectLikeRecorded(updated.body, update.resBody!);
    expect(numberOf(updated.body["etag"])).toBe(numberOf(read.body["etag"]) + 1);
    expect(updated.body["authentication"]).toEqual(read.body["authentication"]);

    const stale = await put([id], disabled, ifMatch(`"${String(read.body["etag"])}"`));
    expect(stale.status).toBe(recorded("PUT /devices/{id}", 2).status);
    expect(errorOf(stale).slice(0, 2)).toEqual([412, "PreconditionFailed"]);

    const deletion = recorded("DELETE /devices/{id}");
    const deleted = await hub.send("DELETE", pathOf(id), { headers: { "if-match": deletion.headers!["If-Match"]! } });
    expect([deleted.status, deleted.text]).toEqual([deletion.status, ""]);
  });

  test("a module is created and read without an ETag header", async () => {
    const { id } = await newDevice();
    const creation = recorded("PUT /devices/{id}/modules/{mid}");
    const created = await put([id, "m"], {}, { headers: { "if-match": creation.headers!["If-Match"]! } });
    expect(created.status).toBe(creation.status);
    expectLikeRecorded(created.body, creation.resBody!);
    expect(created.headers.etag).toBeUndefined();
    const read = await hub.send("GET", pathOf(id, "m"));
    expect(read.headers.etag).toBeUndefined();
    expect(read.body["lastActivityTime"]).toBe("0001-01-01T00:00:00Z");
    expect(Object.keys(read.body)).toEqual(Object.keys(creation.resBody!));
  });

  test("bulk requests", async () => {
    const id = newId();
    const creation = recorded("POST /devices", 0);
    const created = await hub.send("POST", "/devices", { body: [{ id, importMode: "create", status: "enabled" }] });
    expect([created.status, created.body]).toEqual([creation.status, creation.resBody]);
    expect(Object.keys(created.body)).toEqual(Object.keys(creation.resBody!));
    const properties = { desired: { user: "userA" } };
    const withTwin = await hub.send("POST", "/devices", {
      body: [{ id, moduleId: "mod", importMode: "create", properties }],
    });
    expect([withTwin.status, withTwin.body]).toEqual([200, recorded("POST /devices", 1).resBody]);
    const deletion = recorded("POST /devices", 2);
    const deleted = await hub.send("POST", "/devices", { body: [{ id, importMode: "deleteIfMatchETag" }] });
    expect([deleted.status, deleted.body]).toEqual([deletion.status, deletion.resBody]);
  });

  test("every success has the recorded headers", async () => {
    const { headers } = await hub.send("GET", "/statistics/devices");
    expect(headers["content-type"]).toBe("application/json; charset=utf-8");
    expect(headers["vary"]).toBe("Origin");
    expect(headers["x-ms-request-id"]).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
  });
});

const numberOf = (etag: unknown) => Number(Buffer.from(String(etag), "base64").toString());

describe("PUT and If-Match", () => {
  test.each([
    ["absent", {}],
    ['""', ifMatch('""')],
  ])("%s creates, and only that", async (_name, options) => {
    const id = newId();
    expect((await put([id], {}, options)).status).toBe(200);
    expect(errorOf(await put([id], {}, options))).toEqual([
      409,
      "DeviceAlreadyExists",
      `A device with ID '${id}' is already registered.`,
    ]);
  });

  test.each([
    ["*", () => "*"],
    ['"*"', () => '"*"'],
    ["the quoted ETag", (etag: string) => `"${etag}"`],
    ["the unquoted ETag", (etag: string) => etag],
  ])("%s updates, and only that", async (_name, headerOf) => {
    const { id, etag } = await newDevice();
    const updated = await put([id], { status: "disabled" }, ifMatch(headerOf(etag)));
    expect([updated.status, updated.body["status"]]).toEqual([200, "disabled"]);
    expect(errorOf(await put(["nobody"], {}, ifMatch(headerOf(etag))))).toEqual([404, "DeviceNotFound", "nobody"]);
  });

  test.each([
    ["quoted", '"c3RhbGU="'],
    ["unquoted", "c3RhbGU="],
  ])("a stale ETag, %s, is refused", async (_name, header) => {
    const { id, device } = await newDevice();
    expect(errorOf(await put([id], { status: "disabled" }, ifMatch(header)))[1]).toBe("PreconditionFailed");
    expect((await hub.send("GET", pathOf(id))).body).toMatchObject({ etag: device["etag"], status: "enabled" });
  });

  test("one of two updates with the same ETag fails", async () => {
    const { id, etag } = await newDevice();
    const replies = await Promise.all([1, 2, 3, 4].map(() => put([id], {}, ifMatch(`"${etag}"`))));
    expect(replies.map((reply) => reply.status).toSorted((a, b) => a - b)).toEqual([200, 412, 412, 412]);
  });

  test("one of several creations wins", async () => {
    const id = newId();
    const replies = await Promise.all([1, 2, 3, 4].map(() => put([id], {})));
    expect(replies.map((reply) => reply.status).toSorted((a, b) => a - b)).toEqual([200, 409, 409, 409]);
  });

  test("a module", async () => {
    const { id } = await newDevice();
    expect(errorOf(await put([id, "m"], {}, ifMatch("*")))[1]).toBe("ModuleNotFound");
    const created = await put([id, "m"], {});
    expect(created.status).toBe(200);
    expect(errorOf(await put([id, "m"], {}))).toEqual([
      409,
      "ModuleAlreadyExistsOnDevice",
      `Device ${id} in IotHub identities already contains Module m.`,
    ]);
    expect((await put([id, "m"], { managedBy: "x" }, ifMatch(String(created.body["etag"])))).status).toBe(200);
    expect(errorOf(await put([id, "m"], {}, ifMatch(`"${String(created.body["etag"])}"`)))[1]).toBe(
      "PreconditionFailed",
    );
    expect((await put([id, "m"], {}, ifMatch('"*"'))).body["managedBy"]).toBeNull();
    expect(errorOf(await put(["nobody", "m"], {}))).toEqual([404, "DeviceNotFound", "nobody"]);
  });
});

describe("DELETE and If-Match", () => {
  test.each([
    ["absent", {}, [412, "PreconditionFailed", "Etag missing"]],
    ['""', ifMatch('""'), [412, "PreconditionFailed", "Etag missing"]],
  ])("%s is refused", async (_name, options, expected) => {
    const { id } = await newDevice();
    expect(errorOf(await hub.send("DELETE", pathOf(id), options))).toEqual(expected);
    expect((await hub.send("GET", pathOf(id))).status).toBe(200);
  });

  test.each([
    ["*", () => "*"],
    ['"*"', () => '"*"'],
    ["the quoted ETag", (etag: string) => `"${etag}"`],
    ["the unquoted ETag", (etag: string) => etag],
  ])("%s deletes the device with its modules", async (_name, headerOf) => {
    const { id, etag } = await newDevice();
    await put([id, "m"], {});
    expect((await hub.send("DELETE", pathOf(id), ifMatch(headerOf(etag)))).status).toBe(204);
    expect(errorOf(await hub.send("GET", pathOf(id)))).toEqual([404, "DeviceNotFound", id]);
    expect((await hub.send("GET", `${pathOf(id)}/modules`)).status).toBe(404);
    expect(errorOf(await hub.send("DELETE", pathOf(id), ifMatch("*")))[1]).toBe("DeviceNotFound");
  });

  test("a stale ETag is refused, for a module too", async () => {
    const { id } = await newDevice();
    await put([id, "m"], {});
    expect(errorOf(await hub.send("DELETE", pathOf(id), ifMatch('"c3RhbGU="')))[1]).toBe("PreconditionFailed");
    expect(errorOf(await hub.send("DELETE", pathOf(id, "m"), ifMatch('"c3RhbGU="')))[1]).toBe("PreconditionFailed");
    expect(errorOf(await hub.send("DELETE", pathOf(id, "m")))[2]).toBe("Etag missing");
    expect((await hub.send("DELETE", pathOf(id, "m"), ifMatch('"*"'))).status).toBe(204);
    expect(errorOf(await hub.send("GET", pathOf(id, "m")))[1]).toBe("ModuleNotFound");
    expect(errorOf(await hub.send("DELETE", pathOf(id, "m"), ifMatch("*")))[1]).toBe("ModuleNotFound");
  });
});

describe("paths", () => {
  const ODD = "A-b:c.d+e%f_g#h*i?j!k(l),m=n@o$p;q'r";

  test("ids with every character that they may have", async () => {
    expect((await put([ODD, ODD], {})).status).toBe(404);
    expect((await put([ODD], {})).body["deviceId"]).toBe(ODD);
    expect((await put([ODD, ODD], {})).body).toMatchObject({ deviceId: ODD, moduleId: ODD });
    expect((await hub.send("GET", pathOf(ODD))).body["deviceId"]).toBe(ODD);
    expect((await hub.send<Json[]>("GET", `${pathOf(ODD)}/modules`)).body.map((module) => module["moduleId"])).toEqual([
      ODD,
    ]);
    expect((await hub.send("GET", pathOf(ODD.toLowerCase()))).status).toBe(404);
    // C# encodes more than encodeURIComponent does; others encode nothing that they need not.
    const everything = Buffer.from(ODD).toString("hex").replaceAll(/../g, "%$&");
    expect((await hub.send("GET", `/devices/${everything}`)).body["deviceId"]).toBe(ODD);
    const little = ODD.replaceAll("%", "%25").replaceAll("#", "%23").replaceAll("?", "%3F");
    expect((await hub.send("GET", `/devices/${little}`)).body["deviceId"]).toBe(ODD);
    expect((await hub.send("DELETE", pathOf(ODD), ifMatch("*"))).status).toBe(204);
  });

  test("ids of 128 characters, and no longer ones", async () => {
    expect((await put(["x".repeat(128)], {})).status).toBe(200);
    for (const id of ["x".repeat(129), "a/b", "a b", "é", "a\\b", 'a"b', "x".repeat(1_500)])
      expect(errorOf(await put([id], {})).slice(0, 2), id).toEqual([400, "ArgumentInvalid"]);
    const { id } = await newDevice();
    for (const moduleId of ["$edgeAgent", "$edgeHub", "$other", "a/b", "x".repeat(129)])
      expect(errorOf(await put([id, moduleId], {})).slice(0, 2), moduleId).toEqual([400, "ArgumentInvalid"]);
  });

  test("a trailing slash", async () => {
    const { id } = await newDevice();
    for (const path of ["/devices/", `${pathOf(id)}/`, `${pathOf(id)}/modules/`, "/statistics/devices/", "/jobs/"])
      expect((await hub.send("GET", path)).status, path).toBe(200);
    expect((await hub.send("POST", "/devices/", { body: [{ id: newId(), importMode: "create" }] })).status).toBe(200);
  });

  test("the id of the body must be that of the path", async () => {
    const { id } = await newDevice();
    expect(errorOf(await hub.send("PUT", pathOf(newId()), { body: { deviceId: id } })).slice(0, 2)).toEqual([
      400,
      "ArgumentInvalid",
    ]);
    expect((await hub.send("PUT", pathOf(newId()), { body: {} })).status).toBe(200);
  });
});

describe("authentication of an identity", () => {
  test.each([
    ["nothing", {}],
    ["null", { authentication: null }],
    [
      "empty keys, as the Node SDK sends them",
      { authentication: { type: "sas", symmetricKey: { primaryKey: "", secondaryKey: "" } } },
    ],
    ["a type alone", { authentication: { type: "sas" } }],
    ["a type in another case", { authentication: { type: "SAS" } }],
  ])("%s: keys are generated", async (_name, body) => {
    const { device } = await newDevice(body);
    const { symmetricKey, type } = device["authentication"] as { symmetricKey: typeof KEYS; type: string };
    expect(type).toBe("sas");
    expect(symmetricKey.primaryKey).toMatch(BASE64_OF_32_BYTES);
    expect(symmetricKey.secondaryKey).toMatch(BASE64_OF_32_BYTES);
    expect(symmetricKey.primaryKey).not.toBe(symmetricKey.secondaryKey);
  });

  test("given keys are kept, and new ones minted by an update that has none", async () => {
    const { id, device } = await newDevice({ authentication: { symmetricKey: KEYS } });
    expect(device["authentication"]).toMatchObject({ type: "sas", symmetricKey: KEYS });
    const updated = await put([id], {}, ifMatch("*"));
    const keys = (updated.body["authentication"] as { symmetricKey: typeof KEYS }).symmetricKey;
    expect(keys.primaryKey).toMatch(BASE64_OF_32_BYTES);
    expect((await hub.send("GET", pathOf(id))).body["authentication"]).toEqual(updated.body["authentication"]);
  });

  const bytes = (length: number) => Buffer.alloc(length, 7).toString("base64");
  test.each([[16], [17], [18], [32], [64]])("keys of %i bytes are taken", async (length) => {
    const symmetricKey = { primaryKey: bytes(length), secondaryKey: bytes(length) };
    expect((await newDevice({ authentication: { symmetricKey } })).device["authentication"]).toMatchObject({
      symmetricKey,
    });
  });

  const thumbprint = (character: string, length = 40) => character.repeat(length);
  test.each<[string, Json, string]>([
    ["one key", { symmetricKey: { primaryKey: bytes(32) } }, "Either no keys or both keys can be set."],
    [
      "the other key",
      { symmetricKey: { secondaryKey: bytes(32), primaryKey: "" } },
      "Either no keys or both keys can be set.",
    ],
    ["a short key", { symmetricKey: { primaryKey: bytes(15), secondaryKey: bytes(32) } }, "Invalid device key length"],
    ["a long key", { symmetricKey: { primaryKey: bytes(32), secondaryKey: bytes(65) } }, "Invalid device key length"],
    [
      "no base64",
      { symmetricKey: { primaryKey: "not base64 at all!", secondaryKey: bytes(32) } },
      "Invalid device key",
    ],
    [
      "url-safe base64",
      { symmetricKey: { primaryKey: `${"-_".repeat(21)}A=`, secondaryKey: bytes(32) } },
      "Invalid device key",
    ],
    [
      "keys and thumbprints",
      { symmetricKey: KEYS, x509Thumbprint: { primaryThumbprint: thumbprint("0") } },
      "cannot specify both symmetric keys and thumbprints.",
    ],
    [
      "a type that does not fit",
      { type: "selfSigned", symmetricKey: KEYS },
      "cannot specify both symmetric keys and thumbprints.",
    ],
    ["a thumbprint with colons", { x509Thumbprint: { primaryThumbprint: "00:11" } }, "thumbprint"],
    ["a thumbprint of 41 digits", { x509Thumbprint: { primaryThumbprint: thumbprint("a", 41) } }, "thumbprint"],
    [
      "thumbprints of two lengths",
      { x509Thumbprint: { primaryThumbprint: thumbprint("a"), secondaryThumbprint: thumbprint("a", 64) } },
      "same length",
    ],
    ["keys for a CA device", { type: "certificateAuthority", symmetricKey: KEYS }, "certificateAuthority"],
    ["none", { type: "none" }, "none"],
  ])("%s: refused", async (_name, authentication, text) => {
    const [status, code, message] = errorOf(await put([newId()], { authentication }));
    expect([status, code]).toEqual([400, "ArgumentInvalid"]);
    expect(message).toContain(text);
  });

  test("thumbprints of both lengths, in their own case", async () => {
    for (const [primary, secondary] of [
      ["aB".repeat(20), "Cd".repeat(20)],
      ["Ef".repeat(32), null],
    ] as const) {
      const x509Thumbprint = { primaryThumbprint: primary, secondaryThumbprint: secondary };
      expect((await newDevice({ authentication: { x509Thumbprint } })).device["authentication"]).toEqual({
        symmetricKey: { primaryKey: null, secondaryKey: null },
        x509Thumbprint,
        type: "selfSigned",
      });
    }
    const { device } = await newDevice({ authentication: { type: "selfSigned" } });
    expect(device["authentication"]).toMatchObject({ type: "selfSigned", x509Thumbprint: { primaryThumbprint: null } });
  });

  test("a CA device has neither", async () => {
    expect((await newDevice({ authentication: { type: "certificateAuthority" } })).device["authentication"]).toEqual({
      symmetricKey: { primaryKey: null, secondaryKey: null },
      x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: null },
      type: "certificateAuthority",
    });
  });

  test("a module's none becomes sas", async () => {
    const { id } = await newDevice();
    const { body } = await put([id, "m"], { authentication: { type: "none" } });
    expect(body["authentication"]).toMatchObject({
      type: "sas",
      symmetricKey: { primaryKey: expect.stringMatching(BASE64_OF_32_BYTES) },
    });
  });
});

describe("members", () => {
  test("read-only ones are ignored", async () => {
    const readOnly = {
      generationId: "1",
      etag: "AAAA",
      connectionState: "Connected",
      connectionStateUpdatedTime: "2020-01-01T00:00:00Z",
      statusUpdatedTime: "2020-01-01T00:00:00Z",
      lastActivityTime: "2020-01-01T00:00:00Z",
      cloudToDeviceMessageCount: 7,
      unknownMember: { of: ["any", "kind"] },
    };
    const { id, device } = await newDevice(readOnly);
    for (const [name, value] of Object.entries(readOnly)) expect(device[name], name).not.toEqual(value);
    const updated = await put([id], { ...device, ...readOnly }, ifMatch("*"));
    expect(updated.status).toBe(200);
    expect(updated.body["generationId"]).toBe(device["generationId"]);
    expect(updated.body["connectionState"]).toBe("Disconnected");
  });

  test("names and enums are read in any case", async () => {
    const id = newId();
    const body = { DeviceId: id, STATUS: "Disabled", StatusReason: "why", Capabilities: { IotEdge: true } };
    const created = await hub.send("PUT", pathOf(id), { body });
    expect(created.body).toMatchObject({ status: "disabled", statusReason: "why", capabilities: { iotEdge: true } });
  });

  test("a PUT replaces the whole identity", async () => {
    const { id } = await newDevice({ status: "disabled", statusReason: "Wartung – 保守" });
    expect((await hub.send("GET", pathOf(id))).body["statusReason"]).toBe("Wartung – 保守");
    const updated = await put([id], { status: "disabled" }, ifMatch("*"));
    expect(updated.body["statusReason"]).toBeNull();
  });

  test("statusUpdatedTime moves with the status alone", async () => {
    const { id, device } = await newDevice();
    expect(device["statusUpdatedTime"]).toBe("0001-01-01T00:00:00");
    const same = await put([id], { status: "enabled" }, ifMatch("*"));
    expect(same.body["statusUpdatedTime"]).toBe("0001-01-01T00:00:00Z");
    const disabled = await put([id], { status: "disabled" }, ifMatch("*"));
    const time = String(disabled.body["statusUpdatedTime"]);
    expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(60_000);
    const again = await put([id], { status: "disabled", statusReason: "x" }, ifMatch("*"));
    expect(again.body["statusUpdatedTime"]).toBe(time);
  });

  test("statusReason has at most 128 characters", async () => {
    expect((await newDevice({ statusReason: "é".repeat(128) })).device["statusReason"]).toBe("é".repeat(128));
    expect(errorOf(await put([newId()], { statusReason: "x".repeat(129) })).slice(0, 2)).toEqual([
      400,
      "ArgumentInvalid",
    ]);
    for (const reason of ["a\u0000b", "\ud800"])
      expect((await put([newId()], { statusReason: reason })).status).toBe(400);
    const controls = "\u0001\u0002\r\n\t\u001f\\N\"';&sig=x";
    expect((await newDevice({ statusReason: controls })).device["statusReason"]).toBe(controls);
    expect((await newDevice({ statusReason: "\\N" })).device["statusReason"]).toBe("\\N");
  });

  test.each<[string, unknown]>([
    ["status", "other"],
    ["status", 1],
    ["statusReason", {}],
    ["capabilities", "edge"],
    ["capabilities", { iotEdge: "yes" }],
    ["authentication", []],
    ["authentication", { type: "password" }],
    ["authentication", { symmetricKey: "key" }],
    ["parentScopes", "scope"],
    ["deviceScope", 1],
  ])("%s of the wrong type: refused (%j)", async (name, value) => {
    const reply = await put([newId()], { [name]: value });
    expect(errorOf(reply).slice(0, 2)).toEqual([400, "ArgumentInvalid"]);
  });

  test("an edge device has a scope and two modules, a leaf its parent's scope", async () => {
    const { id, device } = await newDevice({ capabilities: { iotEdge: true }, deviceScope: "given-by-the-caller" });
    const scope = String(device["deviceScope"]);
    expect(scope).toMatch(new RegExp(`^ms-azure-iot-edge://${id}-\\d{18}$`));
    const modules = (await hub.send<Json[]>("GET", `${pathOf(id)}/modules`)).body;
    expect(modules.map((module) => module["moduleId"])).toEqual(["$edgeAgent", "$edgeHub"]);
    expect(modules[0]).toMatchObject({ managedBy: "iotEdge", authentication: { type: "none" } });
    const leaf = await newDevice({ deviceScope: scope });
    expect(leaf.device).toMatchObject({ deviceScope: scope, parentScopes: [scope] });
    const child = await newDevice({ capabilities: { iotEdge: true }, parentScopes: [scope] });
    expect(child.device["parentScopes"]).toEqual([scope]);
    expect((await newDevice({ parentScopes: [scope] })).device["parentScopes"]).toEqual([]);
    expect(
      errorOf(await put([id], { capabilities: { iotEdge: true }, deviceScope: "other" }, ifMatch("*")))[2],
    ).toContain("Device scope is immutable");
    expect((await put([id], device, ifMatch("*"))).status).toBe(200);
  });

  test("a device has at most 50 modules", async () => {
    const { id } = await newDevice();
    const body = Array.from({ length: 50 }, (_, index) => ({ id, moduleId: `m${index}`, importMode: "create" }));
    expect((await hub.send("POST", "/devices", { body })).status).toBe(200);
    expect(errorOf(await put([id, "one-more"], {})).slice(0, 2)).toEqual([413, "TooManyModulesOnDevice"]);
  });
});

describe("lists", () => {
  test("devices in the order of ids, 1,000 at most, `top` of them", async () => {
    const ids = Array.from({ length: 1_005 }, (_, index) => `L${String(index).padStart(5, "0")}`);
    for (let start = 0; start < ids.length; start += 100) {
      const body = ids.slice(start, start + 100).map((id) => ({ id, importMode: "create" }));
      expect((await other.send("POST", "/devices", { body })).status).toBe(200);
    }
    const list = async (query: string) =>
      (await other.send<Json[]>("GET", `/devices?api-version=2021-04-12${query}`)).body.map(
        (device) => device["deviceId"],
      );
    expect(await list("")).toEqual(ids.slice(0, 1_000));
    expect(await list("&top=2")).toEqual(ids.slice(0, 2));
    expect(await list("&top=1")).toEqual(ids.slice(0, 1));
    expect(await list("&top=1000")).toHaveLength(1_000);
    for (const top of ["0", "1001", "-1", "many", "", "1e9", "NaN"])
      expect(await list(`&top=${top}`), top).toHaveLength(1_000);
    const [first] = (await other.send<Json[]>("GET", "/devices?api-version=2021-04-12&top=1")).body;
    expect(first).toEqual((await other.send("GET", "/devices/L00000")).body);
  });

  test("statistics", async () => {
    const devices = await other.send("GET", "/statistics/devices");
    expect(devices.text).toBe('{"totalDeviceCount":1005,"enabledDeviceCount":1005,"disabledDeviceCount":0}');
    expect((await other.send("GET", "/statistics/service")).text).toBe('{"connectedDeviceCount":0}');
  });

  test("modules of a device, none of an unknown one", async () => {
    const { id } = await newDevice();
    expect((await hub.send("GET", `${pathOf(id)}/modules`)).body).toEqual([]);
    for (const module of ["b", "B", "a"]) await put([id, module], {});
    const { body } = await hub.send<Json[]>("GET", `${pathOf(id)}/modules`);
    expect(body.map((module) => module["moduleId"])).toEqual(["B", "a", "b"]);
    expect(errorOf(await hub.send("GET", "/devices/nobody/modules"))).toEqual([404, "DeviceNotFound", "nobody"]);
  });
});

describe("bulk", () => {
  const bulk = (...body: readonly Json[]) => hub.send("POST", "/devices", { body });

  test("what fails does not keep the rest from being applied", async () => {
    const { id } = await newDevice();
    const added = newId();
    const reply = await bulk(
      { id, importMode: "create" },
      { id: added, importMode: "create" },
      { id: "nobody", importMode: "Update" },
    );
    expect(reply.status).toBe(400);
    expect(reply.body).toEqual({
      isSuccessful: false,
      errors: [
        { deviceId: id, errorCode: 409001, errorStatus: `A device with ID '${id}' is already registered.` },
        { deviceId: "nobody", errorCode: 404001, errorStatus: "nobody" },
      ],
      warnings: [],
    });
    expect((await hub.send("GET", pathOf(added))).status).toBe(200);
  });

  test("modes in the case that the Node SDK sends, ETags with and without quotes", async () => {
    const { id, etag } = await newDevice();
    expect((await bulk({ id, importMode: "UpdateIfMatchETag", etag: `"${etag}"`, status: "disabled" })).status).toBe(
      200,
    );
    const { body } = await hub.send("GET", pathOf(id));
    expect(body["status"]).toBe("disabled");
    const stale = await bulk({ id, importMode: "DeleteIfMatchETag", eTag: etag });
    expect(stale.body).toMatchObject({ isSuccessful: false, errors: [{ deviceId: id, errorCode: 412001 }] });
    expect((await bulk({ id, importMode: "DeleteIfMatchETag", etag: body["etag"] })).status).toBe(200);
    expect((await bulk({ id, importMode: "Delete" })).body).toMatchObject({
      errors: [{ errorCode: 404001, errorStatus: id }],
    });
    expect((await bulk({ id })).status).toBe(200);
    expect((await bulk({ id, importMode: "createOrUpdate" })).status).toBe(200);
  });

  test("modules", async () => {
    const { id } = await newDevice();
    expect((await bulk({ id, moduleId: "m", importMode: "create" })).status).toBe(200);
    const again = await bulk({ id, moduleId: "m", importMode: "create" });
    expect(again.body).toMatchObject({ errors: [{ deviceId: id, moduleId: "m", errorCode: 409301 }] });
  });

  test("bounds: no device twice, at most 100, an array", async () => {
    const id = newId();
    expect(errorOf(await bulk({ id }, { id })).slice(0, 2)).toEqual([400, "DeviceDefinedMultipleTimes"]);
    expect((await hub.send("GET", pathOf(id))).status).toBe(404);
    const many = Array.from({ length: 101 }, (_, index) => ({ id: `${id}-${index}` }));
    expect(errorOf(await bulk(...many)).slice(0, 2)).toEqual([413, "TooManyDevices"]);
    expect((await bulk()).body).toEqual({ isSuccessful: true, errors: [], warnings: [] });
    for (const body of [{ id }, "text", 1, null, [1], [null], [[{ id }]]])
      expect(errorOf(await hub.send("POST", "/devices", { body })).slice(0, 2), JSON.stringify(body)).toEqual([
        400,
        "ArgumentInvalid",
      ]);
  });
});

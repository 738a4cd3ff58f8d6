import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openContainer } from "../../src/blob/container.ts";
import { checkInputBlob, checkOutputContainer } from "../../src/blob/preflight.ts";
import { parseStorageHosts } from "../../src/blob/storage-hosts.ts";
import { RegistryError } from "../../src/errors.ts";
import { type Azurite, type SasOptions, startAzurite } from "../support/azurite.ts";
import { answerError, startHttpProxy } from "./http-proxy.ts";

const WRITE = "Unauthorized to write to output blob container.";
const READ = "Unauthorized to read from output blob container.";
const DELETE = "Unauthorized to delete from output blob container.";
const INPUT = "Failed to read devices blob from the input container.";

let azurite: Azurite;
let name: string;

beforeAll(async () => {
  azurite = await startAzurite();
  name = await azurite.createContainer();
  await azurite.upload(name, "devices.txt", "{}\n");
}, 60_000);
afterAll(() => azurite[Symbol.asyncDispose]());

const open = (uri: string) => openContainer(uri, parseStorageHosts(azurite.host), { retryDelayMs: 5 });
const uriOf = (sas?: SasOptions, container = name) => azurite.containerUri(container, sas);

/** The text of the refusal, or null. Holds it to the rules that all of them must keep. */
async function textOf(act: () => Promise<unknown>): Promise<string | null> {
  try {
    await act();
    return null;
  } catch (error) {
    expect(error).toBeInstanceOf(RegistryError);
    const { code, message, cause } = error as RegistryError;
    expect(code).toBe("BlobContainerValidationError");
    expect(message).not.toMatch(/sig=|;|[?]/);
    expect(cause).toBeUndefined();
    return message;
  }
}

const output = (uri: string) => textOf(async () => checkOutputContainer(open(uri)));
const input = (uri: string, blob = "devices.txt") => textOf(async () => checkInputBlob(open(uri), blob));

describe("an output container", () => {
  test("that will do is left as it was", async () => {
    const blobs = await azurite.listBlobs(name);
    expect(await output(uriOf())).toBeNull();
    expect(await azurite.listBlobs(name)).toEqual(blobs);
  });

  test.each([
    ["lacks w", { permissions: "rdl" }, `${WRITE} The SAS grants 'rdl', it needs 'w'.`],
    ["lacks w, has c", { permissions: "rcd" }, `${WRITE} The SAS grants 'rcd', it needs 'w'.`],
    ["lacks r", { permissions: "wd" }, `${READ} The SAS grants 'wd', it needs 'r'.`],
    ["lacks d", { permissions: "rwl" }, `${DELETE} The SAS grants 'rwl', it needs 'd'.`],
    ["expired", { expiresOn: new Date("2026-01-02T03:04:05Z") }, `${WRITE} The SAS expired at 2026-01-02T03:04:05Z.`],
    [
      "not valid yet",
      { startsOn: new Date("2098-01-01T00:00:00Z"), expiresOn: new Date("2099-01-01T00:00:00Z") },
      `${WRITE} The SAS is not valid before 2098-01-01T00:00:00Z. Storage answered AuthorizationFailure (HTTP 403).`,
    ],
  ])("whose SAS %s", async (_name, sas, text) => {
    expect(await output(uriOf(sas))).toBe(text);
  });

  test("that is missing", async () => {
    expect(await output(uriOf({}, "missing"))).toBe(`${WRITE} The container 'missing' does not exist.`);
  });

  test("without a SAS", async () => {
    expect(await output(uriOf().split("?")[0] ?? "")).toBe(`${WRITE} The URI of the container has no SAS.`);
  });

  test("with the SAS of another container", async () => {
    expect(await output(uriOf({}, "other").replace("/other?", `/${name}?`))).toBe(
      `${WRITE} The SAS is for another container, or a network rule of the account keeps this server out. Storage answered AuthorizationFailure (HTTP 403).`,
    );
  });

  test("with the SAS of one blob", async () => {
    expect(await output(uriOf().replace("sr=c", "sr=b"))).toBe(
      `${WRITE} The SAS is for one blob (sr=b), it needs a container (sr=c).`,
    );
  });

  test("with a stored access policy that does not let it delete: the probe finds out", async () => {
    const client = azurite.service.getContainerClient(name);
    const accessPolicy = { permissions: "rw", startsOn: new Date(0), expiresOn: new Date(Date.now() + 60_000) };
    await client.setAccessPolicy(undefined, [{ id: "policy", accessPolicy }]);
    const { generateBlobSASQueryParameters } = await import("@azure/storage-blob");
    const sas = generateBlobSASQueryParameters(
      { containerName: name, identifier: "policy" },
      azurite.service.credential as never,
    );
    const text = await output(`${uriOf().split("?")[0]}?${sas.toString()}`);
    expect(text).toBe(
      `${DELETE} The SAS depends on the stored access policy 'policy' of the container. Storage answered AuthorizationPermissionMismatch (HTTP 403).`,
    );
    for (const blob of await azurite.listBlobs(name))
      if (blob.startsWith("hubferry-probe-")) await client.deleteBlob(blob);
  });

  test("that Azure says is another's: AuthenticationFailed", async () => {
    await using server = await startHttpProxy();
    server.answer = (_request, response) => answerError(response, 403, "AuthenticationFailed");
    const uri = uriOf().replace(azurite.host, server.host);
    expect(await textOf(() => checkOutputContainer(openContainer(uri, parseStorageHosts(server.host))))).toBe(
      `${WRITE} The signature of the SAS does not fit the container '${name}': it is for another container, or its key was changed. Storage answered AuthenticationFailed (HTTP 403).`,
    );
  });

  test("whose probe cannot be read back is left without the probe", async () => {
    await using proxy = await startHttpProxy(azurite.host);
    proxy.answer = (request, response) =>
      request.method === "GET" && answerError(response, 403, "AuthorizationFailure");
    const uri = uriOf().replace(azurite.host, proxy.host);
    const text = await textOf(() => checkOutputContainer(openContainer(uri, parseStorageHosts(proxy.host))));
    expect(text).toContain(`${READ} `);
    expect((await azurite.listBlobs(name)).filter((blob) => blob.startsWith("hubferry-probe-"))).toEqual([]);
  });

  test.each([
    "http://127.0.0.1:22/account/container",
    "http://169.254.169.254/latest/meta-data",
    "http://evil.example/container",
  ])("at %s: refused before anything is sent", async (uri) => {
    const host = new URL(uri).host;
    expect(await output(`${uri}?sr=c&sp=rwd&sig=x`)).toBe(
      `The storage host '${host}' is not allowed, HUBFERRY_STORAGE_HOSTS lists the hosts that are.`,
    );
  });

  test("where nobody listens", async () => {
    const uri = "http://127.0.0.1:1/account/container?sr=c&sp=rwd&sig=x";
    const text = await textOf(() =>
      checkOutputContainer(openContainer(uri, parseStorageHosts("127.0.0.1:1"), { retryDelayMs: 1 })),
    );
    expect(text).toBe(`${WRITE} The storage at '127.0.0.1:1' could not be reached: ECONNREFUSED.`);
  });
});

describe("an input blob", () => {
  test("that is there", async () => {
    expect(await checkInputBlob(open(uriOf({ permissions: "rl" })), "devices.txt")).toEqual({
      bytes: 3,
      etag: expect.stringMatching(/^".+"$/),
    });
  });

  test("that is missing", async () => {
    expect(await input(uriOf(), "other.txt")).toBe(
      `${INPUT} The blob 'other.txt' does not exist in container '${name}'.`,
    );
    expect(await input(uriOf(), "a;b.txt")).toBe(`${INPUT} The blob 'a,b.txt' does not exist in container '${name}'.`);
  });

  test("whose container is missing", async () => {
    expect(await input(uriOf({}, "missing"))).toBe(`${INPUT} The container 'missing' does not exist.`);
  });

  test("whose SAS lacks r", async () => {
    expect(await input(uriOf({ permissions: "wl" }))).toBe(`${INPUT} The SAS grants 'wl', it needs 'r'.`);
  });

  test("whose SAS expired", async () => {
    expect(await input(uriOf({ expiresOn: new Date("2026-01-02T03:04:05Z") }))).toBe(
      `${INPUT} The SAS expired at 2026-01-02T03:04:05Z.`,
    );
  });

  test("without a SAS", async () => {
    expect(await input(uriOf().split("?")[0] ?? "")).toBe(`${INPUT} The URI of the container has no SAS.`);
  });
});

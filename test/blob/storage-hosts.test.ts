import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RegistryError } from "../../src/errors.ts";
import {
  checkStorageUri,
  isHostAllowed,
  parseStorageHosts,
  STORAGE_HOSTS_DEFAULT,
} from "../../src/blob/storage-hosts.ts";

const AZURE = parseStorageHosts(STORAGE_HOSTS_DEFAULT);
const MIXED = parseStorageHosts(`${STORAGE_HOSTS_DEFAULT},127.0.0.1:10000,[::1]:10000,azurite,Blob.Example.ORG:8443`);
const SECRET = "sv=2025-01-01&sp=rwd&sig=c2VjcmV0";

function codeOf(uri: string, hosts = MIXED): string {
  try {
    checkStorageUri(uri, hosts);
    return "allowed";
  } catch (error) {
    expect(error).toBeInstanceOf(RegistryError);
    expect((error as Error).message).not.toMatch(/sig=|c2VjcmV0|;/);
    return (error as RegistryError).code;
  }
}

describe("parseStorageHosts", () => {
  test.each([
    "*",
    "*.",
    "*.net",
    "a.*.net",
    "*.*.net",
    "*.foo.net:443",
    "http://x.net",
    "x.net/path",
    "u@x.net",
    "x.net:0",
    "x.net:70000",
    "x.net:port",
    "::1",
    "[::1",
    "a b",
    "x.net?y",
    "x\\y",
    "%41.net",
  ])("refuses %s by name", (entry) => {
    expect(() => parseStorageHosts(`good.example,${entry}`)).toThrow(`"${entry}"`);
  });

  test("an empty list allows nothing", () => {
    expect(parseStorageHosts(" , ")).toEqual([]);
    expect(codeOf("https://a.blob.core.windows.net/c", parseStorageHosts(""))).toBe("BlobContainerValidationError");
  });
});

describe("checkStorageUri", () => {
  test.each([
    "https://account.blob.core.windows.net/container",
    "https://ACCOUNT.Blob.Core.Windows.NET:443/container/",
    "https://account.blob.core.usgovcloudapi.net/$root",
    "https://account.blob.core.chinacloudapi.cn/container",
    "https://account.blob.core.cloudapi.de/container",
    "https://account.z01.blob.storage.azure.net/container",
    "http://127.0.0.1:10000/devstoreaccount1/container",
    "https://127.0.0.1:10000/devstoreaccount1/container",
    "http://2130706433:10000/devstoreaccount1/container", // is 127.0.0.1
    "http://[0:0:0:0:0:0:0:1]:10000/devstoreaccount1/container",
    "http://azurite/devstoreaccount1/container",
    "https://azurite/container",
    "https://blob.example.org:8443/container",
  ])("allows %s", (uri) => {
    expect(codeOf(uri)).toBe("allowed");
    expect(codeOf(`${uri}?${SECRET}`)).toBe("allowed");
  });

  test.each([
    "http://account.blob.core.windows.net/c", // a wildcard allows https only
    "https://account.blob.core.windows.net:8443/c",
    "https://account.blob.core.windows.net./c",
    "https://blob.core.windows.net/c",
    "https://.blob.core.windows.net/c",
    "https://a..blob.core.windows.net/c",
    "https://evilblob.core.windows.net/c",
    "https://account.blob.core.windows.net.evil.example/c",
    "https://evil.example/account.blob.core.windows.net",
    "https://evil.example:443/c",
    "http://127.0.0.1:22/a/c",
    "http://127.0.0.1/a/c",
    "http://127.0.0.1:10001/a/c",
    "http://0x7f.1:22/a/c",
    "http://0177.0.0.1:22/a/c",
    "http://169.254.169.254/latest/meta-data",
    "http://0xa9fea9fe/latest/meta-data",
    "http://[::ffff:127.0.0.1]:10000/a/c",
    "http://[::1]/a/c",
    "http://localhost:10000/a/c",
    "http://azurite:10000/a/c",
    "http://azurite./a/c",
    "https://blob.example.org/c",
    "https://*.blob.core.windows.net/c",
  ])("does not allow the host of %s", (uri) => {
    expect(codeOf(`${uri}?${SECRET}`)).toBe("BlobContainerValidationError");
  });

  test.each([
    "",
    "container",
    "file:///etc/passwd",
    "ftp://account.blob.core.windows.net/c",
    "gopher://127.0.0.1:10000/c",
    "https:account.blob.core.windows.net/c",
    "https:/account.blob.core.windows.net/c",
    "https:///account.blob.core.windows.net/c",
    "https://account.blob.core.windows.net@evil.example/c",
    "https://user:pw@account.blob.core.windows.net/c",
    "https://@account.blob.core.windows.net/c",
    "https://evil.example\\@account.blob.core.windows.net/c",
    "https://account.blob.core.windows.net\\.evil.example/c",
    "https://account。blob。core。windows。net/c",
    "https://ａccount.blob.core.windows.net/c",
    "https://account.blob.core.windows.net/c#fragment",
    "https://account.blob.core.windows.net",
    "https://account.blob.core.windows.net/",
    "https://account.blob.core.windows.net//c",
    "https://account.blob.core.windows.net/c/d/e",
    "https://account.blob.core.windows.net/c%2f..%2fd",
    "https://account.blob.core.windows.net/c;d",
    " https://account.blob.core.windows.net/c",
    "https://account.blob.core.windows.net/c\n",
    "https://acc\tount.blob.core.windows.net/c",
    "https://account.blob.core.windows.net:port/c",
    "http://[::1/c",
  ])("is no URI of a container: %j", (uri) => {
    expect(codeOf(uri)).toBe("ArgumentInvalid");
  });

  test("names the host and the setting, and says when only the scheme is wrong", () => {
    expect(() => checkStorageUri(`https://evil.example/c?${SECRET}`, AZURE)).toThrow(
      "The storage host 'evil.example' is not allowed, HUBFERRY_STORAGE_HOSTS lists the hosts that are.",
    );
    expect(() => checkStorageUri(`http://a.blob.core.windows.net/c?${SECRET}`, AZURE)).toThrow(
      "The storage host 'a.blob.core.windows.net' is allowed over https only.",
    );
  });

  test("keeps the query as it is written", () => {
    const query = "?sv=2025-01-01&sig=a%2Bb%2Fc%3D&se=2026-01-01T00%3A00%3A00Z";
    expect(checkStorageUri(`https://a.blob.core.windows.net/c/${query}`, AZURE).href).toBe(
      `https://a.blob.core.windows.net/c${query}`,
    );
  });

  test("whatever is put around an allowed name, the host that would be dialled is one of the list", () => {
    const piece = fc.constantFrom(
      "account.blob.core.windows.net",
      "127.0.0.1:10000",
      "@",
      "\\",
      "/",
      ".",
      ":",
      "?",
      "#",
      "%2e",
      "evil",
      "。",
      "[",
      "]",
      "*",
      ":443",
      "\t",
    );
    fc.assert(
      fc.property(
        fc.constantFrom("https://", "http://", "HTTPS://", "https:/"),
        fc.array(piece, { maxLength: 6 }),
        (scheme, pieces) => {
          let url: URL;
          try {
            url = checkStorageUri(`${scheme}${pieces.join("")}/container`, MIXED);
          } catch (error) {
            return error instanceof RegistryError;
          }
          const isAzure =
            url.protocol === "https:" && url.port === "" && url.hostname.endsWith(".blob.core.windows.net");
          return (isAzure || url.host === "127.0.0.1:10000") && isHostAllowed(url, MIXED);
        },
      ),
      { numRuns: 5_000 }, // a failure prints its seed
    );
  });
});

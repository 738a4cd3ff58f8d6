import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { coversResource, isExpired, isSignedWith, parseSasToken, withoutPort } from "../../src/hubs/sas-token.ts";
import { sasToken } from "../support/api-client.ts";

const KEY = Buffer.alloc(32, 9).toString("base64");
const CREDENTIALS = { hostName: "h.example", policy: "iothubowner", key: KEY };

describe("parseSasToken", () => {
  test("gives the fields, the resource decoded and as it stands", () => {
    const token = parseSasToken("sharedaccesssignature  SKN=a%20b&SE=12&SIG=QUJD&SR=H.example%2fDevices%2FA");
    expect(token).toEqual({
      rawResource: "H.example%2fDevices%2FA",
      resource: "h.example/devices/a",
      signature: Buffer.from("ABC"),
      rawExpiry: "12",
      policy: "a b",
    });
  });

  test.each([
    "",
    "SharedAccessSignature",
    "SharedAccessSignature ",
    "Bearer sr=a&sig=b&se=1",
    "SharedAccessSignature sr=a&sig=b",
    "SharedAccessSignature sr=a&se=1",
    "SharedAccessSignature sig=b&se=1",
    "SharedAccessSignature sr=a&sig=b&se=1.5",
    "SharedAccessSignature sr=a&sig=b&se=-1",
    "SharedAccessSignature sr=a&sig=b&se=",
    "SharedAccessSignature sr=%&sig=b&se=1",
    "SharedAccessSignature sr=a&sig=%E0%A4%A&se=1",
    "SharedAccessSignature sr=a&sig=b&se=1&skn=%zz",
    "SharedAccessSignature sr=a&sig=b&se=1&x",
    "SharedAccessSignature sr=a &sig=b&se=1",
  ])("%j is none", (text) => {
    expect(parseSasToken(text)).toBeNull();
  });

  test("never throws", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: "binary" }),
          fc.string().map((text) => `SharedAccessSignature ${text}`),
        ),
        (text) => void parseSasToken(text),
      ),
    );
  });
});

describe("isSignedWith", () => {
  test("the key over resource and expiry as they stand", () => {
    fc.assert(
      fc.property(fc.webPath(), fc.nat(), (path, expiry) => {
        const rawResource = encodeURIComponent(`h.example${path}`);
        const token = parseSasToken(sasToken(CREDENTIALS, { rawResource, expiry }))!;
        expect(isSignedWith(token, KEY)).toBe(true);
        expect(isSignedWith(token, Buffer.alloc(32, 8).toString("base64"))).toBe(false);
        expect(isSignedWith({ ...token, rawExpiry: `${expiry + 1}` }, KEY)).toBe(false);
        expect(isSignedWith({ ...token, rawResource: `${rawResource}x` }, KEY)).toBe(false);
        expect(isSignedWith({ ...token, signature: token.signature.subarray(1) }, KEY)).toBe(false);
        expect(isSignedWith({ ...token, signature: Buffer.alloc(0) }, KEY)).toBe(false);
      }),
    );
  });
});

test("isExpired: 300 s past its expiry, not before", () => {
  const token = parseSasToken(sasToken(CREDENTIALS, { expiry: 1_000 }))!;
  expect(isExpired(token, 1_300_000)).toBe(false);
  expect(isExpired(token, 1_300_001)).toBe(true);
});

describe("coversResource", () => {
  const covers = (resource: string, path: string, hosts = ["h.example", "::1"]) =>
    coversResource(parseSasToken(sasToken(CREDENTIALS, { rawResource: encodeURIComponent(resource) }))!, hosts, path);

  test.each([
    ["h.example", "/devices/a", true],
    ["h.example/", "/", true],
    ["H.EXAMPLE:8443", "/jobs", true],
    ["[::1]:8443", "/jobs", true],
    ["h.example/devices", "/devices", true],
    ["h.example/devices/", "/devices/a", true],
    ["h.example/devices/A", "/devices/a/modules", true],
    ["h.example/devices/a", "/devices/ab", false],
    ["h.example/devices/a", "/devices", false],
    ["h.example/a/b", "/a/bc", false],
    ["other.example", "/devices", false],
    ["h.example.evil", "/devices", false],
    ["", "/devices", false],
    ["/devices", "/devices", false],
  ])("%j for %s: %s", (resource, path, expected) => {
    expect(covers(resource, path)).toBe(expected);
  });
});

test("withoutPort", () => {
  expect(["h", "h:1", "[::1]:2", "[::1]", "::1", "a:b:c", "1.2.3.4:5", ""].map(withoutPort)).toEqual([
    "h",
    "h",
    "::1",
    "::1",
    "::1",
    "a:b:c",
    "1.2.3.4",
    "",
  ]);
});

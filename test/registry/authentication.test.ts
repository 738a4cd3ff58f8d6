import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NO_AUTHENTICATION, readAuthentication, renderAuthentication } from "../../src/registry/authentication.ts";

const KEY = Buffer.alloc(32, 1).toString("base64");
const OTHER = Buffer.alloc(16, 2).toString("base64");
const render = (value: unknown, isModule = false) =>
  JSON.parse(renderAuthentication(readAuthentication(value), "d", isModule)) as unknown;
const sas = (primaryKey: unknown, secondaryKey: unknown) => ({
  symmetricKey: { primaryKey, secondaryKey },
  x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: null },
  type: "sas",
});
const x509 = (type: string, primaryThumbprint: unknown = null, secondaryThumbprint: unknown = null) => ({
  symmetricKey: { primaryKey: null, secondaryKey: null },
  x509Thumbprint: { primaryThumbprint, secondaryThumbprint },
  type,
});
const ANY_KEY = expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/);

describe("what is given", () => {
  test.each<[unknown, unknown]>([
    [undefined, sas(ANY_KEY, ANY_KEY)],
    [null, sas(ANY_KEY, ANY_KEY)],
    [{}, sas(ANY_KEY, ANY_KEY)],
    [{ type: "Sas", symmetricKey: null }, sas(ANY_KEY, ANY_KEY)],
    [{ symmetricKey: { primaryKey: "", secondaryKey: "" } }, sas(ANY_KEY, ANY_KEY)],
    [{ SymmetricKey: { PrimaryKey: KEY, SECONDARYKEY: OTHER } }, sas(KEY, OTHER)],
    [{ type: "selfSigned" }, x509("selfSigned")],
    [{ x509Thumbprint: { secondaryThumbprint: "aB".repeat(20) } }, x509("selfSigned", null, "aB".repeat(20))],
    [{ type: "SelfSigned", x509Thumbprint: { primaryThumbprint: "0".repeat(64) } }, x509("selfSigned", "0".repeat(64))],
    [{ type: "certificateAuthority", symmetricKey: { primaryKey: null } }, x509("certificateAuthority")],
  ])("%j", (given, expected) => expect(render(given)).toEqual(expected));

  test("a module's none is sas, a system module's stays", () => {
    expect(render({ type: "none" }, true)).toEqual(sas(ANY_KEY, ANY_KEY));
    expect(JSON.parse(NO_AUTHENTICATION)).toEqual(x509("none"));
  });
});

describe("rules", () => {
  const both = "cannot specify both symmetric keys and thumbprints";
  test.each<[unknown, string]>([
    [{ symmetricKey: { primaryKey: KEY } }, "Either no keys or both keys can be set."],
    [{ symmetricKey: { secondaryKey: KEY } }, "Either no keys or both keys can be set."],
    [{ type: "sas", x509Thumbprint: { primaryThumbprint: "0".repeat(40) } }, both],
    [{ type: "selfSigned", symmetricKey: { primaryKey: KEY, secondaryKey: KEY } }, both],
    [
      { symmetricKey: { primaryKey: KEY, secondaryKey: KEY }, x509Thumbprint: { primaryThumbprint: "0".repeat(40) } },
      both,
    ],
    [{ type: "certificateAuthority", x509Thumbprint: { primaryThumbprint: "0".repeat(40) } }, "certificateAuthority"],
    [{ type: "none" }, "none"],
    [{ x509Thumbprint: { primaryThumbprint: "g".repeat(40) } }, "thumbprint"],
    [{ x509Thumbprint: { primaryThumbprint: "0".repeat(40), secondaryThumbprint: "0".repeat(64) } }, "same length"],
  ])("%j", (given, text) => expect(() => render(given)).toThrow(text));

  test("a key is base64 of 16 to 64 bytes, and what it is stays out of the text", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const key = Buffer.from(bytes).toString("base64");
        const given = { symmetricKey: { primaryKey: key, secondaryKey: key } };
        if (bytes.length >= 16 && bytes.length <= 64) expect(render(given)).toEqual(sas(key, key));
        else if (bytes.length > 0) expect(() => render(given)).toThrow(/^Invalid device key length: (?!.*[+/=])/);
      }),
    );
    for (const key of [
      `${KEY}\n`,
      KEY.slice(1),
      KEY.slice(0, -1),
      KEY.replace(/.$/, "=="),
      "-_".repeat(22),
      "AAAA====",
      " ".repeat(44),
    ])
      expect(() => render({ symmetricKey: { primaryKey: key, secondaryKey: KEY } }), key).toThrow(
        /^Invalid device key/,
      );
  });

  test.each([
    1,
    "x",
    [],
    { type: 1 },
    { type: "password" },
    { symmetricKey: "x" },
    { symmetricKey: { primaryKey: 1 } },
    { x509Thumbprint: [] },
  ])("%j has not the type", (given) => {
    expect(() => readAuthentication(given)).toThrow(expect.objectContaining({ code: "DeserializationError" }));
  });
});

import { randomBytes } from "node:crypto";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openLog, withoutSecrets } from "../src/log.ts";

const KEY = "bU2d6MkwE5Pon3xCtu745fPK5m6nTX9lN7ZCI+M4bb4=";

describe("withoutSecrets", () => {
  test.each<[string, string, string]>([
    ["a SAS URI", "https://a/c?sv=1&sig=AAA%3D&se=2", "https://a/c?sv=1&sig=***&se=2"],
    ["a SAS at the end", "see https://a/c?sig=AAA%3D", "see https://a/c?sig=***"],
    ["in upper case", "SIG=abc", "SIG=***"],
    [
      "a SAS token",
      "SharedAccessSignature sr=h&sig=A%2B%3D&se=1&skn=o",
      "SharedAccessSignature sr=h&sig=***&se=1&skn=o",
    ],
    ["two of them", "sig=a sig=b", "sig=*** sig=***"],
    [
      "a connection string",
      `HostName=h;SharedAccessKeyName=o;SharedAccessKey=${KEY}`,
      "HostName=h;SharedAccessKeyName=o;SharedAccessKey=***",
    ],
    [
      "a storage account",
      `AccountName=a;AccountKey=${KEY};EndpointSuffix=x`,
      "AccountName=a;AccountKey=***;EndpointSuffix=x",
    ],
    [
      "an identity's keys",
      `{"primaryKey":"${KEY}","secondaryKey":"${KEY}"}`,
      '{"primaryKey":"***","secondaryKey":"***"}',
    ],
    ["with blanks", `"primaryKey" : "${KEY}"`, '"primaryKey" : "***"'],
    ["in single quotes", `'primaryKey':'${KEY}'`, "'primaryKey':'***'"],
    ["escaped", `{\\"primaryKey\\":\\"${KEY}\\"}`, '{\\"primaryKey\\":\\"***\\"}'],
    ["without quotes", `primaryKey=${KEY}`, "primaryKey=***"],
    ["nothing to hide", "the signature of design=1 is Key", "the signature of design=1 is Key"],
  ])("%s", (_name, text, expected) => {
    expect(withoutSecrets(text)).toBe(expected);
    expect(withoutSecrets(expected)).toBe(expected);
  });

  test("no key of any length survives in the JSON of an identity, whole or cut", () => {
    const key = fc.uint8Array({ minLength: 16, maxLength: 64 }).map((bytes) => Buffer.from(bytes).toString("base64"));
    fc.assert(
      fc.property(key, fc.nat(60), (primaryKey, cut) => {
        const text = JSON.stringify({ authentication: { symmetricKey: { primaryKey } } });
        for (const shown of [text, text.slice(0, text.length - cut), JSON.stringify(text)])
          expect(withoutSecrets(shown)).not.toContain(primaryKey.slice(0, 8));
      }),
    );
  });
});

describe("the log", () => {
  test("is cleaned, whatever member a secret is in", () => {
    const lines: string[] = [];
    const log = openLog("info", { write: (line) => void lines.push(line) });
    const key = randomBytes(32).toString("base64");
    log.info(
      { uri: "https://a/c?sig=abc", deep: { primaryKey: key, text: `"primaryKey":"${key}"` } },
      `SharedAccessKey=${key}`,
    );
    log.debug("below the level");
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toMatch(/abc/);
    expect(lines[0]).not.toContain(key);
    expect(JSON.parse(lines[0]!)).toMatchObject({
      pid: process.pid,
      uri: "https://a/c?sig=***",
      msg: "SharedAccessKey=***",
    });
  });
});

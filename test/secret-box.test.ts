import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { getSecretKeyOfDataDir, parseSecretKey, SecretBox } from "../src/secret-box.ts";

const box = new SecretBox(Buffer.alloc(32, 1));

describe("SecretBox", () => {
  test("opens what it sealed, and never seals the same way twice", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.string(), (text, context) => {
        const sealed = box.seal(text, context);
        expect(box.open(sealed, context)).toBe(text);
        expect(box.seal(text, context).equals(sealed)).toBe(false);
        if (text.length > 3) expect(sealed.includes(text)).toBe(false);
      }),
    );
  });

  test("another context, another key or a changed byte does not open", () => {
    const sealed = box.seal("secret", "job:1");
    expect(() => box.open(sealed, "job:2")).toThrow(/HUBFERRY_SECRET_KEY/);
    expect(() => new SecretBox(Buffer.alloc(32, 2)).open(sealed, "job:1")).toThrow(/is not the key it was sealed with/);
    for (let index = 0; index < sealed.length; index++) {
      const changed = Buffer.from(sealed);
      changed[index]! ^= 1;
      expect(() => box.open(changed, "job:1"), String(index)).toThrow(/does not open/);
    }
    for (const cut of [0, 5, 12, 27, sealed.length - 1])
      expect(() => box.open(sealed.subarray(0, cut), "job:1"), String(cut)).toThrow();
  });

  test("a key has 32 bytes", () => {
    expect(() => new SecretBox(Buffer.alloc(31))).toThrow("32 bytes");
    expect(parseSecretKey(Buffer.alloc(32, 3).toString("base64"))).toEqual(Buffer.alloc(32, 3));
    expect(parseSecretKey("ab".repeat(32))).toEqual(Buffer.alloc(32, 0xab));
    for (const text of ["", "ab".repeat(31), `${"A".repeat(42)}==`, "A".repeat(44), `${"A".repeat(43)}=\n`])
      expect(parseSecretKey(text), text).toBeNull();
  });
});

describe("the key of a data directory", () => {
  let directory: string;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "hubferry-key-"));
    onTestFinished(() => rm(directory, { recursive: true }));
  });

  test("is made once, for its owner alone", async () => {
    const key = getSecretKeyOfDataDir(directory);
    expect(key).toHaveLength(32);
    expect(getSecretKeyOfDataDir(directory)).toEqual(key);
    expect((await stat(join(directory, "secret.key"))).mode & 0o777).toBe(0o600);
    expect(await readdir(directory)).toEqual(["secret.key"]);
    expect(parseSecretKey((await readFile(join(directory, "secret.key"), "utf8")).trim())).toEqual(key);
  });

  test("starts at once agree on one key", async () => {
    const module = new URL("../src/secret-box.ts", import.meta.url).href;
    const text = JSON.stringify(directory);
    const source = `import(${JSON.stringify(module)}).then(({ getSecretKeyOfDataDir }) =>
      require("node:worker_threads").parentPort.postMessage(getSecretKeyOfDataDir(${text}).toString("hex")))`;
    const keys = await Promise.all(Array.from({ length: 6 }, () => messageOf(new Worker(source, { eval: true }))));
    expect(new Set(keys).size).toBe(1);
    expect(await readdir(directory)).toEqual(["secret.key"]);
  });

  test("a file that holds no key is named", async () => {
    await writeFile(join(directory, "secret.key"), "nonsense");
    expect(() => getSecretKeyOfDataDir(directory)).toThrow(/secret\.key does not hold a key/);
  });
});

function messageOf(worker: Worker): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  worker.once("message", resolve);
  worker.once("error", reject);
  return promise.finally(() => void worker.terminate());
}

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { isHostAllowed } from "../src/blob/storage-hosts.ts";
import { ConfigError, parseConfig } from "../src/config.ts";

/** The problems that are named, in their order. */
function problemsOf(work: () => unknown): readonly string[] {
  try {
    work();
    return [];
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    const { problems, message } = error as ConfigError;
    expect(message).toBe(`invalid configuration:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
    return problems;
  }
}

describe("values", () => {
  test("defaults", () => {
    const config = parseConfig({}, {});
    expect(config).toMatchObject({ host: "127.0.0.1", port: 8443, dataDir: resolve("data"), tls: null });
    expect(config).toMatchObject({ databaseUrl: null, redisUrl: null, logLevel: "info", secretKey: null });
    expect(isHostAllowed(new URL("https://account.blob.core.windows.net/"), config.storageHosts)).toBe(true);
    expect(isHostAllowed(new URL("https://127.0.0.1/"), config.storageHosts)).toBe(false);
  });

  test("the environment over defaults, flags over the environment, blanks count as nothing", () => {
    const env = { HUBFERRY_PORT: " 1 ", HUBFERRY_HOST: "env.example", HUBFERRY_LOG_LEVEL: "  ", REDIS_URL: "" };
    expect(parseConfig({}, env)).toMatchObject({ port: 1, host: "env.example", logLevel: "info", redisUrl: null });
    expect(parseConfig({ HUBFERRY_PORT: "2" }, env)).toMatchObject({ port: 2, host: "env.example" });
    const url = "postgres://me@/db?host=/tmp";
    expect(parseConfig({}, { DATABASE_URL: url, PATH: "/bin", HUBFERR: "x" })).toMatchObject({ databaseUrl: url });
    expect(parseConfig({ DATABASE_URL: "" }, { DATABASE_URL: url }).databaseUrl).toBeNull();
  });

  test("a secret key in base64 and in hex", () => {
    const key = Buffer.alloc(32, 0xa5);
    for (const text of [key.toString("base64"), key.toString("hex"), key.toString("hex").toUpperCase()])
      expect(parseConfig({}, { HUBFERRY_SECRET_KEY: text }).secretKey).toEqual(key);
  });

  test("certificate and key are read from their files", async ({ onTestFinished }) => {
    const directory = await mkdtemp(join(tmpdir(), "hubferry-config-"));
    onTestFinished(() => rm(directory, { recursive: true }));
    const [cert, key] = [join(directory, "cert.pem"), join(directory, "key.pem")];
    await writeFile(cert, "the certificate");
    await writeFile(key, "the key");
    const env = { HUBFERRY_TLS_CERT: cert, HUBFERRY_TLS_KEY: key };
    expect(parseConfig({}, env).tls).toEqual({ cert: "the certificate", key: "the key" });
    const half = problemsOf(() => parseConfig({ HUBFERRY_TLS_CERT: cert }, {}));
    expect(half).toEqual([expect.stringContaining("HUBFERRY_TLS_CERT and HUBFERRY_TLS_KEY: give both or neither")]);
    const missing = problemsOf(() => parseConfig({}, { ...env, HUBFERRY_TLS_KEY: join(directory, "none.pem") }));
    expect(missing).toEqual([expect.stringMatching(/^HUBFERRY_TLS_KEY: ENOENT/)]);
  });
});

describe("problems", () => {
  test("are all named at once, with the flag or the variable that each is in", () => {
    const env = {
      HUBFERRY_PROT: "1",
      HUBFERRY_PORT: "65536",
      DATABASE_URL: "mysql://me:password@h/db",
      REDIS_URL: "not a url",
      HUBFERRY_STORAGE_HOSTS: "good.example,*.com",
      HUBFERRY_LOG_LEVEL: "loud",
      HUBFERRY_SECRET_KEY: "short",
      HUBFERRY_TLS_CERT: "/nowhere/cert.pem",
    };
    const problems = problemsOf(() => parseConfig({ HUBFERRY_WORKER_JOBS: "0", HUBFERRY_LOG_LEVEL: "louder" }, env));
    expect(problems.map((problem) => problem.split(":")[0]).toSorted((a, b) => (a! < b! ? -1 : 1))).toEqual([
      "--log-level",
      "--worker-jobs",
      "DATABASE_URL",
      "HUBFERRY_PORT",
      "HUBFERRY_PROT",
      "HUBFERRY_SECRET_KEY",
      "HUBFERRY_STORAGE_HOSTS",
      "HUBFERRY_TLS_CERT",
      "HUBFERRY_TLS_CERT and HUBFERRY_TLS_KEY",
      "REDIS_URL",
    ]);
    const text = problems.join("\n");
    expect(text).toContain('from 0 to 65535, it is "65536"');
    expect(text).toContain('"*.com" is no storage host');
    expect(text).toContain('it is "louder"');
    // A database URL holds a password, a secret key is one.
    expect(text).not.toMatch(/password|short/);
  });

  test.each(["-1", "1.5", "0x10", "1e3", "", "eighty", "65536", "999999999999999999999"])("port %j", (port) => {
    const problems = problemsOf(() => parseConfig({ HUBFERRY_PORT: port }, {}));
    expect(problems).toEqual([`--port: should be a whole number from 0 to 65535, it is "${port}"`]);
  });

  test.each(["x", Buffer.alloc(31).toString("base64"), Buffer.alloc(33).toString("hex"), "z".repeat(64)])(
    "secret key %j",
    (key) => {
      const problems = problemsOf(() => parseConfig({}, { HUBFERRY_SECRET_KEY: key }));
      expect(problems).toEqual(["HUBFERRY_SECRET_KEY: should be 32 bytes in base64 or hex"]);
    },
  );
});

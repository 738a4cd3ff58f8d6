/** `hubferry hub ...` without a server, and beside one. */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ApiClient } from "../support/api-client.ts";
import { hubferry, runCommand } from "../support/cli.ts";
import { openTestDatabase } from "../support/database.ts";
import { startHubferry } from "../support/hubferry.ts";

const CLONE = fileURLToPath(new URL("../../", import.meta.url));
const POLICIES = "device, iothubowner, registryRead, registryReadWrite, service";
const CONNECTION_STRING = /^HostName=([^;]+);SharedAccessKeyName=(\w+);SharedAccessKey=([A-Za-z0-9+/]{43}=)$/;

let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), "hubferry-cli-"));
});
afterAll(() => rm(dataDir, { recursive: true, force: true }));

const hub = (...args: readonly string[]) => hubferry(["hub", ...args, "--data-dir", dataDir]);

describe("without a server", () => {
  test("create, list, show, connection-string, delete", async () => {
    expect((await hub("list")).stdout).toBe("there is no hub yet: hubferry hub create NAME");
    expect(await hub("create", "Contoso-A")).toEqual({
      code: 0,
      stdout: "created hub Contoso-A, which answers to contoso-a.localhost",
      stderr: "",
    });
    expect((await hub("create", "b-hub", "--host-name", "B.Example", "127.0.0.7")).stdout).toContain(
      "answers to b.example, 127.0.0.7",
    );
    expect((await hub("list")).stdout).toBe("Contoso-A\tcontoso-a.localhost\nb-hub\tb.example, 127.0.0.7");

    const shown = (await hub("show", "b-hub")).stdout;
    for (const name of [
      "name",
      "host names",
      "created",
      ...POLICIES.split(", ").map((policy) => `policy      ${policy}:`),
    ])
      expect(shown).toContain(`${name} `);
    expect(shown).toContain("registryReadWrite: RegistryRead, RegistryWrite");
    expect(shown).not.toMatch(/[A-Za-z0-9+/]{43}=/);

    const owner = CONNECTION_STRING.exec((await hub("connection-string", "b-hub")).stdout);
    expect(owner?.slice(1, 3)).toEqual(["b.example", "iothubowner"]);
    const reader = CONNECTION_STRING.exec((await hub("connection-string", "b-hub", "--policy", "registryRead")).stdout);
    expect(reader?.[2]).toBe("registryRead");
    expect(reader?.[3]).not.toBe(owner?.[3]);
    expect((await hub("connection-string", "b-hub")).stdout).toBe(owner?.[0]);

    expect((await hub("delete", "b-hub")).stdout).toBe("deleted hub b-hub");
    expect((await hub("list")).stdout).toBe("Contoso-A\tcontoso-a.localhost");
  });

  test.each<[string[], number, string]>([
    [["create", "Contoso-A"], 1, 'There is a hub "Contoso-A" already.'],
    [
      ["create", "other", "--host-name", "CONTOSO-A.localhost"],
      1,
      'The host name "contoso-a.localhost" belongs to the hub "Contoso-A".',
    ],
    [["create", "no"], 1, '"no" is no name for a hub'],
    [["create", "fine", "--host-name", "h:8443"], 1, '"h:8443" is no host name'],
    [["show", "nobody"], 1, 'There is no hub "nobody".'],
    [["delete", "nobody"], 1, 'There is no hub "nobody".'],
    [["connection-string", "nobody"], 1, 'There is no hub "nobody".'],
    [
      ["connection-string", "Contoso-A", "--policy", "owner"],
      1,
      `The hub "Contoso-A" has no policy "owner": it has ${POLICIES}.`,
    ],
  ])("hub %j: an error in one line", async (args, code, text) => {
    const result = await hub(...args);
    expect(result).toMatchObject({ code, stdout: "" });
    expect(result.stderr.split("\n")).toEqual([expect.stringContaining(`hubferry: ${text}`)]);
  });

  test("nothing runs any more", async () => {
    await hub("list");
    expect(await readdir(join(dataDir, "postgres"))).not.toContain("postmaster.pid");
  });
});

describe("usage", () => {
  test.each<[string[], string]>([
    [["hub", "create"], "missing required argument 'name'"],
    [["hub", "create", "a-hub", "more"], "too many arguments"],
    [["hub", "creat", "a-hub"], "unknown command 'creat'"],
    [["hub", "list", "--port", "1"], "unknown option '--port'"],
    [["hub", "list", "--datadir", "x"], "unknown option '--datadir'"],
    [["serve", "--colour"], "unknown option '--colour'"],
    [["serve", "now"], "too many arguments"],
    [["serve", "--port"], "argument missing"],
    [["work", "--host", "h"], "unknown option '--host'"],
    [["deploy"], "unknown command 'deploy'"],
  ])("%j is refused", async (args, text) => {
    const result = await hubferry(args);
    expect(result).toMatchObject({ code: 2, stdout: "" });
    expect(result.stderr).toContain(text);
  });

  test("help", async () => {
    const help = await hubferry(["--help"]);
    expect(help.code).toBe(0);
    for (const name of ["serve", "work", "hub"]) expect(help.stdout).toContain(name);
    expect((await hubferry(["serve", "--help"])).stdout).toMatch(
      /--storage-hosts <value>[\s\S]*\$HUBFERRY_STORAGE_HOSTS/,
    );
  });

  test("every problem of the configuration at once", async () => {
    const result = await hubferry(["serve", "--port", "x", "--log-level", "loud"], {
      env: { HUBFERRY_PROT: "1", REDIS_URL: "x" },
    });
    expect(result).toMatchObject({ code: 2, stdout: "" });
    for (const name of ["--port", "--log-level", "HUBFERRY_PROT", "REDIS_URL"])
      expect(result.stderr).toContain(`  - ${name}: `);
  });
});

describe("in a clone", () => {
  const env = { HUBFERRY_DATA_DIR: "" };

  test.each<[string, string, string[]]>([
    ["npx hubferry", "npx", ["--no-install", "hubferry"]],
    ["npm run -s hubferry --", "npm", ["run", "-s", "hubferry", "--"]],
  ])("%s", async (_name, file, args) => {
    const result = await runCommand(file, [...args, "hub", "list"], {
      cwd: CLONE,
      env: { ...env, HUBFERRY_DATA_DIR: dataDir },
    });
    expect(result, result.stderr).toMatchObject({ code: 0, stdout: "Contoso-A\tcontoso-a.localhost" });
    const failed = await runCommand(file, [...args, "hub", "show", "nobody"], {
      cwd: CLONE,
      env: { ...env, HUBFERRY_DATA_DIR: dataDir },
    });
    expect(failed.code).toBe(1);
    expect(failed.stderr).toContain('There is no hub "nobody".');
  });

  test("with the Node of the system, whatever its age", async () => {
    const path = (process.env["PATH"] ?? "")
      .split(delimiter)
      .filter((directory) => !directory.includes("node_modules"))
      .join(delimiter);
    const script = join(CLONE, "scripts", "hubferry.js");
    const result = await runCommand("node", [script, "hub", "list", "--data-dir", dataDir], { env: { PATH: path } });
    expect(result, result.stderr).toMatchObject({ code: 0, stdout: "Contoso-A\tcontoso-a.localhost" });
  });
});

describe("beside a server", () => {
  test("hubs come and go while it serves; a second server is refused; a lost worker is replaced", async () => {
    await using server = await startHubferry({ dataDir, args: ["--log-level", "info"] });
    expect((await hub("create", "beside")).code).toBe(0);
    using client = new ApiClient(server, (await hub("connection-string", "beside")).stdout);
    await expect.poll(async () => (await client.send("GET", "/devices")).status, { timeout: 30_000 }).toBe(200);
    expect((await client.send("PUT", "/devices/d", { body: {} })).status).toBe(200);

    const second = await hubferry(["serve", "--data-dir", dataDir, "--port", "0"]);
    expect(second.code).toBe(1);
    expect(second.stdout).toBe("");
    expect(second.stderr.split("\n").at(-1)).toBe(`hubferry: another hubferry serve runs on data directory ${dataDir}`);
    expect((await client.send("GET", "/devices/d")).status).toBe(200);

    await expect.poll(() => server.workerPids().length, { timeout: 60_000 }).toBe(1);
    process.kill(server.workerPids()[0]!, "SIGKILL");
    await expect.poll(() => server.workerPids().length, { timeout: 60_000 }).toBe(2);
    expect(server.output()).toMatch(/"signal":"SIGKILL","restartInMs":500,"msg":"the worker died"/);

    expect((await hub("delete", "beside")).code).toBe(0);
    await expect.poll(async () => (await client.send("GET", "/devices")).status, { timeout: 30_000 }).toBe(404);
    expect((await hub("create", "beside")).code).toBe(0);
    using again = new ApiClient(server, (await hub("connection-string", "beside")).stdout);
    await expect.poll(async () => (await again.send("GET", "/devices")).status, { timeout: 30_000 }).toBe(200);
    expect((await again.send("GET", "/devices")).body).toEqual([]);
  });

  test("a port that is taken ends the server, with the reason, and nothing is left", async () => {
    await using server = await startHubferry({ dataDir, args: ["--no-worker"] });
    const other = await mkdtemp(join(tmpdir(), "hubferry-cli-"));
    try {
      const result = await hubferry(["serve", "--data-dir", other, "--port", String(server.port)]);
      expect(result.code).toBe(1);
      expect(result.stderr.split("\n").at(-1)).toMatch(/^hubferry: .*EADDRINUSE/);
      expect(await readdir(join(other, "postgres"))).not.toContain("postmaster.pid");
    } finally {
      await rm(other, { recursive: true, force: true });
    }
  });
});

test("on DATABASE_URL: the same commands, and no cluster of its own", async () => {
  await using database = await openTestDatabase();
  const directory = await mkdtemp(join(tmpdir(), "hubferry-cli-"));
  try {
    const env = { DATABASE_URL: database.url, HUBFERRY_DATA_DIR: directory };
    expect(await hubferry(["hub", "create", "outside"], { env }), "create").toMatchObject({ code: 0 });
    await using server = await startHubferry({ dataDir: directory, env });
    using client = new ApiClient(server, (await hubferry(["hub", "connection-string", "outside"], { env })).stdout);
    expect((await client.send("PUT", "/devices/d", { body: {} })).status).toBe(200);
    await expect.poll(() => server.workerPids().length, { timeout: 60_000 }).toBe(1);
    expect(await readdir(directory)).not.toContain("postgres");
    expect((await database.database.query("select device_id from identities")).rows).toEqual([{ device_id: "d" }]);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
  const away = await hubferry(["hub", "list"], {
    env: { DATABASE_URL: "postgres://me:password@127.0.0.1:1/db", HUBFERRY_DATA_DIR: directory },
  });
  expect(away.code).toBe(1);
  expect(away.stderr).toMatch(/ECONNREFUSED/);
  expect(away.stderr).not.toContain("password");
  await rm(directory, { recursive: true, force: true });
});

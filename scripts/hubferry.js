#!/usr/bin/env node
// The `hubferry` command. The program needs a Node that runs TypeScript as it is; where the one that runs this file is
// older, the one that the project brings along takes over.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const NODE_MAJOR_MIN = 24;
const main = fileURLToPath(new URL("../src/main.ts", import.meta.url));

if (Number(process.versions.node.split(".")[0]) >= NODE_MAJOR_MIN) {
  await import(main);
} else {
  const child = spawn(findNode(), [main, ...process.argv.slice(2)], { stdio: "inherit" });
  // The child decides what a signal means. A terminal's Ctrl-C reaches it by itself.
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  process.on("SIGINT", () => {});
  child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
}

function findNode() {
  const require = createRequire(import.meta.url);
  const { platform, arch } = process;
  for (const name of [`node-${platform}-${arch}`, `node-bin-${platform}-${arch}`]) {
    try {
      return require.resolve(`${name}/bin/node`);
    } catch {
      // Not installed: it is for another machine.
    }
  }
  console.error(
    `hubferry needs Node ${NODE_MAJOR_MIN} or newer, this is ${process.version}, and npm has installed no newer one for ${platform}-${arch}`,
  );
  process.exit(1);
}

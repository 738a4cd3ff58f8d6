/** The command, run to its end, whatever its end is. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
}

/** `hubferry` with these arguments. */
export function hubferry(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  return runCommand(process.execPath, [MAIN, ...args], options);
}

/** Any program. Resolves when it has ended, with whatever code. */
export function runCommand(
  file: string,
  args: readonly string[],
  { env = {}, cwd }: CommandOptions = {},
): Promise<CommandResult> {
  const { promise, resolve } = Promise.withResolvers<CommandResult>();
  const child = execFile(file, [...args], { env: { ...process.env, ...env }, cwd }, (_error, stdout, stderr) =>
    resolve({ code: child.exitCode, stdout: stdout.trim(), stderr: stderr.trim() }),
  );
  return promise;
}

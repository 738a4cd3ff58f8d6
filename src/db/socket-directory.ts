/** The directory of the embedded server's Unix socket. Who can enter it is let in without a password. */
import { createHash } from "node:crypto";
import { chownSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { RunAs } from "./run-as.ts";

/** Part of the socket's name; nothing listens on TCP. */
export const POSTGRES_PORT = 5432;
/** sun_path takes 108 bytes on Linux and 104 on macOS, the final zero included. */
const SOCKET_PATH_BYTES_MAX = 103;

/** `<dataDir>/socket`, or where that is too long for a socket a directory of /tmp. */
export function socketDirectoryOf(dataDir: string): string {
  const beside = join(dataDir, "socket");
  if (Buffer.byteLength(join(beside, `.s.PGSQL.${POSTGRES_PORT}`)) <= SOCKET_PATH_BYTES_MAX) return beside;
  // Not os.tmpdir(): two processes with another TMPDIR each would look for the server in two places.
  return `/tmp/hubferry-${createHash("sha256").update(dataDir).digest("hex").slice(0, 24)}`;
}

/** Makes it afresh, for the server alone. To be called while no server runs. */
export function createSocketDirectory(directory: string, runAs: RunAs): void {
  checkSocketDirectory(directory, runAs);
  // A lock file that a killed server left names a pid, and another process may bear it by now.
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { mode: 0o700 }); // fails when somebody else makes it first
  if (runAs.kind === "user") chownSync(directory, runAs.uid, runAs.gid);
}

/** Throws when it belongs to somebody else, as anybody can make one in /tmp and listen there. It may be missing. */
export function checkSocketDirectory(directory: string, runAs: RunAs): void {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  if (found === undefined) return;
  const owners = [process.getuid?.(), runAs.kind === "user" ? runAs.uid : undefined];
  if (found.isDirectory() && owners.includes(found.uid) && (found.mode & 0o077) === 0) return;
  throw new Error(`${directory} should be a directory that the server's user alone may enter: remove it`);
}

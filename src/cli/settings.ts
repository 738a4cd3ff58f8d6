/** Settings as options of a command. */
import type { Command } from "commander";
import { type Config, type Flags, parseConfig, type SettingName, SETTINGS } from "../config.ts";

/** Adds the options that set these settings. */
export function addSettings(command: Command, names: readonly SettingName[]): Command {
  for (const name of names) {
    const { flag, about, default: otherwise } = SETTINGS[name];
    const origin = otherwise === "" ? `$${name}` : `$${name}, default ${otherwise}`;
    command.option(`--${flag} <value>`, `${about} (${origin})`);
  }
  return command;
}

/** The configuration from a command's options and the environment. Throws a ConfigError. */
export function readConfig(command: Command, env: NodeJS.ProcessEnv): Config {
  const given = command.opts<Record<string, string>>();
  const flags: Flags = {};
  for (const name of Object.keys(SETTINGS) as SettingName[]) {
    const value = given[camelCase(SETTINGS[name].flag)];
    if (value !== undefined) flags[name] = value;
  }
  return parseConfig(flags, env);
}

function camelCase(flag: string): string {
  return flag.replace(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}

/** What only a server needs. */
export const API_SETTINGS = [
  "HUBFERRY_HOST",
  "HUBFERRY_PORT",
  "HUBFERRY_TLS_CERT",
  "HUBFERRY_TLS_KEY",
] as const satisfies readonly SettingName[];

/** What a worker needs. */
export const WORKER_SETTINGS = [
  "HUBFERRY_DATA_DIR",
  "DATABASE_URL",
  "REDIS_URL",
  "HUBFERRY_STORAGE_HOSTS",
  "HUBFERRY_LOG_LEVEL",
  "HUBFERRY_WORKER_JOBS",
] as const satisfies readonly SettingName[];

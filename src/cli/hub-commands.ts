/** `hubferry hub ...`: the subcommands and their options; what they do is in hub.ts. */
import type { Command } from "commander";
import type { SettingName } from "../config.ts";
import { addSettings } from "./settings.ts";

const DATABASE_SETTINGS = ["HUBFERRY_DATA_DIR", "DATABASE_URL"] as const satisfies readonly SettingName[];

export function addHubCommands(program: Command, env: NodeJS.ProcessEnv): void {
  const hub = program.command("hub").description("hubs and their shared access policies");
  const define = (usage: string, about: string) =>
    addSettings(hub.command(usage).description(about), DATABASE_SETTINGS);

  const create = define("create <name>", "create a hub with its policies and their keys");
  create.option(
    "--host-name <host...>",
    "what the hub answers to: DNS names or addresses, the first one stands in connection strings (default: <name>.localhost)",
  );
  create.action(async (name: string, { hostName }: { hostName?: string[] }) =>
    (await load()).create(create, env, name, hostName ?? []),
  );

  const list = define("list", "list the hubs, in the order of their creation");
  list.action(async () => (await load()).list(list, env));

  const show = define("show <name>", "show a hub: what it answers to, and its policies without their keys");
  show.action(async (name: string) => (await load()).show(show, env, name));

  const remove = define("delete <name>", "delete a hub with its identities and its jobs");
  remove.action(async (name: string) => (await load()).remove(remove, env, name));

  const connectionString = define("connection-string <name>", "print a connection string that the Azure SDKs take");
  connectionString.option("--policy <policy>", "the shared access policy", "iothubowner");
  connectionString.action(async (name: string, { policy }: { policy: string }) =>
    (await load()).connectionString(connectionString, env, name, policy),
  );
}

function load() {
  return import("./hub.ts");
}

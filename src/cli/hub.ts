/** `hubferry hub ...`: hubs and their connection strings, whether or not a server runs on the data directory. */
import type { Command } from "commander";
import type { SettingName } from "../config.ts";
import { type Deployment, openDeployment } from "../deployment.ts";
import { createHub, deleteHub, getConnectionString, getHub, type Hub, listHubs, listPolicies } from "../hubs/hubs.ts";
import { hasRight, type Right, RIGHTS } from "../hubs/policies.ts";
import { openLog } from "../log.ts";
import { addSettings, readConfig } from "./settings.ts";

const DATABASE_SETTINGS = ["HUBFERRY_DATA_DIR", "DATABASE_URL"] as const satisfies readonly SettingName[];
const CONNECTIONS_MAX = 2;

export function addHubCommands(program: Command, env: NodeJS.ProcessEnv): void {
  const hub = program.command("hub").description("hubs and their shared access policies");

  const define = (usage: string, about: string) =>
    addSettings(hub.command(usage).description(about), DATABASE_SETTINGS);
  const run = async (command: Command, work: (deployment: Deployment) => Promise<string>) => {
    // Warnings alone: the output is for people and scripts.
    const config = readConfig(command, { HUBFERRY_LOG_LEVEL: "warn", ...env });
    await using deployment = await openDeployment(config, CONNECTIONS_MAX, openLog(config.logLevel));
    process.stdout.write(`${await work(deployment)}\n`);
  };

  const create = define("create <name>", "create a hub with its policies and their keys");
  create.option(
    "--host-name <host...>",
    "what the hub answers to: DNS names or addresses, the first one stands in connection strings (default: <name>.localhost)",
  );
  create.action((name: string, { hostName }: { hostName?: string[] }) =>
    run(create, async ({ database, box }) => {
      const created = await createHub(database, box, name, hostName ?? []);
      return `created hub ${created.name}, which answers to ${created.hostNames.join(", ")}`;
    }),
  );

  const list = define("list", "list the hubs, in the order of their creation");
  list.action(() =>
    run(list, async ({ database }) => {
      const hubs = await listHubs(database);
      return hubs.length === 0
        ? "there is no hub yet: hubferry hub create NAME"
        : hubs.map((one) => `${one.name}\t${one.hostNames.join(", ")}`).join("\n");
    }),
  );

  const show = define("show <name>", "show a hub: what it answers to, and its policies without their keys");
  show.action((name: string) =>
    run(show, async (deployment) => describeHub(deployment, await getHub(deployment.database, name))),
  );

  const remove = define("delete <name>", "delete a hub with its identities and its jobs");
  remove.action((name: string) =>
    run(remove, async ({ database }) => {
      await deleteHub(database, name);
      return `deleted hub ${name}`;
    }),
  );

  const connectionString = define("connection-string <name>", "print a connection string that the Azure SDKs take");
  connectionString.option("--policy <policy>", "the shared access policy", "iothubowner");
  connectionString.action((name: string, { policy }: { policy: string }) =>
    run(connectionString, ({ database, box }) => getConnectionString(database, box, name, policy)),
  );
}

async function describeHub({ database, box }: Deployment, hub: Hub): Promise<string> {
  const policies = await listPolicies(database, box, hub.hubId);
  return [
    `name        ${hub.name}`,
    `host names  ${hub.hostNames.join(", ")}`,
    `created     ${hub.createdAt.toISOString()}`,
    ...policies.map((policy) => `policy      ${policy.name}: ${describeRights(policy.rights)}`),
  ].join("\n");
}

function describeRights(rights: number): string {
  return (Object.keys(RIGHTS) as Right[]).filter((right) => hasRight(rights, right)).join(", ");
}

/** What `hubferry hub ...` does, whether or not a server runs on the data directory. */
import type { Command } from "commander";
import { type Deployment, openDeployment } from "../deployment.ts";
import { createHub, deleteHub, getConnectionString, getHub, type Hub, listHubs, listPolicies } from "../hubs/hubs.ts";
import { hasRight, type Right, RIGHTS } from "../hubs/policies.ts";
import { openLog } from "../log.ts";
import { readConfig } from "./settings.ts";

type Environment = NodeJS.ProcessEnv;

const CONNECTIONS_MAX = 2;

export async function create(
  command: Command,
  env: Environment,
  name: string,
  hostNames: readonly string[],
): Promise<void> {
  await print(command, env, async ({ database, box }) => {
    const hub = await createHub(database, box, name, hostNames);
    return `created hub ${hub.name}, which answers to ${hub.hostNames.join(", ")}`;
  });
}

export async function list(command: Command, env: Environment): Promise<void> {
  await print(command, env, async ({ database }) => {
    const hubs = await listHubs(database);
    if (hubs.length === 0) return "there is no hub yet: hubferry hub create NAME";
    return hubs.map((hub) => `${hub.name}\t${hub.hostNames.join(", ")}`).join("\n");
  });
}

export async function show(command: Command, env: Environment, name: string): Promise<void> {
  await print(command, env, async (deployment) => describeHub(deployment, await getHub(deployment.database, name)));
}

export async function remove(command: Command, env: Environment, name: string): Promise<void> {
  await print(command, env, async ({ database }) => {
    await deleteHub(database, name);
    return `deleted hub ${name}`;
  });
}

export async function connectionString(
  command: Command,
  env: Environment,
  name: string,
  policy: string,
): Promise<void> {
  await print(command, env, ({ database, box }) => getConnectionString(database, box, name, policy));
}

/** Does the work on the deployment and prints what it says. Warnings alone are logged: the output is for scripts too. */
async function print(
  command: Command,
  env: Environment,
  work: (deployment: Deployment) => Promise<string>,
): Promise<void> {
  const config = readConfig(command, { HUBFERRY_LOG_LEVEL: "warn", ...env });
  await using deployment = await openDeployment(config, CONNECTIONS_MAX, openLog(config.logLevel));
  process.stdout.write(`${await work(deployment)}\n`);
}

async function describeHub({ database, box }: Deployment, hub: Hub): Promise<string> {
  const policies = await listPolicies(database, box, hub.hubId);
  return [
    `name        ${hub.name}`,
    `number      ${hub.hubId}`,
    `host names  ${hub.hostNames.join(", ")}`,
    `created     ${hub.createdAt.toISOString()}`,
    ...policies.map((policy) => `policy      ${policy.name}: ${describeRights(policy.rights)}`),
  ].join("\n");
}

function describeRights(rights: number): string {
  return (Object.keys(RIGHTS) as Right[]).filter((right) => hasRight(rights, right)).join(", ");
}

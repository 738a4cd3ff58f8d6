/** One `hubferry serve` on a data directory of its own, with hubs on it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ApiClient } from "./api-client.ts";
import { type Hubferry, runHubferry, type ServeOptions, startHubferry } from "./hubferry.ts";

export interface ServedHubs extends AsyncDisposable {
  readonly hubferry: Hubferry;
  /** Of the hub's policy, iothubowner by default. */
  connectionString(hub: string, policy?: string): Promise<string>;
  /** A client of the hub with the policy's rights; closed with the server. */
  client(hub: string, policy?: string): Promise<ApiClient>;
}

/** Starts the server, makes the hubs on it and waits until it answers for each of them. */
export async function serveHubs(
  hubs: readonly string[],
  options: Omit<ServeOptions, "dataDir"> = {},
): Promise<ServedHubs> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), "hubferry-served-"));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const hubferry = stack.use(await startHubferry({ ...options, dataDir }));
  const strings = new Map<string, string>();
  const connectionString = async (hub: string, policy = "iothubowner") => {
    const key = `${hub}/${policy}`;
    const known =
      strings.get(key) ??
      (await runHubferry(["hub", "connection-string", hub, "--policy", policy, "--data-dir", dataDir]));
    strings.set(key, known);
    return known;
  };
  const client = async (hub: string, policy?: string) =>
    stackOf.use(new ApiClient(hubferry, await connectionString(hub, policy), options.host));
  for (const hub of hubs) await runHubferry(["hub", "create", hub, "--data-dir", dataDir]);
  const stackOf = stack.move();
  for (const hub of hubs) await waitForHub(await client(hub));
  return { hubferry, connectionString, client, [Symbol.asyncDispose]: () => stackOf.disposeAsync() };
}

/** A server hears of a new hub from the database, a moment after the command that made it has ended. */
async function waitForHub(client: ApiClient): Promise<void> {
  while ((await client.send("GET", "/statistics/devices")).status === 404) await sleep(50);
}

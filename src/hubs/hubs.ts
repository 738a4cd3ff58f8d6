/** Hubs, what they answer to, and their shared access policies. */
import { type Connection, type Database, sqlStateOf, withTransaction } from "../db/pool.ts";
import { RegistryError } from "../errors.ts";
import type { SecretBox } from "../secret-box.ts";
import { generateSymmetricKey } from "../symmetric-key.ts";
import { checkHostName, checkHubName, defaultHostName } from "./hub-name.ts";
import { DEFAULT_POLICIES } from "./policies.ts";

export interface Hub {
  readonly hubId: number;
  readonly name: string;
  /** In lower case, without port; the first is the one of connection strings. */
  readonly hostNames: readonly string[];
  readonly createdAt: Date;
}

export interface Policy {
  readonly name: string;
  /** Flags of RIGHTS. */
  readonly rights: number;
  /** Base64. */
  readonly primaryKey: string;
  readonly secondaryKey: string;
}

const UNIQUE_VIOLATION = "23505";
/** Servers listen to it, to serve a new hub at once. */
export const HUBS_CHANGED_CHANNEL = "hubferry_hubs_changed";

/** Without host names the hub gets `<name>.localhost`. Throws ArgumentInvalid for a bad or a taken name. */
export async function createHub(
  database: Database,
  box: SecretBox,
  name: string,
  hostNames: readonly string[],
): Promise<Hub> {
  checkHubName(name);
  const names = hostNames.length === 0 ? [defaultHostName(name)] : [...new Set(hostNames.map(checkHostName))];
  try {
    await withTransaction(database, async (connection) => {
      const { rows } = await connection.query<{ hub_id: number }>(
        "insert into hubs (name) values ($1) returning hub_id",
        [name],
      );
      const hubId = rows[0]!.hub_id;
      await connection.query(
        "insert into hub_host_names (host_name, hub_id, position) select host_name, $1, position - 1 from unnest($2::text[]) with ordinality as n (host_name, position)",
        [hubId, names],
      );
      for (const [policy, rights] of Object.entries(DEFAULT_POLICIES))
        await insertPolicy(connection, box, hubId, policy, rights);
      await connection.query(`notify ${HUBS_CHANGED_CHANNEL}`);
    });
  } catch (error) {
    if (sqlStateOf(error) !== UNIQUE_VIOLATION) throw error;
    throw new RegistryError("ArgumentInvalid", await describeClash(database, name, names));
  }
  return getHub(database, name);
}

async function insertPolicy(
  connection: Connection,
  box: SecretBox,
  hubId: number,
  name: string,
  rights: number,
): Promise<void> {
  const seal = (which: string) => box.seal(generateSymmetricKey(), `policy:${hubId}:${name}:${which}`);
  await connection.query(
    "insert into hub_policies (hub_id, name, rights, primary_key_sealed, secondary_key_sealed) values ($1, $2, $3, $4, $5)",
    [hubId, name, rights, seal("primary"), seal("secondary")],
  );
}

async function describeClash(database: Database, name: string, hostNames: readonly string[]): Promise<string> {
  const hubs = await listHubs(database);
  if (hubs.some((hub) => hub.name === name)) return `There is a hub "${name}" already.`;
  const taken = hostNames.find((hostName) => hubs.some((hub) => hub.hostNames.includes(hostName)));
  const owner = hubs.find((hub) => taken !== undefined && hub.hostNames.includes(taken));
  return `The host name "${taken ?? hostNames.join(", ")}" belongs to the hub "${owner?.name ?? "?"}".`;
}

/** In the order of their creation. */
export async function listHubs(database: Database): Promise<readonly Hub[]> {
  const { rows } = await database.query<Hub>(`
    select h.hub_id as "hubId", h.name, h.created_at as "createdAt",
           array_agg(n.host_name order by n.position) as "hostNames"
      from hubs h join hub_host_names n using (hub_id)
     group by h.hub_id order by h.hub_id`);
  return rows;
}

/** Throws IotHubNotFound. */
export async function getHub(database: Database, name: string): Promise<Hub> {
  const hub = (await listHubs(database)).find((candidate) => candidate.name === name);
  if (hub === undefined) throw new RegistryError("IotHubNotFound", `There is no hub "${name}".`);
  return hub;
}

/** Throws IotHubNotFound. */
export async function getHubById(database: Database, hubId: number): Promise<Hub> {
  const hub = (await listHubs(database)).find((candidate) => candidate.hubId === hubId);
  if (hub === undefined) throw new RegistryError("IotHubNotFound", `There is no hub number ${hubId}.`);
  return hub;
}

/** Deletes the hub with its identities and its jobs. Throws IotHubNotFound. */
export async function deleteHub(database: Database, name: string): Promise<void> {
  const { hubId } = await getHub(database, name);
  await withTransaction(database, async (connection) => {
    // Jobs go with the hub: a running one finds its row gone at its next checkpoint and stops.
    await connection.query("delete from hubs where hub_id = $1", [hubId]);
    await connection.query("delete from identities where hub_id = $1", [hubId]);
    await connection.query(`notify ${HUBS_CHANGED_CHANNEL}`);
  });
}

/** In the order of names. */
export async function listPolicies(database: Database, box: SecretBox, hubId: number): Promise<readonly Policy[]> {
  const { rows } = await database.query<{
    name: string;
    rights: number;
    primary_key_sealed: Buffer;
    secondary_key_sealed: Buffer;
  }>(
    "select name, rights, primary_key_sealed, secondary_key_sealed from hub_policies where hub_id = $1 order by name",
    [hubId],
  );
  return rows.map((row) => ({
    name: row.name,
    rights: row.rights,
    primaryKey: box.open(row.primary_key_sealed, `policy:${hubId}:${row.name}:primary`),
    secondaryKey: box.open(row.secondary_key_sealed, `policy:${hubId}:${row.name}:secondary`),
  }));
}

/** Throws when the box's key is not the one that the hubs' policies were sealed with. */
export async function checkSecretKey(database: Database, box: SecretBox): Promise<void> {
  const { rows } = await database.query<{ hub_id: number }>("select hub_id from hubs order by hub_id limit 1");
  if (rows[0] !== undefined) await listPolicies(database, box, rows[0].hub_id);
}

/** What the Azure SDKs take. Throws IotHubNotFound or ArgumentInvalid. */
export async function getConnectionString(
  database: Database,
  box: SecretBox,
  hubName: string,
  policyName: string,
): Promise<string> {
  const hub = await getHub(database, hubName);
  const policies = await listPolicies(database, box, hub.hubId);
  const policy = policies.find((candidate) => candidate.name === policyName);
  if (policy === undefined)
    throw new RegistryError(
      "ArgumentInvalid",
      `The hub "${hubName}" has no policy "${policyName}": it has ${policies.map((p) => p.name).join(", ")}.`,
    );
  return `HostName=${hub.hostNames[0]};SharedAccessKeyName=${policy.name};SharedAccessKey=${policy.primaryKey}`;
}

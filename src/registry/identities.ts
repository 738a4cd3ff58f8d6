/** Reads of the identity registry, and their bodies as the service API shows them (contract 1.3). */
import type { Connection, Database } from "../db/pool.ts";
import { RegistryError } from "../errors.ts";
import { LIST_DEVICES_MAX } from "../limits.ts";
import { identityEtag } from "./etag.ts";
import { isIdentityId } from "./operation.ts";

interface IdentityRow {
  device_id: string;
  module_id: string;
  generation_id: string;
  etag: number;
  enabled: boolean;
  status_reason: string | null;
  status_updated_at: string | null;
  authentication: string;
  managed_by: string | null;
  iot_edge: boolean;
  device_scope: string | null;
  parent_scopes: string | null;
}

const COLUMNS = `
  device_id, module_id, generation_id::text, etag, enabled, status_reason,
  to_char(status_updated_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as status_updated_at,
  authentication, managed_by, iot_edge, device_scope, parent_scopes`;

/** A body as it is sent, with its ETag unquoted. */
export interface IdentityBody {
  readonly etag: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** Throws DeviceNotFound. */
export async function getDevice(
  database: Database | Connection,
  hubId: number,
  deviceId: string,
): Promise<IdentityBody> {
  const row = await findIdentity(database, hubId, deviceId, "");
  if (row === null) throw new RegistryError("DeviceNotFound", deviceId);
  return { etag: identityEtag(row.etag), body: deviceBody(row) };
}

/** Throws DeviceNotFound or ModuleNotFound. */
export async function getModule(
  database: Database | Connection,
  hubId: number,
  deviceId: string,
  moduleId: string,
): Promise<IdentityBody> {
  const row = await findIdentity(database, hubId, deviceId, moduleId);
  if (row !== null) return { etag: identityEtag(row.etag), body: moduleBody(row) };
  await getDevice(database, hubId, deviceId);
  throw new RegistryError("ModuleNotFound", `${deviceId}/${moduleId}`);
}

async function findIdentity(
  database: Database | Connection,
  hubId: number,
  deviceId: string,
  moduleId: string,
): Promise<IdentityRow | null> {
  if (!isIdentityId(deviceId) || (moduleId !== "" && !isIdentityId(moduleId))) return null;
  const { rows } = await database.query<IdentityRow>({
    name: "find-identity",
    text: `select ${COLUMNS} from identities where hub_id = $1 and device_id = $2 and module_id = $3`,
    values: [hubId, deviceId, moduleId],
  });
  return rows[0] ?? null;
}

/** In the order of ids. A `top` outside 1 to 1,000 counts as 1,000 (contract 1.1). */
export async function listDevices(
  database: Database | Connection,
  hubId: number,
  top: number,
): Promise<readonly IdentityBody["body"][]> {
  const limit = top >= 1 && top <= LIST_DEVICES_MAX ? Math.floor(top) : LIST_DEVICES_MAX;
  const { rows } = await database.query<IdentityRow>({
    name: "list-devices",
    text: `select ${COLUMNS} from identities where hub_id = $1 and module_id = '' order by device_id limit $2`,
    values: [hubId, limit],
  });
  return rows.map(deviceBody);
}

/** In the order of ids. Throws DeviceNotFound. */
export async function listModules(
  database: Database | Connection,
  hubId: number,
  deviceId: string,
): Promise<readonly IdentityBody["body"][]> {
  if (!isIdentityId(deviceId)) throw new RegistryError("DeviceNotFound", deviceId);
  const { rows } = await database.query<IdentityRow>({
    name: "list-modules",
    text: `select ${COLUMNS} from identities where hub_id = $1 and device_id = $2 order by module_id`,
    values: [hubId, deviceId],
  });
  if (rows.length === 0) throw new RegistryError("DeviceNotFound", deviceId);
  return rows.filter((row) => row.module_id !== "").map(moduleBody);
}

export interface RegistryStatistics {
  readonly totalDeviceCount: number;
  readonly enabledDeviceCount: number;
  readonly disabledDeviceCount: number;
}

export async function getRegistryStatistics(
  database: Database | Connection,
  hubId: number,
): Promise<RegistryStatistics> {
  const { rows } = await database.query<RegistryStatistics>({
    name: "count-devices",
    text: `
      select count(*) as "totalDeviceCount", count(*) filter (where enabled) as "enabledDeviceCount",
             count(*) filter (where not enabled) as "disabledDeviceCount"
        from identities where hub_id = $1 and module_id = ''`,
    values: [hubId],
  });
  return rows[0]!;
}

/** The null time of .NET. The create response alone leaves the Z out (contract 1.0). */
const NO_TIME = "0001-01-01T00:00:00Z";

function deviceBody(row: IdentityRow): Readonly<Record<string, unknown>> {
  return {
    deviceId: row.device_id,
    generationId: row.generation_id,
    etag: identityEtag(row.etag),
    connectionState: "Disconnected",
    status: row.enabled ? "enabled" : "disabled",
    statusReason: row.status_reason,
    connectionStateUpdatedTime: NO_TIME,
    statusUpdatedTime: row.status_updated_at === null ? NO_TIME : wireTime(row.status_updated_at),
    lastActivityTime: NO_TIME,
    cloudToDeviceMessageCount: 0,
    authentication: JSON.parse(row.authentication) as unknown,
    capabilities: { iotEdge: row.iot_edge },
    ...(row.device_scope === null ? {} : { deviceScope: row.device_scope }),
    ...(row.parent_scopes === null ? {} : { parentScopes: JSON.parse(row.parent_scopes) as unknown }),
  };
}

function moduleBody(row: IdentityRow): Readonly<Record<string, unknown>> {
  return {
    moduleId: row.module_id,
    managedBy: row.managed_by,
    deviceId: row.device_id,
    generationId: row.generation_id,
    etag: identityEtag(row.etag),
    connectionState: "Disconnected",
    connectionStateUpdatedTime: NO_TIME,
    lastActivityTime: NO_TIME,
    cloudToDeviceMessageCount: 0,
    authentication: JSON.parse(row.authentication) as unknown,
  };
}

/** ISO 8601 with trailing zeros of the fraction trimmed (contract 1.0); `text` has six fraction digits. */
function wireTime(text: string): string {
  return `${text.replace(/\.?0+$/, "")}Z`;
}

/**
 * The same body as the response to a creation shows it: null times without their Z, and a device's parentScopes even
 * where there are none (contract 1.3, recorded).
 */
export function createdBody(body: IdentityBody["body"]): IdentityBody["body"] {
  const shown = Object.fromEntries(
    Object.entries(body).map(([name, value]) => [name, value === NO_TIME ? NO_TIME.slice(0, -1) : value]),
  );
  return "moduleId" in shown ? shown : { ...shown, parentScopes: shown["parentScopes"] ?? [] };
}

/** Writes what a batch changed: deletions, then updates, then new rows. */
import { COPY_CSV_OPTIONS, COPY_DELIMITER, COPY_NULL, copyIn, copyText } from "../db/copy-in.ts";
import type { Connection } from "../db/pool.ts";
import type { IdentityState } from "./identity-state.ts";
import type { DeviceStates } from "./load-states.ts";

/** Throws a unique violation (SQLSTATE 23505) when an identity that is to be inserted is there already. */
export async function writeStates(connection: Connection, hubId: number, states: DeviceStates): Promise<void> {
  const changes = collectChanges(states);
  if (changes.wipedDevices.length > 0) await deleteDevices(connection, hubId, changes.wipedDevices);
  if (changes.deletedModules.length > 0) await deleteModules(connection, hubId, changes.deletedModules);
  if (changes.updates.length > 0) await updateIdentities(connection, hubId, changes.updates);
  if (changes.inserts.length > 0) await copyIn(connection, COPY_IDENTITIES, renderRows(hubId, changes.inserts));
}

interface Changes {
  readonly wipedDevices: string[];
  readonly deletedModules: (readonly [deviceId: string, moduleId: string])[];
  readonly updates: IdentityState[];
  readonly inserts: IdentityState[];
}

function collectChanges(states: DeviceStates): Changes {
  const changes: Changes = { wipedDevices: [], deletedModules: [], updates: [], inserts: [] };
  const collect = (identity: IdentityState | null) => {
    if (identity?.changed === true) (identity.stored ? changes.updates : changes.inserts).push(identity);
  };
  for (const [deviceId, device] of states) {
    if (device.wiped) changes.wipedDevices.push(deviceId);
    else for (const moduleId of device.deletedModules) changes.deletedModules.push([deviceId, moduleId]);
    collect(device.identity);
    for (const module of device.modules.values()) collect(module);
  }
  return changes;
}

async function deleteDevices(connection: Connection, hubId: number, deviceIds: readonly string[]): Promise<void> {
  await connection.query({
    name: "delete-devices",
    text: "delete from identities where hub_id = $1 and device_id = any($2)",
    values: [hubId, deviceIds],
  });
}

async function deleteModules(connection: Connection, hubId: number, keys: Changes["deletedModules"]): Promise<void> {
  await connection.query({
    name: "delete-modules",
    text: `
      delete from identities i using unnest($2::text[], $3::text[]) as key (device_id, module_id)
       where i.hub_id = $1 and i.device_id = key.device_id and i.module_id = key.module_id`,
    values: [hubId, keys.map(([deviceId]) => deviceId), keys.map(([, moduleId]) => moduleId)],
  });
}

/** What is null in a large column stays as it is stored. */
async function updateIdentities(
  connection: Connection,
  hubId: number,
  identities: readonly IdentityState[],
): Promise<void> {
  await connection.query({
    name: "update-identities",
    text: `
      update identities i
         set etag = u.etag, enabled = u.enabled, status_reason = u."statusReason",
             status_updated_at = case when u."enabledChanged" then now() else i.status_updated_at end,
             authentication = coalesce(u.authentication, i.authentication), managed_by = u."managedBy",
             iot_edge = u."iotEdge", device_scope = u."deviceScope", parent_scopes = u."parentScopes",
             twin_etag = u."twinEtag", twin_version = u."twinVersion", tags = coalesce(u.tags, i.tags),
             desired = coalesce(u.desired, i.desired), desired_version = u."desiredVersion",
             desired_metadata = case when u.desired is null then i.desired_metadata end,
             desired_updated_at = case when u.desired is null then i.desired_updated_at else now() end,
             reported = coalesce(u.reported, i.reported), reported_version = u."reportedVersion",
             reported_metadata = case when u.reported is null then i.reported_metadata end,
             reported_updated_at = case when u.reported is null then i.reported_updated_at else now() end,
             modified_at = now()
        from json_to_recordset($2::json) as u (
             "deviceId" text, "moduleId" text, etag bigint, enabled boolean, "statusReason" text, "enabledChanged" boolean,
             authentication text, "managedBy" text, "iotEdge" boolean, "deviceScope" text, "parentScopes" text,
             "twinEtag" bigint, "twinVersion" bigint, tags text, desired text, "desiredVersion" bigint,
             reported text, "reportedVersion" bigint)
       where i.hub_id = $1 and i.device_id = u."deviceId" and i.module_id = u."moduleId"`,
    values: [
      hubId,
      JSON.stringify(
        identities.map((identity) => ({
          ...identity,
          desired: identity.desired?.json,
          reported: identity.reported?.json,
        })),
      ),
    ],
  });
}

const COPY_IDENTITIES = `
  copy identities (
    hub_id, device_id, module_id, generation_id, etag, enabled, status_reason, status_updated_at, authentication,
    managed_by, iot_edge, device_scope, parent_scopes, twin_etag, twin_version,
    tags, desired, desired_version, desired_metadata, reported, reported_version, reported_metadata)
  from stdin with (${COPY_CSV_OPTIONS})`;

/** Rows are encoded some hundred at a time: the server works on them while the next ones are made. */
const ROWS_PER_CHUNK = 256;

function* renderRows(hubId: number, identities: readonly IdentityState[]): Generator<Buffer> {
  for (let start = 0; start < identities.length; start += ROWS_PER_CHUNK) {
    const end = Math.min(start + ROWS_PER_CHUNK, identities.length);
    let text = "";
    for (let index = start; index < end; index++) text += renderRow(hubId, identities[index]!);
    yield Buffer.from(text);
  }
}

const D = COPY_DELIMITER;

/** JSON text and ids hold no control characters, so that only free text goes through `copyText`. */
function renderRow(hubId: number, i: IdentityState): string {
  const statusUpdatedAt = i.enabledChanged ? "now" : COPY_NULL;
  return (
    `${hubId}${D}${i.deviceId}${D}${i.moduleId}${D}${i.generationId}${D}${i.etag}${D}${i.enabled}${D}${copyText(i.statusReason)}${D}${statusUpdatedAt}${D}${i.authentication}${D}` +
    `${copyText(i.managedBy)}${D}${i.iotEdge}${D}${copyText(i.deviceScope)}${D}${i.parentScopes ?? COPY_NULL}${D}${i.twinEtag}${D}${i.twinVersion}${D}` +
    `${i.tags}${D}${i.desired!.json}${D}${i.desiredVersion}${D}${i.desired!.metadata ?? COPY_NULL}${D}${i.reported!.json}${D}${i.reportedVersion}${D}${i.reported!.metadata ?? COPY_NULL}\n`
  );
}

/** Loads, and locks, what a batch has to know of the identities that it touches. */
import type { Connection } from "../db/pool.ts";
import type { DeviceState, IdentityState } from "./identity-state.ts";
import { IMPORT_MODES } from "./import-mode.ts";
import { isSystemModule, type Operation } from "./operation.ts";

export type DeviceStates = Map<string, DeviceState>;

/**
 * The states of all devices that the operations name. With `assumeNew`, identities that operations may create are
 * taken to be absent without a look: if one is there after all, its insert meets the primary key and the batch has to
 * be applied again without the assumption.
 */
export async function loadStates(
  connection: Connection,
  hubId: number,
  operations: readonly Operation[],
  assumeNew: boolean,
): Promise<DeviceStates> {
  const states: DeviceStates = new Map();
  for (const { deviceId } of operations) if (!states.has(deviceId)) states.set(deviceId, absentDevice());
  const keys = keysToLoad(operations, assumeNew);
  if (keys.length === 0) return states;
  for (const identity of await loadIdentities(connection, hubId, keys)) {
    const device = states.get(identity.deviceId)!;
    if (identity.moduleId === "") device.identity = identity;
    else device.modules.set(identity.moduleId, identity);
  }
  await loadModuleCounts(connection, hubId, operations, states);
  return states;
}

function absentDevice(): DeviceState {
  return { identity: null, modules: new Map(), moduleCount: 0, wiped: false, deletedModules: new Set() };
}

type Key = readonly [deviceId: string, moduleId: string];

function keysToLoad(operations: readonly Operation[], assumeNew: boolean): Key[] {
  const keys = new Map<string, Key>();
  const add = (deviceId: string, moduleId: string) => keys.set(`${deviceId}/${moduleId}`, [deviceId, moduleId]);
  const assumed = assumeNew ? devicesThatMayBeAssumedNew(operations) : new Set<string>();
  for (const { deviceId, moduleId } of operations) {
    if (assumed.has(deviceId)) continue;
    add(deviceId, "");
    if (moduleId !== "") add(deviceId, moduleId);
  }
  return [...keys.values()];
}

/**
 * Devices that the batch creates before it does anything with their modules, and of which it deletes nothing, nor asks
 * that anything exist: they are inserted in the end, so that a wrong assumption shows.
 */
function devicesThatMayBeAssumedNew(operations: readonly Operation[]): ReadonlySet<string> {
  const created = new Set<string>();
  const others = new Set<string>();
  for (const { deviceId, moduleId, mode } of operations) {
    const isCreation = IMPORT_MODES[mode].creates && (moduleId === "" || created.has(deviceId));
    (isCreation ? created : others).add(deviceId);
  }
  return created.difference(others);
}

interface IdentityRow {
  device_id: string;
  module_id: string;
  generation_id: string;
  etag: number;
  enabled: boolean;
  status_reason: string | null;
  managed_by: string | null;
  iot_edge: boolean;
  device_scope: string | null;
  parent_scopes: string | null;
  twin_etag: number;
  twin_version: number;
  desired_version: number;
  reported_version: number;
}

/** In key order, so that two transactions that lock the same identities never wait for each other in a circle. */
async function loadIdentities(connection: Connection, hubId: number, keys: readonly Key[]): Promise<IdentityState[]> {
  const { rows } = await connection.query<IdentityRow>({
    name: "load-identities",
    text: `
      select i.device_id, i.module_id, i.generation_id::text, i.etag, i.enabled, i.status_reason, i.managed_by,
             i.iot_edge, i.device_scope, i.parent_scopes, i.twin_etag, i.twin_version, i.desired_version, i.reported_version
        from unnest($2::text[], $3::text[]) as key (device_id, module_id)
        join identities i on i.hub_id = $1 and i.device_id = key.device_id and i.module_id = key.module_id
       order by i.device_id, i.module_id
         for no key update of i`,
    values: [hubId, keys.map(([deviceId]) => deviceId), keys.map(([, moduleId]) => moduleId)],
  });
  return rows.map(storedIdentity);
}

function storedIdentity(row: IdentityRow): IdentityState {
  return {
    deviceId: row.device_id,
    moduleId: row.module_id,
    stored: true,
    changed: false,
    generationId: row.generation_id,
    etag: row.etag,
    enabled: row.enabled,
    enabledChanged: false,
    statusReason: row.status_reason,
    authentication: null,
    managedBy: row.managed_by,
    iotEdge: row.iot_edge,
    deviceScope: row.device_scope,
    parentScopes: row.parent_scopes,
    twinEtag: row.twin_etag,
    twinVersion: row.twin_version,
    tags: null,
    desired: null,
    desiredVersion: row.desired_version,
    reported: null,
    reportedVersion: row.reported_version,
  };
}

/** Counted for the stored devices that may get a module; their row is locked, so that the count stays true. */
async function loadModuleCounts(
  connection: Connection,
  hubId: number,
  operations: readonly Operation[],
  states: DeviceStates,
): Promise<void> {
  const deviceIds = new Set<string>();
  for (const { deviceId, moduleId } of operations) {
    if (moduleId !== "" && !isSystemModule(moduleId) && states.get(deviceId)?.identity?.stored === true)
      deviceIds.add(deviceId);
  }
  if (deviceIds.size === 0) return;
  const { rows } = await connection.query<{ device_id: string; modules: number }>({
    name: "count-modules",
    text: `
      select device_id, count(*) as modules
        from identities
       where hub_id = $1 and device_id = any($2) and module_id <> '' and left(module_id, 1) <> '$'
       group by device_id`,
    values: [hubId, [...deviceIds]],
  });
  for (const { device_id, modules } of rows) states.get(device_id)!.moduleCount = modules;
}

/**
 * What one operation does to the state: the rules of contract 1.2, 5, 6 and 16 in one place, for lines of an import,
 * items of a bulk request and single requests alike. Pure but for generated keys and ETags.
 */
import { RegistryError } from "../errors.ts";
import { MODULES_PER_DEVICE_MAX } from "../limits.ts";
import { identityEtag, twinEtag } from "./etag.ts";
import type { GenerationClock } from "./generation-clock.ts";
import { type DeviceState, type IdentityState, newIdentity, newSystemModules } from "./identity-state.ts";
import { IMPORT_MODES } from "./import-mode.ts";
import { isSystemModule, type Operation, SYSTEM_MODULES } from "./operation.ts";

export type Effect = "created" | "updated" | "deleted" | "twinUpdated";

export interface ApplyContext {
  readonly hubName: string;
  readonly clock: GenerationClock;
  /** An import keeps the deviceScope of a new edge device; PUT generates its own (contract 6 and 16). */
  readonly keepsEdgeScope: boolean;
}

/** Applies the operation to its device, or throws a RegistryError and changes nothing. */
export function applyOperation(device: DeviceState, operation: Operation, context: ApplyContext): Effect {
  if (operation.moduleId === "") return applyToDevice(device, operation, context);
  if (device.identity === null) throw deviceNotFound(operation);
  if (isSystemModule(operation.moduleId)) return applyToSystemModule(device, operation);
  return applyToModule(device, operation, context);
}

function applyToDevice(device: DeviceState, operation: Operation, context: ApplyContext): Effect {
  const { creates, existing } = IMPORT_MODES[operation.mode];
  const identity = device.identity;
  if (identity === null) {
    if (!creates) throw deviceNotFound(operation);
    createDevice(device, operation, context);
    return "created";
  }
  if (existing === "fail")
    throw new RegistryError("DeviceAlreadyExists", `A device with ID '${operation.deviceId}' is already registered.`);
  checkEtags(identity, operation);
  if (existing === "delete") {
    deleteDevice(device);
    return "deleted";
  }
  if (existing === "replaceTwin") return replaceTwin(identity, operation);
  replaceScopes(device, identity, operation, context);
  replaceIdentity(identity, operation);
  return "updated";
}

function applyToModule(device: DeviceState, operation: Operation, context: ApplyContext): Effect {
  const { deviceId, moduleId, mode } = operation;
  const { creates, existing } = IMPORT_MODES[mode];
  const identity = device.modules.get(moduleId) ?? null;
  if (identity === null) {
    if (!creates) throw new RegistryError("ModuleNotFound", `${deviceId}/${moduleId}`);
    if (device.moduleCount >= MODULES_PER_DEVICE_MAX) {
      throw new RegistryError(
        "TooManyModulesOnDevice",
        `Device ${deviceId} has ${device.moduleCount} modules, at most ${MODULES_PER_DEVICE_MAX} are allowed.`,
      );
    }
    device.modules.set(moduleId, newIdentity(operation, context.clock));
    device.moduleCount++;
    return "created";
  }
  if (existing === "fail")
    throw new RegistryError(
      "ModuleAlreadyExistsOnDevice",
      `Device ${deviceId} in IotHub ${context.hubName} already contains Module ${moduleId}.`,
    );
  checkEtags(identity, operation);
  if (existing === "delete") {
    deleteModule(device, moduleId);
    device.moduleCount--;
    return "deleted";
  }
  if (existing === "replaceTwin") return replaceTwin(identity, operation);
  replaceIdentity(identity, operation);
  return "updated";
}

/** Made and deleted with their edge device: lines write their twins alone (contract 16). */
function applyToSystemModule(device: DeviceState, operation: Operation): Effect {
  const { deviceId, moduleId, mode } = operation;
  const identity = device.modules.get(moduleId) ?? null;
  if (identity === null) throw new RegistryError("ModuleNotFound", `${deviceId}/${moduleId}`);
  const { existing } = IMPORT_MODES[mode];
  if (existing === "delete")
    throw new RegistryError("SystemModuleModifyUnauthorizedAccess", "Unauthorized to modify reserved module.");
  // A twin that nobody has written yet was made with its device, on behalf of this line: an export of it must go in.
  const pristine = identity.twinEtag === 1;
  checkEtags(identity, pristine && existing !== "replaceTwin" ? { ...operation, twinEtag: null } : operation);
  const reported = pristine ? operation.reported : null;
  if (operation.tags !== null || operation.desired !== null || reported !== null)
    writeTwin(identity, { ...operation, reported });
  return "twinUpdated";
}

function checkEtags(identity: IdentityState, operation: Operation): void {
  const { checksEtag, checksTwinEtag, existing } = IMPORT_MODES[operation.mode];
  if (checksEtag && operation.etag !== null && operation.etag !== identityEtag(identity.etag)) {
    throw new RegistryError("PreconditionFailed", `ETag mismatch for device Id '${idsOf(operation)}'`);
  }
  const touchesTwin = operation.tags !== null || operation.desired !== null || existing === "replaceTwin";
  if (
    checksTwinEtag &&
    touchesTwin &&
    operation.twinEtag !== null &&
    operation.twinEtag !== twinEtag(identity.twinEtag)
  ) {
    throw new RegistryError("PreconditionFailed", `ETag mismatch for the twin of device Id '${idsOf(operation)}'`);
  }
}

function idsOf({ deviceId, moduleId }: Operation): string {
  return moduleId === "" ? deviceId : `${deviceId}/${moduleId}`;
}

/** importErrors.log gives the id alone as the text of 404001 (contract 4.3). */
function deviceNotFound(operation: Operation): RegistryError {
  return new RegistryError("DeviceNotFound", operation.deviceId);
}

function createDevice(device: DeviceState, operation: Operation, context: ApplyContext): void {
  const identity = newIdentity(operation, context.clock);
  device.identity = identity;
  device.modules.clear();
  device.moduleCount = 0;
  if (identity.iotEdge) becomeEdge(device, identity, operation, context);
  else setLeafScopes(identity, operation);
}

function deleteDevice(device: DeviceState): void {
  device.wiped ||= device.identity?.stored === true;
  device.identity = null;
  device.modules.clear();
  device.deletedModules.clear();
  device.moduleCount = 0;
}

function deleteModule(device: DeviceState, moduleId: string): void {
  if (device.modules.get(moduleId)?.stored === true) device.deletedModules.add(moduleId);
  device.modules.set(moduleId, null);
}

function becomeEdge(device: DeviceState, identity: IdentityState, operation: Operation, context: ApplyContext): void {
  const given = context.keepsEdgeScope ? operation.deviceScope : null;
  identity.iotEdge = true;
  identity.deviceScope = given ?? `ms-azure-iot-edge://${identity.deviceId}-${identity.generationId}`;
  identity.parentScopes = renderScopes(operation.parentScopes);
  for (const module of newSystemModules(identity.deviceId, context.clock)) device.modules.set(module.moduleId, module);
}

/** A leaf names its parent in deviceScope; the hub copies that to parentScopes (contract 6). */
function setLeafScopes(identity: IdentityState, operation: Operation): void {
  identity.iotEdge = false;
  identity.deviceScope = operation.deviceScope;
  identity.parentScopes = operation.deviceScope === null ? null : renderScopes([operation.deviceScope]);
}

function renderScopes(scopes: readonly string[]): string | null {
  return scopes.length === 0 ? null : JSON.stringify(scopes);
}

function replaceScopes(
  device: DeviceState,
  identity: IdentityState,
  operation: Operation,
  context: ApplyContext,
): void {
  const iotEdge = operation.iotEdge ?? identity.iotEdge;
  if (iotEdge && identity.iotEdge) {
    if (operation.deviceScope !== null && operation.deviceScope !== identity.deviceScope) {
      throw new RegistryError("ArgumentInvalid", "Device scope is immutable for an edge device.");
    }
    identity.parentScopes = renderScopes(operation.parentScopes);
  } else if (iotEdge) {
    becomeEdge(device, identity, operation, context);
  } else {
    if (identity.iotEdge) removeSystemModules(device);
    setLeafScopes(identity, operation);
  }
}

/** Whether they are loaded or not: a stored edge device has both of them. */
function removeSystemModules(device: DeviceState): void {
  for (const moduleId of SYSTEM_MODULES) {
    if (device.identity?.stored === true) device.deletedModules.add(moduleId);
    device.modules.set(moduleId, null);
  }
}

function replaceIdentity(identity: IdentityState, operation: Operation): void {
  identity.changed = true;
  identity.etag++;
  if (operation.enabled !== null && operation.enabled !== identity.enabled) {
    identity.enabled = operation.enabled;
    identity.enabledChanged = true;
  }
  identity.statusReason = operation.statusReason;
  identity.authentication = operation.authentication;
  if (operation.managedBy !== undefined) identity.managedBy = operation.managedBy;
  if (operation.tags !== null || operation.desired !== null) writeTwin(identity, { ...operation, reported: null });
}

function replaceTwin(identity: IdentityState, operation: Operation): Effect {
  writeTwin(identity, { ...operation, reported: null });
  return "twinUpdated";
}

/** Replaces the documents that are given; the $version and $metadata that came with them are not taken over. */
function writeTwin(
  identity: IdentityState,
  { tags, desired, reported }: Pick<Operation, "tags" | "desired" | "reported">,
): void {
  identity.changed = true;
  identity.twinEtag++;
  identity.twinVersion++;
  if (tags !== null) identity.tags = tags;
  if (desired !== null) {
    identity.desired = { ...desired, metadata: null };
    identity.desiredVersion++;
  }
  if (reported !== null) {
    identity.reported = { ...reported, metadata: null };
    identity.reportedVersion++;
  }
}

/** What a batch knows of the identities that it touches: the state that operations are applied to, one by one. */
import { firstIdentityEtag } from "./etag.ts";
import type { GenerationClock } from "./generation-clock.ts";
import { NO_AUTHENTICATION } from "./authentication.ts";
import { type Operation, SYSTEM_MODULES } from "./operation.ts";
import { EMPTY_TWIN_DOCUMENT, type TwinDocument } from "./twin-document.ts";

/**
 * A device or module identity with its twin. Of a stored one the large columns are not loaded: null there means "as
 * it is stored".
 */
export interface IdentityState {
  readonly deviceId: string;
  readonly moduleId: string;
  /** There is a row of it in the database, as of the beginning of the batch. */
  readonly stored: boolean;
  changed: boolean;
  readonly generationId: string;
  etag: number;
  enabled: boolean;
  enabledChanged: boolean;
  statusReason: string | null;
  authentication: string | null;
  managedBy: string | null;
  iotEdge: boolean;
  deviceScope: string | null;
  /** JSON array; null for none. */
  parentScopes: string | null;
  twinEtag: number;
  twinVersion: number;
  tags: string | null;
  desired: TwinDocument | null;
  desiredVersion: number;
  reported: TwinDocument | null;
  reportedVersion: number;
}

export interface DeviceState {
  /** Null: there is no such device (any more). */
  identity: IdentityState | null;
  /** Modules that the batch has met: null for one that is not there. A module that is not listed has not been met. */
  readonly modules: Map<string, IdentityState | null>;
  /** User modules that the device has. */
  moduleCount: number;
  /** The device was there and was deleted by this batch: its stored rows go, all of them. */
  wiped: boolean;
  /** Stored modules whose rows go. */
  readonly deletedModules: Set<string>;
}

export function newIdentity(operation: Operation, clock: GenerationClock): IdentityState {
  const isModule = operation.moduleId !== "";
  return {
    ...emptyIdentity(operation.deviceId, operation.moduleId, clock.next()),
    enabled: isModule || operation.enabled !== false,
    statusReason: operation.statusReason,
    authentication: operation.authentication,
    managedBy: operation.managedBy ?? null,
    iotEdge: operation.iotEdge === true,
    tags: operation.tags ?? "{}",
    desired: operation.desired ?? EMPTY_TWIN_DOCUMENT,
    desiredVersion: operation.desired?.version ?? 1,
    reported: operation.reported ?? EMPTY_TWIN_DOCUMENT,
    reportedVersion: operation.reported?.version ?? 1,
  };
}

/** The modules that every edge device has from its creation on (contract 1.2). */
export function newSystemModules(deviceId: string, clock: GenerationClock): IdentityState[] {
  return SYSTEM_MODULES.map((moduleId) => ({
    ...emptyIdentity(deviceId, moduleId, clock.next()),
    authentication: NO_AUTHENTICATION,
    managedBy: "iotEdge",
  }));
}

function emptyIdentity(deviceId: string, moduleId: string, generationId: string): IdentityState {
  return {
    deviceId,
    moduleId,
    stored: false,
    changed: true,
    generationId,
    etag: firstIdentityEtag(),
    enabled: true,
    enabledChanged: false,
    statusReason: null,
    authentication: null,
    managedBy: null,
    iotEdge: false,
    deviceScope: null,
    parentScopes: null,
    twinEtag: 1,
    // A new twin's version is 2, its documents' versions are 1 (contract 1.3).
    twinVersion: 2,
    tags: "{}",
    desired: EMPTY_TWIN_DOCUMENT,
    desiredVersion: 1,
    reported: EMPTY_TWIN_DOCUMENT,
    reportedVersion: 1,
  };
}

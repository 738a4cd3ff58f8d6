/**
 * One write to the registry, read from a line of an import blob, an item of a bulk request or the body of a PUT, with
 * everything checked that can be checked without the registry's state.
 */
import { RegistryError } from "../errors.ts";
import { DEVICE_ID_LENGTH_MAX, STATUS_REASON_LENGTH_MAX } from "../limits.ts";
import {
  type GivenAuthentication,
  NO_AUTHENTICATION,
  readAuthentication,
  renderAuthentication,
} from "./authentication.ts";
import { findImportMode, IMPORT_MODES, type ImportMode } from "./import-mode.ts";
import {
  type JsonObject,
  memberNames,
  readBoolean,
  readMembers,
  readObject,
  readString,
  readStrings,
  readWord,
  shownWord,
} from "./json-reader.ts";
import { readTwinDocument, type TwinDocument } from "./twin-document.ts";

export interface Operation {
  readonly mode: ImportMode;
  readonly deviceId: string;
  /** "" for the device itself. */
  readonly moduleId: string;
  /** Unquoted; null: nothing to match. */
  readonly etag: string | null;
  readonly twinEtag: string | null;
  /** Null: `enabled` for a new device, unchanged for one that exists. */
  readonly enabled: boolean | null;
  readonly statusReason: string | null;
  /** Canonical JSON; "" in modes that do not write it. */
  readonly authentication: string;
  /** Undefined: as it is; a line of an import cannot express it. */
  readonly managedBy: string | null | undefined;
  /** Null: false for a new device, unchanged for one that exists. */
  readonly iotEdge: boolean | null;
  readonly deviceScope: string | null;
  readonly parentScopes: readonly string[];
  /** Null: `{}` for a new identity, unchanged for one that exists. */
  readonly tags: string | null;
  readonly desired: TwinDocument | null;
  readonly reported: TwinDocument | null;
}

export const SYSTEM_MODULES = ["$edgeAgent", "$edgeHub"] as const;

export function isSystemModule(moduleId: string): boolean {
  return moduleId.startsWith("$");
}

/** Contract 6; Swagger's description of deviceId. */
const IDENTITY_ID = new RegExp(String.raw`^[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,${DEVICE_ID_LENGTH_MAX}}$`);

const MEMBERS = memberNames(
  "id",
  "moduleId",
  "eTag",
  "importMode",
  "status",
  "statusReason",
  "authentication",
  "twinETag",
  "tags",
  "properties",
  "capabilities",
  "deviceScope",
  "parentScopes",
);
const PROPERTIES_MEMBERS = memberNames("desired", "reported");
const CAPABILITIES_MEMBERS = memberNames("iotEdge");

/** An operation's ids as they were given, for the report of a failure. Null where they are not to be had. */
export interface GivenIds {
  readonly deviceId: string | null;
  readonly moduleId: string | null;
}

/** A rule is broken by an operation whose ids are known. */
export class OperationError extends RegistryError implements GivenIds {
  readonly deviceId: string | null;
  readonly moduleId: string | null;

  constructor(error: RegistryError, ids: GivenIds) {
    super(error.code, error.message, { cause: error });
    this.deviceId = shownId(ids.deviceId);
    this.moduleId = shownId(ids.moduleId);
  }
}

/** What is no valid id may be a megabyte long or hold what the database does not take. */
function shownId(id: string | null): string | null {
  return id === null || IDENTITY_ID.test(id)
    ? id
    : id
        .slice(0, 4 * DEVICE_ID_LENGTH_MAX)
        .toWellFormed()
        .replaceAll("\0", "\ufffd");
}

/**
 * Reads an ExportImportDevice (contract 4.1). Throws a RegistryError DeserializationError where the JSON does not have
 * the type, else an OperationError with the ids.
 */
export function readExportImportDevice(object: JsonObject): Operation {
  const given = readTyped(object);
  const ids = { deviceId: given.id, moduleId: given.moduleId };
  try {
    checkIds(given.id, given.moduleId);
    return checkOperation({ ...given, deviceId: given.id, moduleId: given.moduleId ?? "" }, readMode(given.importMode));
  } catch (error) {
    throw error instanceof RegistryError ? new OperationError(error, ids) : error;
  }
}

/** Whether there can be an identity of this id at all. */
export function isIdentityId(id: string): boolean {
  return IDENTITY_ID.test(id);
}

/** What was given, types checked. Null where a member is absent. */
interface Given {
  readonly etag: string | null;
  readonly twinEtag: string | null;
  readonly status: "enabled" | "disabled" | null;
  readonly statusReason: string | null;
  readonly authentication: GivenAuthentication | null;
  readonly managedBy: string | null | undefined;
  readonly iotEdge: boolean | null;
  readonly deviceScope: string | null;
  readonly parentScopes: readonly string[] | null;
  readonly tags: JsonObject | null;
  readonly desired: JsonObject | null;
  readonly reported: JsonObject | null;
}

function readTyped(object: JsonObject) {
  const members = readMembers(object, MEMBERS);
  const properties = readMembers(readObject(members.properties, "properties") ?? {}, PROPERTIES_MEMBERS);
  const capabilities = readMembers(readObject(members.capabilities, "capabilities") ?? {}, CAPABILITIES_MEMBERS);
  return {
    id: readString(members.id, "id"),
    moduleId: readString(members.moduleId, "moduleId"),
    importMode: members.importMode,
    etag: readString(members.eTag, "eTag"),
    twinEtag: readString(members.twinETag, "twinETag"),
    status: readWord(members.status, "status", STATUSES),
    statusReason: readString(members.statusReason, "statusReason"),
    authentication: readAuthentication(members.authentication),
    managedBy: undefined,
    iotEdge: readBoolean(capabilities.iotEdge, "capabilities.iotEdge"),
    deviceScope: readString(members.deviceScope, "deviceScope"),
    parentScopes: readStrings(members.parentScopes, "parentScopes"),
    tags: readObject(members.tags, "tags"),
    desired: readObject(properties.desired, "properties.desired"),
    reported: readObject(properties.reported, "properties.reported"),
  };
}

const STATUSES = ["enabled", "disabled"] as const;

/** Throws ArgumentInvalid. A module id is checked where it is not null. */
function checkIds(deviceId: string | null, moduleId: string | null): asserts deviceId is string {
  if (deviceId === null) throw new RegistryError("ArgumentInvalid", "There is no 'id'.");
  if (!IDENTITY_ID.test(deviceId))
    throw new RegistryError("ArgumentInvalid", `The device identifier "${quotedId(deviceId)}" is invalid.`);
  if (moduleId === null) return;
  if (!IDENTITY_ID.test(moduleId))
    throw new RegistryError("ArgumentInvalid", `The module identifier "${quotedId(moduleId)}" is invalid.`);
}

/** An id that is no id may be anything: long, or cut in the middle of a character. */
function quotedId(id: string): string {
  return id.length > DEVICE_ID_LENGTH_MAX ? `${id.slice(0, DEVICE_ID_LENGTH_MAX).toWellFormed()}...` : id;
}

function readMode(value: unknown): ImportMode {
  if (value === undefined || value === null) return "createOrUpdate";
  if (typeof value !== "string")
    throw new RegistryError("ArgumentInvalid", "Unknown importMode: it should be a string.");
  const mode = findImportMode(value);
  if (mode === null) throw new RegistryError("ArgumentInvalid", `Unknown importMode: it is ${shownWord(value)}.`);
  return mode;
}

/** Applies the rules that need no state. Throws ArgumentInvalid. */
function checkOperation(given: Given & { deviceId: string; moduleId: string }, mode: ImportMode): Operation {
  const { deviceId, moduleId } = given;
  const { existing } = IMPORT_MODES[mode];
  const writesTwin = existing !== "delete";
  const writesIdentity = writesTwin && existing !== "replaceTwin";
  const isModule = moduleId !== "";
  if (isSystemModule(moduleId) && !SYSTEM_MODULES.some((known) => known === moduleId)) {
    throw new RegistryError("ArgumentInvalid", `The module identifier "${moduleId}" is reserved.`);
  }
  return {
    mode,
    deviceId,
    moduleId,
    etag: readEtag(given.etag),
    twinEtag: readEtag(given.twinEtag),
    enabled: given.status === null || isModule ? null : given.status === "enabled",
    statusReason: writesTwin ? checkStatusReason(given.statusReason, isModule) : null,
    authentication: writesIdentity ? readyAuthentication(given.authentication, deviceId, moduleId) : "",
    managedBy: checkText(given.managedBy, "managedBy"),
    iotEdge: isModule ? null : given.iotEdge,
    deviceScope: isModule ? null : checkText(given.deviceScope, "deviceScope") || null,
    parentScopes: isModule ? [] : (given.parentScopes ?? []).map((scope) => checkText(scope, "parentScopes")),
    tags: writesTwin && given.tags !== null ? readTwinDocument(given.tags, "tags").json : null,
    desired: writesTwin && given.desired !== null ? readTwinDocument(given.desired, "properties.desired") : null,
    reported: writesTwin && given.reported !== null ? readTwinDocument(given.reported, "properties.reported") : null,
  };
}

function readyAuthentication(given: GivenAuthentication | null, deviceId: string, moduleId: string): string {
  return isSystemModule(moduleId) ? NO_AUTHENTICATION : renderAuthentication(given, deviceId, moduleId !== "");
}

function checkStatusReason(reason: string | null, isModule: boolean): string | null {
  if (reason === null) return null;
  if (reason.length > STATUS_REASON_LENGTH_MAX)
    throw new RegistryError(
      "ArgumentInvalid",
      `'statusReason' has ${reason.length} characters, at most ${STATUS_REASON_LENGTH_MAX} are allowed.`,
    );
  const text = checkText(reason, "statusReason");
  return isModule ? null : text;
}

/** The database holds any text but this. */
function checkText<T extends string | null | undefined>(text: T, name: string): T {
  if (text?.includes("\0") === true)
    throw new RegistryError("ArgumentInvalid", `'${name}' holds the character U+0000.`);
  if (text?.isWellFormed() === false)
    throw new RegistryError("ArgumentInvalid", `'${name}' holds half of a surrogate pair.`);
  return text;
}

/** SDKs send ETags of lines with or without quotes; "" and "*" match anything (contract 1.0 and 5). */
function readEtag(text: string | null): string | null {
  if (text === null) return null;
  const etag = text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
  return etag === "" || etag === "*" ? null : etag;
}

/** What the path and the headers of a PUT say, beside its body. */
export interface PutRequest {
  readonly deviceId: string;
  readonly moduleId: string;
  readonly mode: ImportMode;
  readonly etag: string | null;
}

const PUT_MEMBERS = memberNames(
  "deviceId",
  "moduleId",
  "status",
  "statusReason",
  "authentication",
  "managedBy",
  "capabilities",
  "deviceScope",
  "parentScopes",
);

/**
 * Reads the body of PUT /devices/{id} or .../modules/{mid}. Read-only members are ignored (contract 1.2). Throws
 * ArgumentInvalid, also for what is a DeserializationError in a line.
 */
export function readPutBody(object: JsonObject, request: PutRequest): Operation {
  try {
    return readPut(object, request);
  } catch (error) {
    if (!(error instanceof RegistryError) || error.code !== "DeserializationError") throw error;
    throw new RegistryError("ArgumentInvalid", error.message);
  }
}

function readPut(object: JsonObject, request: PutRequest): Operation {
  const { deviceId, moduleId } = request;
  checkIds(deviceId, moduleId || null);
  if (isSystemModule(moduleId))
    throw new RegistryError("ArgumentInvalid", `The module identifier "${moduleId}" is reserved.`);
  const members = readMembers(object, PUT_MEMBERS);
  checkSameId(readString(members.deviceId, "deviceId"), deviceId, "deviceId");
  if (moduleId !== "") checkSameId(readString(members.moduleId, "moduleId"), moduleId, "moduleId");
  const capabilities = readMembers(readObject(members.capabilities, "capabilities") ?? {}, CAPABILITIES_MEMBERS);
  const given: Given = {
    etag: request.etag,
    twinEtag: null,
    status: readWord(members.status, "status", STATUSES),
    statusReason: readString(members.statusReason, "statusReason"),
    authentication: readAuthentication(members.authentication),
    managedBy: readString(members.managedBy, "managedBy") || null,
    iotEdge: readBoolean(capabilities.iotEdge, "capabilities.iotEdge"),
    deviceScope: readString(members.deviceScope, "deviceScope"),
    parentScopes: readStrings(members.parentScopes, "parentScopes"),
    tags: null,
    desired: null,
    reported: null,
  };
  return checkOperation({ ...given, deviceId, moduleId }, request.mode);
}

function checkSameId(inBody: string | null, inPath: string, name: string): void {
  if (inBody !== null && inBody !== inPath)
    throw new RegistryError(
      "ArgumentInvalid",
      `The ${name} of the body, "${quotedId(inBody)}", is not that of the path, "${inPath}".`,
    );
}

/** The operation of a DELETE. */
export function deleteOperation(deviceId: string, moduleId: string, etag: string | null): Operation {
  checkIds(deviceId, moduleId || null);
  const nothing: Given = {
    etag,
    twinEtag: null,
    status: null,
    statusReason: null,
    authentication: null,
    managedBy: undefined,
    iotEdge: null,
    deviceScope: null,
    parentScopes: null,
    tags: null,
    desired: null,
    reported: null,
  };
  return checkOperation({ ...nothing, deviceId, moduleId }, etag === null ? "delete" : "deleteIfMatchETag");
}

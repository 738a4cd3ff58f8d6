/**
 * The oracle of invariant 3: what an import does, told one line at a time and with nothing clever.
 * It shares no code with src/registry on purpose, beyond the numbers of the error codes and the limits; the batched
 * implementation is right when its export and its statistics equal these. It reads top down in the order in which the
 * rules are checked: split, parse, types, ids and mode, values, state.
 */
import { ERROR_NUMBERS, RegistryError, type ErrorCode } from "../../src/errors.ts";
import * as limits from "../../src/limits.ts";

type JsonObject = { [key: string]: unknown };

export interface ReferenceTwin {
  /** The twin's etag is this number as base64 of 8 big-endian bytes. */
  counter: number;
  tags: JsonObject;
  desired: JsonObject;
  reported: JsonObject;
}

export interface ReferenceAuthentication {
  symmetricKey: { primaryKey: string | null; secondaryKey: string | null };
  x509Thumbprint: { primaryThumbprint: string | null; secondaryThumbprint: string | null };
  type: "sas" | "selfSigned" | "certificateAuthority" | "none";
}

export interface ReferenceModule {
  /** The identity's etag is the decimal digits of this number in base64; the real start is random, so it is masked. */
  etagCounter: number;
  authentication: ReferenceAuthentication;
  twin: ReferenceTwin;
}

export interface ReferenceDevice extends ReferenceModule {
  status: "enabled" | "disabled";
  statusReason: string | null;
  iotEdge: boolean;
  deviceScope: string | null;
  parentScopes: readonly string[];
  modules: Map<string, ReferenceModule>;
}

export type ReferenceRegistry = Map<string, ReferenceDevice>;

export interface ReferenceError {
  lineNumber: number;
  byteOffset: number;
  deviceId?: string;
  moduleId?: string;
  code: number;
  /** Comparable with the real text only by its prefix "Invalid device format in line: ", for code 400012. */
  status: string;
}

type Outcome = "created" | "updated" | "deleted" | "twinsUpdated";

/** `lines` is the sum of all the other counts. */
export interface ReferenceResult extends Record<Outcome | "lines" | "failed" | "skipped", number> {
  errors: ReferenceError[];
}

/** Stands for every key that the registry makes up. */
export const GENERATED_KEY = "generated";
const MASKED_ETAG = "masked";
const ETAG_START = 480_764_703;
const SYSTEM_MODULE_IDS = ["$edgeAgent", "$edgeHub"];

// ---- import ----

/** Applies the lines of a whole devices.txt to the registry, in file order, and changes the registry in place. */
export function referenceImport(registry: ReferenceRegistry, file: Buffer): ReferenceResult {
  const result: ReferenceResult = {
    lines: 0,
    created: 0,
    updated: 0,
    deleted: 0,
    twinsUpdated: 0,
    failed: 0,
    skipped: 0,
    errors: [],
  };
  for (const { bytes, lineNumber, byteOffset } of splitLines(file)) {
    result.lines += 1;
    let ids: { deviceId?: string; moduleId?: string } = {};
    try {
      requireLength(bytes);
      if (isSkipped(bytes, lineNumber)) {
        result.skipped += 1;
        continue;
      }
      const line = parseLine(bytes);
      ids = idsOf(line);
      result[applyLine(registry, line)] += 1;
    } catch (error) {
      if (!(error instanceof RegistryError)) throw error;
      result.failed += 1;
      result.errors.push({ lineNumber, byteOffset, ...ids, code: ERROR_NUMBERS[error.code], status: error.message });
    }
  }
  return result;
}

function fail(code: ErrorCode, text: string): never {
  throw new RegistryError(code, text);
}

function malformed(text: string): never {
  fail("DeserializationError", `Invalid device format in line: ${text}`);
}

function invalid(text: string): never {
  fail("ArgumentInvalid", text);
}

// ---- lines ----

interface FileLine {
  bytes: Buffer;
  lineNumber: number;
  byteOffset: number;
}

const LF = 0x0a;
const CR = 0x0d;
const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

function* splitLines(file: Buffer): Generator<FileLine> {
  let start = file.subarray(0, BOM.length).equals(BOM) ? BOM.length : 0;
  let lineNumber = 0;
  while (start < file.length) {
    let end = start;
    while (end < file.length && file[end] !== LF && file[end] !== CR) end += 1;
    lineNumber += 1;
    yield { bytes: file.subarray(start, end), lineNumber, byteOffset: start };
    start = file[end] === CR && file[end + 1] === LF ? end + 2 : end + 1;
  }
}

/** First of all checks: a reader that does not hold a long line cannot know whether it is blank. */
function requireLength(bytes: Buffer): void {
  if (bytes.length > limits.LINE_BYTES_MAX) fail("IotHubFormatError", "The line is too long.");
}

function isSkipped(bytes: Buffer, lineNumber: number): boolean {
  const first = bytes.find((byte) => byte !== 0x20 && byte !== 0x09);
  if (first === undefined) return true;
  return lineNumber === 1 && first !== 0x7b;
}

// ---- types: every failure here is 400012, and names no device ----

interface Line {
  id: string | undefined;
  moduleId: string | undefined;
  eTag: string | undefined;
  importMode: unknown;
  status: "enabled" | "disabled" | undefined;
  statusReason: string | undefined;
  authType: string | undefined;
  keys: (string | null)[];
  thumbprints: (string | null)[];
  twinETag: string | undefined;
  tags: JsonObject | undefined;
  desired: JsonObject | undefined;
  reported: JsonObject | undefined;
  iotEdge: boolean | undefined;
  deviceScope: string | undefined;
  parentScopes: string[] | undefined;
}

function parseLine(bytes: Buffer): Line {
  const line = membersOf(parseJson(bytes));
  const authentication = membersOf(read(line, "authentication", isObject) ?? {});
  const symmetricKey = membersOf(read(authentication, "symmetricKey", isObject) ?? {});
  const x509Thumbprint = membersOf(read(authentication, "x509Thumbprint", isObject) ?? {});
  const properties = membersOf(read(line, "properties", isObject) ?? {});
  const capabilities = membersOf(read(line, "capabilities", isObject) ?? {});
  return {
    id: read(line, "id", isString),
    moduleId: read(line, "moduleId", isString),
    eTag: etagText(read(line, "eTag", isString)),
    importMode: line.get("importmode"),
    status: readWord(line, "status", ["enabled", "disabled"]),
    statusReason: read(line, "statusReason", isString),
    authType: readWord(authentication, "type", ["sas", "selfSigned", "certificateAuthority", "none"]),
    // An empty string means the same as no key: the Node SDK sends it (contract 15).
    keys: ["primaryKey", "secondaryKey"].map((name) => read(symmetricKey, name, isString) || null),
    thumbprints: ["primaryThumbprint", "secondaryThumbprint"].map(
      (name) => read(x509Thumbprint, name, isString) || null,
    ),
    twinETag: etagText(read(line, "twinETag", isString)),
    tags: read(line, "tags", isObject),
    desired: withoutMetadata(read(properties, "desired", isObject)),
    reported: withoutMetadata(read(properties, "reported", isObject)),
    iotEdge: read(capabilities, "iotEdge", isBoolean),
    deviceScope: read(line, "deviceScope", isString) || undefined,
    parentScopes: read(line, "parentScopes", isStrings),
  };
}

function parseJson(bytes: Buffer): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    malformed(String(error));
  }
  return isObject(value) ? value : malformed("not an object");
}

/** The members by lower-case name. The last spelling wins, and null is absent. */
function membersOf(object: JsonObject): Map<string, unknown> {
  const members = new Map<string, unknown>();
  for (const [name, value] of Object.entries(object)) members.set(name.toLowerCase(), value ?? undefined);
  return members;
}

function read<T>(members: Map<string, unknown>, name: string, is: (value: unknown) => value is T): T | undefined {
  const value = members.get(name.toLowerCase());
  if (value === undefined) return undefined;
  return is(value) ? value : malformed(`${name} is of the wrong type`);
}

function readWord<T extends string>(members: Map<string, unknown>, name: string, words: T[]): T | undefined {
  const value = read(members, name, isString);
  if (value === undefined) return undefined;
  return words.find((word) => word.toLowerCase() === value.toLowerCase()) ?? malformed(`${name} is no known word`);
}

const isString = (value: unknown): value is string => typeof value === "string";
const isBoolean = (value: unknown): value is boolean => typeof value === "boolean";
const isStrings = (value: unknown): value is string[] => Array.isArray(value) && value.every(isString);
const isObject = (value: unknown): value is JsonObject =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function etagText(given: string | undefined): string | undefined {
  return given?.replace(/^"(.*)"$/s, "$1") || undefined;
}

function withoutMetadata(properties: JsonObject | undefined): JsonObject | undefined {
  if (properties === undefined) return undefined;
  const content = { ...properties };
  delete content["$metadata"];
  delete content["$version"];
  return content;
}

// ---- ids and mode: from here on errors name the identity as the line gives it ----

interface Mode {
  action: "create" | "createOrUpdate" | "update" | "delete" | "updateTwin";
  checksETag: boolean;
  checksTwinETag: boolean;
}

const MODES: Record<string, Mode> = {
  create: { action: "create", checksETag: false, checksTwinETag: false },
  createorupdate: { action: "createOrUpdate", checksETag: false, checksTwinETag: true },
  createorupdateifmatchetag: { action: "createOrUpdate", checksETag: true, checksTwinETag: true },
  update: { action: "update", checksETag: false, checksTwinETag: false },
  updateifmatchetag: { action: "update", checksETag: true, checksTwinETag: true },
  delete: { action: "delete", checksETag: false, checksTwinETag: false },
  deleteifmatchetag: { action: "delete", checksETag: true, checksTwinETag: false },
  updatetwin: { action: "updateTwin", checksETag: false, checksTwinETag: false },
  updatetwinifmatchetag: { action: "updateTwin", checksETag: false, checksTwinETag: true },
};

function idsOf(line: Line): { deviceId?: string; moduleId?: string } {
  return {
    ...(line.id !== undefined && { deviceId: line.id }),
    ...(line.moduleId !== undefined && { moduleId: line.moduleId }),
  };
}

function applyLine(registry: ReferenceRegistry, line: Line): Outcome {
  const id = requireId(line.id);
  if (line.moduleId !== undefined) requireId(line.moduleId);
  const mode = readMode(line.importMode);
  checkValues(line, mode);
  if (line.moduleId === undefined) return applyDeviceLine(registry, id, line, mode);
  return applyModuleLine(registry, id, line.moduleId, line, mode);
}

function requireId(id: string | undefined): string {
  if (id === undefined) return invalid("The line has no id.");
  return /^[A-Za-z0-9\-:.+%_#*?!(),=@;$']{1,128}$/.test(id) ? id : invalid(`The id '${id}' is invalid.`);
}

function readMode(importMode: unknown): Mode {
  const name = importMode === undefined ? "createorupdate" : String(importMode).toLowerCase();
  const known = importMode === undefined || typeof importMode === "string";
  return known && Object.hasOwn(MODES, name) ? MODES[name]! : invalid("The import mode is unknown.");
}

// ---- values: every failure here is 400004 ----

function checkValues(line: Line, mode: Mode): void {
  if (mode.action === "delete") return;
  if (line.statusReason !== undefined) checkStatusReason(line.statusReason);
  if (mode.action !== "updateTwin" && !isSystemModule(line)) authenticationOf(line);
  if (line.tags) checkTwin(line.tags, limits.TWIN_TAGS_BYTES_MAX, isPlainKey);
  if (line.desired) checkTwin(line.desired, limits.TWIN_PROPERTIES_BYTES_MAX, isPlainKey);
  if (line.reported) checkTwin(line.reported, limits.TWIN_PROPERTIES_BYTES_MAX, isStorable);
}

const isSystemModule = (line: Line): boolean => line.moduleId?.startsWith("$") === true;

function checkStatusReason(text: string): void {
  if (text.length > limits.STATUS_REASON_LENGTH_MAX || text.includes("\0")) invalid("statusReason is invalid.");
}

function authenticationOf(line: Line): ReferenceAuthentication {
  const { keys, thumbprints } = line;
  const hasKey = keys.some((key) => key !== null);
  const hasThumbprint = thumbprints.some((thumbprint) => thumbprint !== null);
  const type = line.authType ?? (hasThumbprint ? "selfSigned" : "sas");
  switch (type) {
    case "sas":
      if (hasThumbprint) invalid("Keys and thumbprints exclude one another.");
      if (!hasKey) return authentication("sas", [GENERATED_KEY, GENERATED_KEY]);
      if (!keys.every((key) => key !== null && isKey(key))) invalid("Both keys or none, base64 of 16 to 64 bytes.");
      return authentication("sas", keys);
    case "selfSigned":
      if (hasKey) invalid("Keys and thumbprints exclude one another.");
      checkThumbprints(thumbprints.filter((thumbprint) => thumbprint !== null));
      return authentication("selfSigned", [], thumbprints);
    case "certificateAuthority":
      if (hasKey || hasThumbprint) invalid("A certificate authority takes no keys and no thumbprints.");
      return authentication("certificateAuthority");
    default:
      if (line.moduleId === undefined) invalid("A device needs authentication.");
      return authentication("sas", [GENERATED_KEY, GENERATED_KEY]);
  }
}

function authentication(
  type: ReferenceAuthentication["type"],
  keys: (string | null)[] = [],
  thumbprints: (string | null)[] = [],
): ReferenceAuthentication {
  return {
    symmetricKey: { primaryKey: keys[0] ?? null, secondaryKey: keys[1] ?? null },
    x509Thumbprint: { primaryThumbprint: thumbprints[0] ?? null, secondaryThumbprint: thumbprints[1] ?? null },
    type,
  };
}

function isKey(key: string): boolean {
  const bytes = Buffer.from(key, "base64");
  if (bytes.toString("base64") !== key) return false;
  return bytes.length >= limits.SYMMETRIC_KEY_BYTES_MIN && bytes.length <= limits.SYMMETRIC_KEY_BYTES_MAX;
}

function checkThumbprints(thumbprints: string[]): void {
  const areHex = thumbprints.every((thumbprint) => /^([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$/.test(thumbprint));
  const lengths = new Set(thumbprints.map((thumbprint) => thumbprint.length));
  if (!areHex || lengths.size > 1) invalid("Thumbprints are hexadecimal, both of 40 or both of 64 characters.");
}

type KeyRule = (key: string) => boolean;

/** What PostgreSQL and UTF-8 can hold. */
const isStorable = (text: string): boolean => !text.includes("\0") && text.isWellFormed();
// oxlint-disable-next-line no-control-regex -- control characters are what the rule is about
const isPlainKey: KeyRule = (key) => isStorable(key) && !/[\u0000-\u001f\u007f-\u009f.$# ]/.test(key);

function checkTwin(content: JsonObject, bytesMax: number, isKeyAllowed: KeyRule): void {
  if (twinBytes(content, 0, isKeyAllowed) > bytesMax) invalid("The twin is too large.");
}

/** The size of a value as the quota counts it. The root is depth 0, its children are depth 1. */
function twinBytes(value: unknown, depth: number, isKeyAllowed: KeyRule): number {
  if (typeof value === "string") return stringBytes(value);
  if (typeof value === "number") return numberBytes(value);
  if (typeof value === "boolean") return 4;
  if (value === null) invalid("A twin holds no null.");
  if (depth > limits.TWIN_DEPTH_MAX) invalid("The twin is too deep.");
  let bytes = 0;
  for (const [key, child] of Object.entries(value as JsonObject)) {
    if (!Array.isArray(value)) bytes += keyBytes(key, isKeyAllowed);
    bytes += twinBytes(child, depth + 1, isKeyAllowed);
  }
  return bytes;
}

function stringBytes(text: string): number {
  const bytes = Buffer.byteLength(text);
  return isStorable(text) && bytes <= limits.TWIN_VALUE_BYTES_MAX ? bytes : invalid("A twin's text is invalid.");
}

function numberBytes(value: number): number {
  const inRange = Number.isFinite(value) && (!Number.isInteger(value) || Math.abs(value) <= limits.TWIN_INTEGER_MAX);
  return inRange ? 8 : invalid("A twin's number is out of range.");
}

function keyBytes(key: string, isKeyAllowed: KeyRule): number {
  const bytes = Buffer.byteLength(key);
  const fits = bytes >= 1 && bytes <= limits.TWIN_KEY_BYTES_MAX;
  return fits && isKeyAllowed(key) ? bytes : invalid("A twin's key is invalid.");
}

// ---- state: device lines ----

function applyDeviceLine(registry: ReferenceRegistry, id: string, line: Line, mode: Mode): Outcome {
  const device = registry.get(id);
  if (!device) {
    if (!canCreate(mode)) fail("DeviceNotFound", id);
    registry.set(id, newDevice(id, line));
    return "created";
  }
  if (mode.action === "create") fail("DeviceAlreadyExists", id);
  checkETags(device, line, mode);
  if (mode.action === "updateTwin") return updateTwin(device.twin, line);
  if (mode.action === "delete") registry.delete(id);
  else updateDevice(device, id, line);
  return mode.action === "delete" ? "deleted" : "updated";
}

const canCreate = (mode: Mode): boolean => mode.action === "create" || mode.action === "createOrUpdate";

function newDevice(id: string, line: Line): ReferenceDevice {
  const iotEdge = line.iotEdge ?? false;
  return {
    ...newModule(line),
    status: line.status ?? "enabled",
    statusReason: line.statusReason ?? null,
    iotEdge,
    ...(iotEdge ? edgeScopes(line, generatedScope(id)) : leafScopes(line)),
    modules: new Map(iotEdge ? newSystemModules() : []),
  };
}

/** Stands for `ms-azure-iot-edge://<id>-<ticks>`, as `maskLine` shows it too. */
function generatedScope(id: string): string {
  return `ms-azure-iot-edge://${id}-generated`;
}

type Scopes = Pick<ReferenceDevice, "deviceScope" | "parentScopes">;

function edgeScopes(line: Line, otherwise: string): Scopes {
  return { deviceScope: line.deviceScope ?? otherwise, parentScopes: line.parentScopes ?? [] };
}

/** A leaf's scope is its parent's; its own parentScopes are ignored (contract 6). */
function leafScopes(line: Line): Scopes {
  if (line.deviceScope === undefined) return { deviceScope: null, parentScopes: [] };
  return { deviceScope: line.deviceScope, parentScopes: [line.deviceScope] };
}

function newSystemModules(): [string, ReferenceModule][] {
  return SYSTEM_MODULE_IDS.map((moduleId) => [
    moduleId,
    {
      etagCounter: ETAG_START,
      authentication: authentication("none"),
      twin: { counter: 1, tags: {}, desired: {}, reported: {} },
    },
  ]);
}

/** Everything is decided before anything is written: a line that fails changes nothing. */
function updateDevice(device: ReferenceDevice, id: string, line: Line): void {
  const iotEdge = line.iotEdge ?? device.iotEdge;
  const staysEdge = device.iotEdge && iotEdge;
  if (staysEdge && line.deviceScope !== undefined && line.deviceScope !== device.deviceScope) {
    invalid("Device scope is immutable.");
  }
  const kept = staysEdge ? device.deviceScope! : generatedScope(id);
  Object.assign(device, iotEdge ? edgeScopes(line, kept) : leafScopes(line));
  if (iotEdge && !device.iotEdge) for (const [name, module] of newSystemModules()) device.modules.set(name, module);
  if (!iotEdge) for (const name of SYSTEM_MODULE_IDS) device.modules.delete(name);
  device.iotEdge = iotEdge;
  device.status = line.status ?? device.status;
  device.statusReason = line.statusReason ?? null;
  updateIdentity(device, line);
}

// ---- state: module lines ----

function applyModuleLine(registry: ReferenceRegistry, id: string, moduleId: string, line: Line, mode: Mode): Outcome {
  const isSystem = isSystemModule(line);
  if (isSystem && !SYSTEM_MODULE_IDS.includes(moduleId)) invalid(`The module id '${moduleId}' is reserved.`);
  const device = registry.get(id) ?? fail("DeviceNotFound", id);
  const module = device.modules.get(moduleId);
  if (isSystem) return applySystemModuleLine(module ?? fail("ModuleNotFound", moduleId), line, mode);
  if (!module) {
    if (!canCreate(mode)) fail("ModuleNotFound", moduleId);
    if (userModuleCount(device) >= limits.MODULES_PER_DEVICE_MAX) fail("TooManyModulesOnDevice", id);
    device.modules.set(moduleId, newModule(line));
    return "created";
  }
  if (mode.action === "create") fail("ModuleAlreadyExistsOnDevice", moduleId);
  checkETags(module, line, mode);
  if (mode.action === "updateTwin") return updateTwin(module.twin, line);
  if (mode.action === "delete") device.modules.delete(moduleId);
  else updateIdentity(module, line);
  return mode.action === "delete" ? "deleted" : "updated";
}

function userModuleCount(device: ReferenceDevice): number {
  return [...device.modules.keys()].filter((moduleId) => !moduleId.startsWith("$")).length;
}

function applySystemModuleLine(module: ReferenceModule, line: Line, mode: Mode): Outcome {
  if (mode.action === "delete") fail("SystemModuleModifyUnauthorizedAccess", "Unauthorized to modify reserved module.");
  const { twin } = module;
  const isUnwritten = twin.counter === 1;
  // The hub made this twin itself, so an export's twinETag cannot match it in an empty hub.
  const checksTwinETag = mode.checksTwinETag && !(isUnwritten && mode.action !== "updateTwin");
  checkETags(module, line, { ...mode, checksTwinETag });
  const storesReported = isUnwritten && line.reported !== undefined;
  if (storesReported) twin.reported = line.reported!;
  replaceTwinParts(twin, line);
  if (hasTwinData(line) || storesReported) twin.counter += 1;
  return "twinsUpdated";
}

// ---- state: what devices and modules share ----

function newModule(line: Line): ReferenceModule {
  return {
    etagCounter: ETAG_START,
    authentication: authenticationOf(line),
    twin: { counter: 1, tags: line.tags ?? {}, desired: line.desired ?? {}, reported: line.reported ?? {} },
  };
}

function updateIdentity(identity: ReferenceModule, line: Line): void {
  identity.authentication = authenticationOf(line);
  identity.etagCounter += 1;
  if (hasTwinData(line)) updateTwin(identity.twin, line);
}

/** The twin's etag moves even when the line has neither tags nor desired properties. */
function updateTwin(twin: ReferenceTwin, line: Line): Outcome {
  replaceTwinParts(twin, line);
  twin.counter += 1;
  return "twinsUpdated";
}

function replaceTwinParts(twin: ReferenceTwin, line: Line): void {
  twin.tags = line.tags ?? twin.tags;
  twin.desired = line.desired ?? twin.desired;
}

const hasTwinData = (line: Line): boolean => line.tags !== undefined || line.desired !== undefined;

function checkETags(identity: ReferenceModule, line: Line, mode: Mode): void {
  if (mode.checksETag && !matches(line.eTag, etagOf(identity))) fail("PreconditionFailed", "eTag mismatch");
  const writesTwin = mode.action === "updateTwin" || hasTwinData(line);
  if (mode.checksTwinETag && writesTwin && !matches(line.twinETag, twinEtagOf(identity.twin))) {
    fail("PreconditionFailed", "twinETag mismatch");
  }
}

function matches(given: string | undefined, stored: string): boolean {
  return given === undefined || given === "*" || given === stored;
}

function etagOf(identity: ReferenceModule): string {
  return Buffer.from(String(identity.etagCounter)).toString("base64");
}

/** The twin etag of a counter, for files that hit or miss it on purpose. */
export function twinEtagOf({ counter }: { counter: number }): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(counter));
  return bytes.toString("base64");
}

// ---- export ----

/** The lines that an export of the registry must have, in its order: ids in byte order, modules after their device. */
export function exportLines(registry: ReferenceRegistry, options: { maskEtags: boolean }): string[] {
  const maskOf = (identity: ReferenceModule): string => (options.maskEtags ? MASKED_ETAG : etagOf(identity));
  return inByteOrder(registry).flatMap(([id, device]) => [
    deviceLine(id, device, maskOf(device)),
    ...inByteOrder(device.modules).map(([moduleId, module]) => moduleLine(id, moduleId, module, maskOf(module))),
  ]);
}

function inByteOrder<T>(entries: Map<string, T>): [string, T][] {
  return [...entries].sort(([left], [right]) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
}

function deviceLine(id: string, device: ReferenceDevice, eTag: string): string {
  const { status, statusReason, iotEdge, deviceScope, parentScopes } = device;
  return JSON.stringify({
    id,
    eTag,
    status,
    ...(statusReason !== null && { statusReason }),
    ...credentialsAndTwin(device),
    capabilities: { iotEdge },
    ...(deviceScope !== null && { deviceScope }),
    ...(parentScopes.length > 0 && { parentScopes }),
  });
}

function moduleLine(id: string, moduleId: string, module: ReferenceModule, eTag: string): string {
  const twinParts = credentialsAndTwin(module);
  return JSON.stringify({ id, moduleId, eTag, status: "enabled", ...twinParts, capabilities: { iotEdge: false } });
}

function credentialsAndTwin({ authentication, twin }: ReferenceModule): JsonObject {
  const { tags, desired, reported } = twin;
  return { authentication, twinETag: twinEtagOf(twin), tags, properties: { desired, reported } };
}

// ---- comparison with a real export ----

/**
 * One line of a real export in the form of `exportLines(registry, { maskEtags: true })`: the etag masked, and every key
 * and scope that does not occur in the input (`given`, see `stringsIn`) shown as generated. Members keep their order;
 * numbers and escapes come out as JSON.stringify writes them, so that a line's own text may be passed through.
 */
export function maskLine(line: string, given: ReadonlySet<string>): string {
  const value = JSON.parse(line) as {
    id: string;
    eTag: string;
    authentication: ReferenceAuthentication;
    deviceScope?: string;
  };
  value.eTag = MASKED_ETAG;
  const keys = value.authentication.symmetricKey;
  if (keys.primaryKey !== null && !given.has(keys.primaryKey)) keys.primaryKey = GENERATED_KEY;
  if (keys.secondaryKey !== null && !given.has(keys.secondaryKey)) keys.secondaryKey = GENERATED_KEY;
  const scope = value.deviceScope;
  if (scope !== undefined && !given.has(scope) && isGeneratedScope(value.id, scope)) {
    value.deviceScope = generatedScope(value.id);
  }
  return JSON.stringify(value);
}

function isGeneratedScope(id: string, scope: string): boolean {
  const prefix = `ms-azure-iot-edge://${id}-`;
  return scope.startsWith(prefix) && /^\d{18}$/.test(scope.slice(prefix.length));
}

/** Every string value in the lines of a file that are JSON: what `maskLine` must not take for generated. */
export function stringsIn(file: Buffer): Set<string> {
  const found = new Set<string>();
  // A stack instead of recursion, because a file may hold a line that nests arrays a hundred thousand deep.
  const open: unknown[] = [...splitLines(file)].map(({ bytes }) => parsedOrNull(bytes));
  while (open.length > 0) {
    const value = open.pop();
    if (typeof value === "string") found.add(value);
    else if (typeof value === "object" && value !== null) for (const child of Object.values(value)) open.push(child);
  }
  return found;
}

function parsedOrNull(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return null;
  }
}

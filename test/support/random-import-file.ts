/**
 * Seeded devices.txt files that go looking for trouble: few identities repeated often, every import mode, every kind of
 * bad line, every newline form. The same seed gives the same bytes on any machine.
 */
import { LINE_BYTES_MAX, MODULES_PER_DEVICE_MAX, TWIN_DEPTH_MAX, TWIN_INTEGER_MAX } from "../../src/limits.ts";
import { twinEtagOf } from "./reference-registry.ts";

type JsonObject = { [key: string]: unknown };

/**
 * A file of about `lines` lines over `ids` device ids and five module ids each. The count is not exact: a lone `\r`
 * before an empty line that ends in `\n` makes one terminator of two, and the end may be cut off.
 */
export function randomImportFile(seed: number, { lines, ids }: { lines: number; ids: number }): Buffer {
  const dice = new Dice(seed);
  const texts: Buffer[] = [];
  if (dice.oneIn(4)) texts.push(Buffer.from("Keys are excluded, so importing this file generates new ones."));
  while (texts.length < lines) {
    if (dice.oneIn(400) && lines - texts.length > 60) texts.push(...manyModules(dice, ids));
    else texts.push(randomLine(dice, ids));
  }
  return terminated(dice, texts.slice(0, lines));
}

/** mulberry32: small, fast, and good enough to choose lines with. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number from 0 to below `bound`. */
  below(bound: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32) * bound);
  }

  oneIn(chances: number): boolean {
    return this.below(chances) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

// ---- the file ----

const BOM = Buffer.from([0xef, 0xbb, 0xbf]);

function terminated(dice: Dice, lines: Buffer[]): Buffer {
  const usual = dice.pick(["\n", "\r\n", "\r"]);
  const isMixed = dice.oneIn(2);
  const parts = lines.flatMap((line) => [line, Buffer.from(isMixed ? dice.pick(["\n", "\r\n", "\r"]) : usual)]);
  if (dice.oneIn(3)) parts.pop();
  if (dice.oneIn(4)) parts.unshift(BOM);
  const file = Buffer.concat(parts);
  // Cut anywhere: within a string, a character of several bytes, or a \r\n.
  return dice.oneIn(6) ? file.subarray(0, Math.max(0, file.length - 1 - dice.below(40))) : file;
}

function manyModules(dice: Dice, ids: number): Buffer[] {
  const id = deviceId(dice, ids);
  const modules = Array.from({ length: MODULES_PER_DEVICE_MAX + 4 }, (_, n) => ({ id, moduleId: `many-${n}` }));
  return [{ id }, ...modules].map((line) => Buffer.from(JSON.stringify(line)));
}

function randomLine(dice: Dice, ids: number): Buffer {
  if (dice.oneIn(30)) return Buffer.from(dice.pick(["", "", " ", "\t", " \t  "]));
  if (dice.oneIn(25)) return dice.pick(NO_OBJECTS);
  if (dice.oneIn(2_000)) return longLine(dice, ids);
  const line = goodLine(dice, ids);
  if (dice.oneIn(8)) dice.pick(SPOILS)(line, dice);
  return Buffer.from(written(dice, line));
}

const NO_OBJECTS: readonly Buffer[] = [
  "{",
  "[]",
  '"text"',
  "17",
  "null",
  "nul",
  "{}}",
  '{"id":"d0"',
  '{"id":"d0",}',
  "{'id':'d0'}",
  '{"id":"d0"} x',
  '{"id":"d0"}{"id":"d1"}',
  '{"id":"d0","tags":{"a":"\t"}}',
  '{"id":"d0","tags":{"a":NaN}}',
  "\0",
  "\u00a0",
  "\f",
  "\ufeff{}",
  '{"id":"d0","tags":{"a":01}}',
  '{"id":"d0","tags":{"a":"\\x"}}',
  "[".repeat(5_000),
  "plain text",
]
  .map((text) => Buffer.from(text))
  .concat([
    Buffer.from([0x7b, 0x22, 0x69, 0x64, 0x22, 0x3a, 0x22, 0xff, 0x22, 0x7d]),
    Buffer.from('{"id":"d0","tags":{"a":"\xe4"}}', "latin1"),
    Buffer.concat([Buffer.from('{"id":"d0","tags":{"a":"'), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from('"}}')]),
  ]);

/** One byte too long, or just as long as is allowed. */
function longLine(dice: Dice, ids: number): Buffer {
  const text = JSON.stringify({ id: deviceId(dice, ids), x: "" });
  return Buffer.from(text.replace('""', `"${"x".repeat(LINE_BYTES_MAX - text.length + dice.below(2))}"`));
}

// ---- a good line ----

const MODES = ["create", "createOrUpdate", "createOrUpdateIfMatchETag", "update", "updateIfMatchETag", "delete"];
const MODES_OF_TWIN = ["deleteIfMatchETag", "updateTwin", "updateTwinIfMatchETag"];

/** Ids that a wrong collation or a wrong case rule would mix up. */
function deviceId(dice: Dice, ids: number): string {
  const n = dice.below(ids);
  return `${["d", "D", "d-", "d_", "d:", "$d", "d#?'"][n % 7]}${Math.floor(n / 7)}`;
}

function goodLine(dice: Dice, ids: number): JsonObject {
  const id = deviceId(dice, ids);
  const moduleId = dice.oneIn(3) ? dice.pick(["m0", "m1", "M1", "m-1", "m", ...SYSTEM_MODULES]) : undefined;
  return without({
    id,
    moduleId,
    importMode: dice.oneIn(3) ? undefined : dice.pick([...MODES, ...MODES, ...MODES_OF_TWIN]),
    eTag: dice.oneIn(4) ? dice.pick(["*", '"*"', "", '""', "AAAA", "AAAA", '"AAAA"', "\0", null]) : undefined,
    twinETag: dice.oneIn(3) ? twinEtag(dice) : undefined,
    status: dice.pick([undefined, undefined, null, "enabled", "disabled", "Disabled", "ENABLED"]),
    statusReason: dice.pick([undefined, undefined, null, "", "maintenance", "gewartet \u{1f527}", "r".repeat(128)]),
    authentication: dice.oneIn(2) ? undefined : authentication(dice, moduleId !== undefined),
    tags: dice.oneIn(2) ? twinContent(dice) : undefined,
    properties: dice.oneIn(2) ? properties(dice) : undefined,
    capabilities: dice.pick([undefined, undefined, null, {}, { iotEdge: null }, { iotEdge: false }, { iotEdge: true }]),
    deviceScope: dice.oneIn(4) ? scope(dice, id, ids) : undefined,
    parentScopes: dice.oneIn(5) ? dice.pick([null, [], [edgeScope(deviceId(dice, ids))], ["one", "two"]]) : undefined,
  });
}

const SYSTEM_MODULES = ["$edgeAgent", "$edgeHub"];

function without(line: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(line).filter(([, value]) => value !== undefined));
}

/** Small counters, so that many of them are right. */
function twinEtag(dice: Dice): unknown {
  const right = twinEtagOf({ counter: 1 + dice.below(3) });
  return dice.pick([right, right, right, `"${right}"`, "*", '"*"', "", null, "AAAA", twinEtagOf({ counter: 999 })]);
}

/** The same scope for the same device each time, so that updates of an edge device can repeat it. */
function edgeScope(id: string): string {
  return `ms-azure-iot-edge://${id}-637335579276066317`;
}

function scope(dice: Dice, id: string, ids: number): unknown {
  return dice.pick([edgeScope(id), edgeScope(id), edgeScope(deviceId(dice, ids)), "someScope", "", null]);
}

const KEYS = [16, 32, 33, 64].map((length) => Buffer.alloc(length, 0xfb).toString("base64"));
const THUMBPRINTS = ["DE89B7BBD215E7E47ECD372F61205712D71DD521", "de89b7bbd215e7e47ecd372f61205712d71dd521"];
const THUMBPRINTS_SHA256 = ["A", "b"].map((digit) => digit.repeat(64));

function keys(primaryKey: unknown, secondaryKey: unknown): JsonObject {
  return { symmetricKey: { primaryKey, secondaryKey } };
}

function thumbprints(primaryThumbprint: unknown, secondaryThumbprint: unknown): JsonObject {
  return { x509Thumbprint: { primaryThumbprint, secondaryThumbprint } };
}

function authentication(dice: Dice, isModule: boolean): unknown {
  return dice.pick([
    null,
    {},
    { type: "sas", ...keys(dice.pick(KEYS), dice.pick(KEYS)), ...thumbprints(null, "") },
    { ...keys(dice.pick(KEYS), dice.pick(KEYS)) },
    { type: "SAS", ...keys("", "") },
    { type: "sas", symmetricKey: null, x509Thumbprint: null },
    { type: "selfSigned", ...thumbprints(dice.pick(THUMBPRINTS), dice.pick(THUMBPRINTS)), ...keys(null, null) },
    { type: "selfsigned", ...thumbprints(null, dice.pick(THUMBPRINTS_SHA256)) },
    { ...thumbprints(dice.pick(THUMBPRINTS_SHA256), null), ...keys("", "") },
    { type: "selfSigned" },
    { type: "certificateAuthority", ...thumbprints(null, null), unknown: 1 },
    isModule || dice.oneIn(4) ? { type: "none" } : { type: null },
  ]);
}

// ---- twins ----

const TEXTS = [
  "",
  "Halle 7",
  "Zürich",
  "東京",
  "\u{1f680}",
  'a"b\\c/d',
  "\u0001\u007f\u2028",
  "</script>",
  "x".repeat(4_096),
];
const PLAIN_KEYS = [
  "a",
  "floor",
  "Straße",
  "2",
  "1",
  "a/b",
  "__proto__",
  "constructor",
  "\u{1f511}",
  "k".repeat(1_024),
];

function twinContent(dice: Dice, depth = 1): JsonObject {
  const entries = Array.from({ length: dice.below(4) }, () => [dice.pick(PLAIN_KEYS), twinValue(dice, depth)]);
  // fromEntries defines members, where an assignment to __proto__ would lose one.
  return Object.fromEntries(entries);
}

function twinValue(dice: Dice, depth: number): unknown {
  if (depth < 4 && dice.oneIn(4)) return twinContent(dice, depth + 1);
  if (depth < 4 && dice.oneIn(8)) return [1, dice.pick(TEXTS), twinContent(dice, depth + 2), []];
  if (dice.oneIn(40)) return nested(TWIN_DEPTH_MAX - depth + 1);
  // 7 is rewritten to another form of a number now and then, see `written`.
  return dice.pick([dice.pick(TEXTS), 7, 0.1, -1.5e-7, TWIN_INTEGER_MAX, -TWIN_INTEGER_MAX, true, false]);
}

/** Objects and arrays by turns, `levels` of them, around one scalar. */
function nested(levels: number): unknown {
  if (levels === 0) return 7;
  return levels % 2 === 0 ? [nested(levels - 1)] : { n: nested(levels - 1) };
}

function properties(dice: Dice): unknown {
  const metadata = dice.oneIn(6) ? { $metadata: dice.pick([{ $lastUpdated: "x" }, null]), $version: 3 } : {};
  const desired = dice.oneIn(3) ? undefined : { ...metadata, ...twinContent(dice) };
  const reported = dice.oneIn(3) ? undefined : { ...twinContent(dice), ...metadata, ...oddReported(dice) };
  return dice.pick([without({ desired, reported }), without({ desired, reported }), null, { desired: null }]);
}

/** Keys that only reported properties may have. */
function oddReported(dice: Dice): JsonObject {
  return dice.oneIn(6) ? { "a.b": 1, "$c #d": "\u0085", "\u0001": { $metadata: 1 } } : {};
}

// ---- what makes a line bad, or at least odd ----

type Spoil = (line: JsonObject, dice: Dice) => void;

const set =
  (name: string, ...values: unknown[]): Spoil =>
  (line, dice) => {
    line[name] = dice.pick(values);
  };

const inTwin =
  (key: string, value: unknown): Spoil =>
  (line, dice) => {
    const content = { ...twinContent(dice), [key]: value };
    const part = dice.below(3);
    if (part === 0) line["tags"] = content;
    else line["properties"] = part === 1 ? { desired: content } : { reported: content };
  };

const BAD_KEYS = ["", "a.b", "$a", "#", "a b", "\u0001", "\u007f", "\u0085", "nul\0", "\ud800"].concat(
  "k".repeat(1_025),
  "é".repeat(513),
);

/** Some are good: as deep as is allowed, and as large as is allowed where the twin holds nothing else. */
const BAD_VALUES = [
  "nul\0",
  "\udc00",
  "x".repeat(4_097),
  "é".repeat(2_049),
  nested(TWIN_DEPTH_MAX),
  nested(TWIN_DEPTH_MAX + 1),
  largeTexts(8_191),
  largeTexts(8_192),
  largeTexts(32_767),
  largeTexts(32_768),
  nested(2_000),
];

/** Texts of the largest size that one may have, `bytes` in all: the key `v` adds one more to the quota. */
function largeTexts(bytes: number): string[] {
  return "x".repeat(bytes).match(/x{1,4096}/g)!;
}

const KEY = KEYS[1]!;
const THUMBPRINT = THUMBPRINTS[0]!;

const SPOILS: readonly Spoil[] = [
  (line) => delete line["id"],
  set("id", 7, null, [], "", " ", "a b", "é", "a/b", "x".repeat(128), "x".repeat(129), "nul\0", "line\n", '"', "日本"),
  set("moduleId", 7, null, {}, "", "a b", "$other", "$edgeagent", "$", "x".repeat(129), "nul\0"),
  set(
    "importMode",
    7,
    null,
    {},
    true,
    "",
    "upsert",
    "constructor",
    "DELETE",
    "UpdateTwin",
    "CREATEORUPDATE",
    "create ",
  ),
  set("status", 7, true, "", "none", "enabled ", {}),
  set("statusReason", 7, {}, "r".repeat(129), "\u{1f527}".repeat(64), "\u{1f527}".repeat(65), "a\0b"),
  set("eTag", 7, [], {}, false),
  set("twinETag", 7, [], {}, false),
  set("tags", 7, [], "tags", false),
  set("properties", 7, [], "p", { desired: [] }, { desired: 1 }, { reported: "x" }, { reported: [] }),
  set("capabilities", 7, [], { iotEdge: "true" }, { iotEdge: 1 }),
  set("deviceScope", 7, [], {}),
  set("parentScopes", 7, "one", {}, [1], [null], ["one", 2]),
  set("authentication", 7, [], "sas", { type: "" }, { type: 1 }, { type: "SELF_SIGNED" }, { type: "sas " }),
  set(
    "authentication",
    { symmetricKey: 1 },
    { symmetricKey: [] },
    keys(1, KEY),
    { x509Thumbprint: "" },
    thumbprints(1, ""),
  ),
  set(
    "authentication",
    keys(KEY, null),
    keys("", KEY),
    keys(KEY, "123"),
    keys(KEY, KEY.slice(0, -1)),
    keys(KEY, "A\nB="),
  ),
  set("authentication", keys(KEY, Buffer.alloc(15).toString("base64")), keys(Buffer.alloc(65).toString("base64"), KEY)),
  set(
    "authentication",
    keys(KEY.replaceAll("+", "-"), KEY),
    keys(`${KEY}\0`, KEY),
    keys(` ${KEY}`, KEY),
    keys("é", "é"),
  ),
  set(
    "authentication",
    { type: "sas", ...thumbprints(THUMBPRINT, null) },
    { ...keys(KEY, KEY), ...thumbprints(THUMBPRINT, "") },
  ),
  set(
    "authentication",
    thumbprints(THUMBPRINT, THUMBPRINTS_SHA256[0]),
    thumbprints("DE:89", null),
    thumbprints("g".repeat(40), ""),
  ),
  set("authentication", { type: "selfSigned", ...keys(KEY, KEY) }, { type: "certificateAuthority", ...keys(KEY, KEY) }),
  set("authentication", { type: "certificateAuthority", ...thumbprints(THUMBPRINT, null) }, { type: "None" }),
  inTwin("null", null),
  inTwin("nulls", [1, { a: [null] }]),
  ...BAD_KEYS.map((key) => inTwin(key, 1)),
  ...BAD_VALUES.map((value) => inTwin("v", value)),
  inTwin("n", TWIN_INTEGER_MAX + 1),
  inTwin("n", -TWIN_INTEGER_MAX - 1),
  // 7e400 is infinite, and JSON.stringify cannot write it: `written` does.
  inTwin("infinite", 7),
  (line) => Object.assign(line, { deviceID: "ignored", unknown: { deep: [null] } }),
];

// ---- how a line is written ----

/** The line as JSON in some spelling: member case, repeated members, escapes, forms of numbers, blanks. */
function written(dice: Dice, line: JsonObject): string {
  let json = JSON.stringify(dice.oneIn(8) ? inOtherCase(dice, line) : line);
  json = json.replace('"infinite":7', '"infinite":7e400');
  if (dice.oneIn(4)) json = json.replace(/":7(?=[,}\]])/g, `":${dice.pick(["7.0", "0.7e1", "700E-2", "-0", "1.10"])}`);
  if (dice.oneIn(20)) json = json.replace("{", dice.pick(REPEATED_MEMBERS));
  if (dice.oneIn(10)) json = json.replaceAll("/", "\\/").replace(/[\u0080-\uffff]/g, unicodeEscape);
  if (dice.oneIn(20)) json = json.replaceAll('"id":', '"\\u0069d" :').replaceAll('"tags":', '"t\\u0061gs":\t');
  if (dice.oneIn(12)) json = ` \t${json}\t `;
  return json;
}

/** Each is overruled by a later member, if the line has it. */
const REPEATED_MEMBERS = [
  '{"ID":"d1",',
  '{"id":7,',
  '{"Tags":{"old":null},',
  '{"status":"none",',
  '{"importmode":"x",',
].concat('{"tags":{"old":null,"b":1,"old":2},', '{"authentication":{"type":"x"},');

function unicodeEscape(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Other case for the names that the format knows, and never for what a twin holds. */
function inOtherCase(dice: Dice, line: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(line).map(([name, value]) => [otherCase(dice, name), innerCase(dice, name, value)]),
  );
}

const WITH_KNOWN_MEMBERS = ["authentication", "symmetricKey", "x509Thumbprint", "properties", "capabilities"];

function innerCase(dice: Dice, name: string, value: unknown): unknown {
  const isKnown = WITH_KNOWN_MEMBERS.includes(name) && typeof value === "object" && value !== null;
  return isKnown && !Array.isArray(value) ? inOtherCase(dice, value as JsonObject) : value;
}

function otherCase(dice: Dice, name: string): string {
  return dice.pick([name, name.toLowerCase(), name.toUpperCase(), name.charAt(0).toUpperCase() + name.slice(1)]);
}

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readTwinDocument, type TwinPart } from "../../src/registry/twin-document.ts";

const PARTS: readonly TwinPart[] = ["tags", "properties.desired", "properties.reported"];
const nested = (depth: number): Record<string, unknown> => (depth === 1 ? { k: 1 } : { k: nested(depth - 1) });

describe.each(PARTS)("%s", (part) => {
  const read = (value: Record<string, unknown>) => readTwinDocument(value, part);

  test("is kept as compact JSON", () => {
    const value = { a: "é", b: [1, -2.5, true, { c: "" }, []], d: {}, e: 2 ** 52, f: -(2 ** 52), g: 1.5e-300 };
    expect(read(value)).toEqual({ json: JSON.stringify(value), metadata: null, version: null });
    expect(read({}).json).toBe("{}");
    const odd = JSON.parse('{"__proto__":{"x":1},"constructor":1,"toString":"y"}') as Record<string, unknown>;
    expect(read(odd).json).toBe('{"__proto__":{"x":1},"constructor":1,"toString":"y"}');
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["null", { a: null }, `"${part}.a" is null`],
    ["null in a list", { a: [1, null] }, "is null"],
    ["a large integer", { a: 2 ** 52 + 1 }, "out of range"],
    ["no number", { a: Number.POSITIVE_INFINITY }, "out of range"],
    ["an empty name", { "": 1 }, "has an empty name"],
    ["a long name", { ["x".repeat(1_025)]: 1 }, "1025 bytes, at most 1024"],
    ["a long value", { a: "é".repeat(2_049) }, "4098 bytes, at most 4096"],
    ["U+0000 in a value", { a: "\0" }, "U+0000"],
    ["half a character in a value", { a: "\ud800" }, "surrogate"],
    ["half a character in a name", { "\udc00": 1 }, "surrogate"],
    ["11 levels below the root", nested(12), "deeper than 10 levels"],
  ])("%s is refused", (_name, value, text) => {
    expect(() => read(value)).toThrow(
      expect.objectContaining({ code: "ArgumentInvalid", message: expect.stringContaining(text) }),
    );
  });

  test("10 levels below the root, names of 1,024 bytes, values of 4,096", () => {
    expect(read(nested(11)).json).toBe(JSON.stringify(nested(11)));
    read({ ["x".repeat(1_024)]: "é".repeat(2_048) });
  });

  test("the size is bounded: 8 KiB of tags, 32 KiB of properties", () => {
    const max = part === "tags" ? 8 * 1_024 : 32 * 1_024;
    // Names and values count, punctuation does not: 4 bytes of name and 4,092 of value each.
    const full = Object.fromEntries(
      Array.from({ length: max / 4_096 }, (_, index) => [`key${index}`, "x".repeat(4_092)]),
    );
    read(full);
    expect(() => read({ ...full, a: "" })).toThrow(`at most ${max} are allowed`);
  });

  test("never throws anything but a RegistryError, and what it keeps is valid", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue({ stringUnit: "binary" })), (value) => {
        try {
          const { json } = read(value);
          expect(json.isWellFormed() && !/[\x00-\x1f]/.test(json)).toBe(true); // oxlint-disable-line no-control-regex
        } catch (error) {
          expect(error).toMatchObject({ code: "ArgumentInvalid" });
        }
      }),
    );
  });
});

test("names without blanks, dots, dollars, hashes and control characters; reported ones come from devices", () => {
  for (const key of ["a b", "a.b", "$a", "a#", "a\u0007", "a\u0085"]) {
    for (const part of ["tags", "properties.desired"] as const)
      expect(() => readTwinDocument({ x: { [key]: 1 } }, part), key).toThrow(/has a name with/);
    expect(readTwinDocument({ [key]: 1 }, "properties.reported").json).toBe(JSON.stringify({ [key]: 1 }));
  }
});

describe("$metadata and $version", () => {
  const metadata = { $lastUpdated: "2020-08-18T20:20:55.8352692Z", a: { $lastUpdatedVersion: 2 } };

  test("are taken apart from properties, and are no part of tags", () => {
    for (const part of ["properties.desired", "properties.reported"] as const)
      expect(readTwinDocument({ a: 1, $metadata: metadata, $version: 7 }, part)).toEqual({
        json: '{"a":1}',
        metadata: JSON.stringify(metadata),
        version: 7,
      });
    expect(() => readTwinDocument({ $version: 1 }, "tags")).toThrow(/has a name with/);
  });

  test.each([0, -1, 1.5, "7", null, 2 ** 60])("$version %j is none", (version) => {
    expect(readTwinDocument({ $version: version }, "properties.desired").version).toBeNull();
  });

  test("what the database could not hold is left out", () => {
    let deep: unknown = 1;
    for (let index = 0; index < 50_000; index++) deep = [deep];
    for (const $metadata of [null, 5, "x", { a: "\0" }, { a: "\ud800" }, { a: "x".repeat(300_000) }, deep])
      expect(readTwinDocument({ $metadata }, "properties.desired").metadata).toBeNull();
  });
});

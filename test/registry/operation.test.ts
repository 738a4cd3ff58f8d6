import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RegistryError } from "../../src/errors.ts";
import { deleteOperation, OperationError, readExportImportDevice, readPutBody } from "../../src/registry/operation.ts";

const put = (body: Record<string, unknown>, ids: { deviceId?: string; moduleId?: string } = {}) =>
  readPutBody(body, { deviceId: "d", moduleId: "", mode: "create", etag: null, ...ids });
const codeOf = (work: () => unknown): string => {
  try {
    work();
    return "none";
  } catch (error) {
    expect(error).toBeInstanceOf(RegistryError);
    return (error as RegistryError).code;
  }
};

describe("readExportImportDevice", () => {
  test("a whole line", () => {
    const operation = readExportImportDevice({
      ID: "d",
      moduleId: "m",
      ETag: '"MQ=="',
      ImportMode: "UpdateIfMatchETag",
      status: "Disabled",
      statusReason: "dropped for a module",
      twinETag: "AAAAAAAAAAE=",
      tags: { a: 1 },
      properties: { Desired: { b: 2 }, reported: { c: 3 } },
      unknown: {},
    });
    expect(operation).toMatchObject({
      mode: "updateIfMatchETag",
      deviceId: "d",
      moduleId: "m",
      etag: "MQ==",
      twinEtag: "AAAAAAAAAAE=",
    });
    expect(operation).toMatchObject({ enabled: null, statusReason: null, iotEdge: null, managedBy: undefined });
    expect(operation).toMatchObject({ tags: '{"a":1}', desired: { json: '{"b":2}' }, reported: { json: '{"c":3}' } });
  });

  test("what is left out", () => {
    expect(readExportImportDevice({ id: "d" })).toMatchObject({
      mode: "createOrUpdate",
      moduleId: "",
      etag: null,
      twinEtag: null,
      enabled: null,
      statusReason: null,
      iotEdge: null,
      deviceScope: null,
      parentScopes: [],
      tags: null,
      desired: null,
      reported: null,
    });
    const nulls = Object.fromEntries(
      [
        "moduleId",
        "eTag",
        "importMode",
        "status",
        "authentication",
        "tags",
        "properties",
        "capabilities",
        "parentScopes",
        "deviceScope",
      ].map((name) => [name, null]),
    );
    expect(readExportImportDevice({ id: "d", ...nulls })).toMatchObject({ mode: "createOrUpdate", tags: null });
  });

  test.each([
    ["MQ==", "MQ=="],
    ['"MQ=="', "MQ=="],
    ["", null],
    ['""', null],
    ["*", null],
    ['"*"', null],
    ['"', '"'],
  ])("etag %j is %j", (eTag, etag) => {
    expect(readExportImportDevice({ id: "d", eTag }).etag).toBe(etag);
  });

  test("a delete looks at ids, mode and ETag alone", () => {
    const operation = readExportImportDevice({
      id: "d",
      importMode: "delete",
      tags: { a: null },
      authentication: { type: "none" },
      statusReason: "x".repeat(200),
    });
    expect(operation).toMatchObject({ mode: "delete", authentication: "", tags: null, statusReason: null });
    const twin = readExportImportDevice({
      id: "d",
      importMode: "updateTwin",
      authentication: { type: "none" },
      tags: { a: 1 },
    });
    expect(twin).toMatchObject({ authentication: "", tags: '{"a":1}' });
  });

  test.each<[Record<string, unknown>, string, string | null]>([
    [{}, "ArgumentInvalid", null],
    [{ id: "" }, "ArgumentInvalid", ""],
    [{ id: "a/b" }, "ArgumentInvalid", "a/b"],
    [{ id: "x".repeat(129) }, "ArgumentInvalid", "x".repeat(129)],
    [{ id: "a\0" }, "ArgumentInvalid", "a\ufffd"],
    [{ id: "\ud800" }, "ArgumentInvalid", "\ufffd"],
    [{ id: "d", moduleId: "" }, "ArgumentInvalid", "d"],
    [{ id: "d", moduleId: "a b" }, "ArgumentInvalid", "d"],
    [{ id: "d", moduleId: "$other" }, "ArgumentInvalid", "d"],
    [{ id: "d", importMode: "sometimes" }, "ArgumentInvalid", "d"],
    [{ id: "d", importMode: 1 }, "ArgumentInvalid", "d"],
    [{ id: "d", statusReason: "x".repeat(129) }, "ArgumentInvalid", "d"],
    [{ id: "d", statusReason: "\0" }, "ArgumentInvalid", "d"],
    [{ id: "d", deviceScope: "\ud800" }, "ArgumentInvalid", "d"],
    [{ id: "d", parentScopes: ["\0"] }, "ArgumentInvalid", "d"],
    [{ id: "d", tags: { a: null } }, "ArgumentInvalid", "d"],
  ])("%j breaks a rule, and its ids are known", (object, code, deviceId) => {
    try {
      readExportImportDevice(object);
      expect.unreachable();
    } catch (error) {
      expect(error).toBeInstanceOf(OperationError);
      expect(error).toMatchObject({ code, deviceId });
      expect((error as Error).message).not.toBe("");
    }
  });

  test.each([
    { id: 1 },
    { id: "d", moduleId: 1 },
    { id: "d", eTag: 1 },
    { id: "d", status: 1 },
    { id: "d", status: "on" },
    { id: "d", tags: [] },
    { id: "d", tags: "x" },
    { id: "d", properties: 1 },
    { id: "d", properties: { desired: [] } },
    { id: "d", capabilities: [] },
    { id: "d", capabilities: { iotEdge: 1 } },
    { id: "d", parentScopes: "x" },
    { id: "d", parentScopes: [1] },
  ])("%j has not the type", (object) =>
    expect(codeOf(() => readExportImportDevice(object))).toBe("DeserializationError"),
  );

  test("anything else ends in an operation or a RegistryError", () => {
    const names = fc.constantFrom(
      "id",
      "moduleId",
      "eTag",
      "importMode",
      "status",
      "statusReason",
      "authentication",
      "tags",
      "properties",
      "capabilities",
      "deviceScope",
      "parentScopes",
      "__proto__",
    );
    fc.assert(
      fc.property(
        fc.dictionary(names, fc.jsonValue({ stringUnit: "binary" })),
        (object) => void codeOf(() => readExportImportDevice({ id: "d", ...(object as object) })),
      ),
    );
  });
});

describe("readPutBody", () => {
  test("ids are the path's; the body may repeat them", () => {
    expect(put({ DeviceID: "d" })).toMatchObject({ deviceId: "d", moduleId: "", mode: "create", managedBy: null });
    expect(put({ deviceId: "d", moduleId: "m", managedBy: "x" }, { moduleId: "m" })).toMatchObject({
      moduleId: "m",
      managedBy: "x",
    });
    expect(codeOf(() => put({ deviceId: "e" }))).toBe("ArgumentInvalid");
    expect(codeOf(() => put({ moduleId: "n" }, { moduleId: "m" }))).toBe("ArgumentInvalid");
    expect(codeOf(() => put({}, { deviceId: "a/b" }))).toBe("ArgumentInvalid");
    for (const moduleId of ["$edgeAgent", "$x", "a/b"])
      expect(codeOf(() => put({}, { moduleId }))).toBe("ArgumentInvalid");
  });

  test("twins are no part of it", () => {
    expect(put({ tags: { a: 1 }, properties: { desired: { a: 1 } } })).toMatchObject({ tags: null, desired: null });
  });

  test("what has not the type is ArgumentInvalid here", () => {
    for (const body of [
      { status: 1 },
      { deviceId: 1 },
      { capabilities: 1 },
      { authentication: [] },
      { parentScopes: 1 },
    ])
      expect(
        codeOf(() => put(body)),
        JSON.stringify(body),
      ).toBe("ArgumentInvalid");
  });
});

test("deleteOperation", () => {
  expect(deleteOperation("d", "", null)).toMatchObject({ mode: "delete", etag: null });
  expect(deleteOperation("d", "m", "MQ==")).toMatchObject({ mode: "deleteIfMatchETag", moduleId: "m", etag: "MQ==" });
  expect(codeOf(() => deleteOperation("a b", "", null))).toBe("ArgumentInvalid");
});

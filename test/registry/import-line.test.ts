import fc from "fast-check";
import { expect, test } from "vitest";
import { isLineFailure, type LineFailure, lineTooLong, readImportLine } from "../../src/registry/import-line.ts";

const KEY = Buffer.alloc(32, 0xfb).toString("base64");

function failureOf(line: string | Buffer): LineFailure {
  const read = readImportLine(Buffer.from(line));
  if (!isLineFailure(read)) throw new Error("the line can be read");
  return read;
}

test("a good line is an operation", () => {
  expect(readImportLine(Buffer.from('  {"id":"d"}\t'))).toMatchObject({ deviceId: "d", mode: "createOrUpdate" });
});

test.each(['{"id":"d"', "nonsense", "[]", "null", "5", '"x"', '{"id":"d"}x', '{"id":"d",}', "{'id':'d'}", '{"id":5}'])(
  "%s is malformed",
  (line) => {
    const failure = failureOf(line);
    expect(failure).toMatchObject({ deviceId: null, moduleId: null, code: 400012 });
    expect(failure.status.startsWith(`Invalid device format in line: ${line}. `)).toBe(true);
    expect(failure.status.length).toBeGreaterThan(`Invalid device format in line: ${line}. `.length);
  },
);

test("a broken rule is reported with the ids", () => {
  expect(failureOf('{"id":"d","moduleId":"m","tags":{"a":null}}')).toMatchObject({
    deviceId: "d",
    moduleId: "m",
    code: 400004,
  });
  expect(failureOf("{}")).toMatchObject({ deviceId: null, code: 400004 });
});

test("what is no UTF-8, nests without end or is long is reported too", () => {
  expect(failureOf(Buffer.from([0x7b, 0xff, 0x7d]))).toMatchObject({ code: 400012 });
  expect(failureOf("[".repeat(500_000))).toMatchObject({ code: 400012 });
  expect(failureOf(`{"a":"${"x".repeat(100_000)}`).status.length).toBeLessThan(2_500);
  expect(failureOf(`{"id":"d","status":"${"x".repeat(100_000)}"}`).status.length).toBeLessThan(2_500);
  expect(lineTooLong(5)).toEqual({
    deviceId: null,
    moduleId: null,
    code: 400006,
    status: "The line has 5 bytes, at most 1048576 are allowed.",
  });
});

test.each([
  `{"id":"d","primaryKey":"${KEY}"`,
  `d,${KEY}`,
  `{"x":"https://a/c?sig=${encodeURIComponent(KEY)}"`,
  `{"id":"d","status":"${KEY}"}`,
  `{"id":"d","importMode":"${KEY}"}`,
  `{"id":"d","authentication":{"type":"${KEY}"}}`,
  `{"id":"d","authentication":{"x509Thumbprint":{"primaryThumbprint":"${KEY}"}}}`,
  `${" ".repeat(2_030)}"${KEY}`,
])("no key is quoted: %s", (line) => expect(failureOf(line).status).not.toContain(KEY.slice(0, 12)));

test("any bytes at all end in an operation or a report that the database can hold", () => {
  const line = fc.oneof(
    fc.uint8Array().map((bytes) => Buffer.from(bytes)),
    fc.string({ unit: "binary" }).map((text) => Buffer.from(text)),
    fc.json().map((text) => Buffer.from(text)),
  );
  fc.assert(
    fc.property(line, (bytes) => {
      const read = readImportLine(bytes);
      if (isLineFailure(read)) expect(read.status.isWellFormed() && !read.status.includes("\0")).toBe(true);
    }),
  );
});

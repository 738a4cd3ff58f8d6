import { describe, expect, test } from "vitest";
import { deleteEtag, type Precondition, putMode, readIfMatch } from "../../src/http/if-match.ts";

test.each<[string | undefined, Precondition]>([
  [undefined, "none"],
  ["", "none"],
  ['""', "none"],
  ["  ", "none"],
  ["*", "any"],
  ['"*"', "any"],
  [' "*" ', "any"],
  ['"MQ=="', { etag: "MQ==" }],
  ["MQ==", { etag: "MQ==" }],
  ['W/"MQ=="', { etag: "MQ==" }],
  ['"', { etag: '"' }],
  ['"a', { etag: '"a' }],
])("%j", (header, precondition) => expect(readIfMatch(header)).toEqual(precondition));

describe("what follows from it", () => {
  test("PUT creates without, updates with a precondition", () => {
    expect(putMode("none")).toEqual({ mode: "create", etag: null });
    expect(putMode("any")).toEqual({ mode: "update", etag: null });
    expect(putMode({ etag: "x" })).toEqual({ mode: "updateIfMatchETag", etag: "x" });
  });

  test("DELETE needs one", () => {
    expect(() => deleteEtag("none")).toThrow("Etag missing");
    expect([deleteEtag("any"), deleteEtag({ etag: "x" })]).toEqual([null, "x"]);
  });
});

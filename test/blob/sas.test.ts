import { describe, expect, test } from "vitest";
import { describeSas, reasonSasCannot, reasonSasRefused } from "../../src/blob/sas.ts";

const NOW = new Date("2026-06-01T12:00:00Z");
const at = (query: string, scheme = "https") => new URL(`${scheme}://a.blob.core.windows.net/c?${query}`);

function reason(permission: string, query: string, scheme?: string): string | null {
  const url = at(`${query}&sig=c2VjcmV0`, scheme);
  const sas = describeSas(url);
  return sas && reasonSasCannot(permission, sas, url, NOW);
}

describe("describeSas", () => {
  test("is null without a signature", () => {
    expect(describeSas(at("sp=r&sr=c"))).toBeNull();
    expect(describeSas(at("sp=r&sr=c&sig="))).toBeNull();
  });

  test("holds every field but the signature", () => {
    const sas = describeSas(
      at("sp=rw&sr=c&st=2026-01-01&se=2026-01-02T03:04Z&spr=https&sip=1.2.3.4&si=p&srt=o&ss=b&sig=c2VjcmV0"),
    );
    expect(sas).toEqual({
      expiresAt: new Date("2026-01-02T03:04:00Z"),
      startsAt: new Date("2026-01-01T00:00:00Z"),
      permissions: "rw",
      resource: "c",
      resourceTypes: "o",
      services: "b",
      protocols: "https",
      addresses: "1.2.3.4",
      policy: "p",
    });
    expect(JSON.stringify(sas)).not.toContain("c2VjcmV0");
  });
});

describe("reasonSasCannot", () => {
  test.each([
    ["d", "sp=rwd&sr=c&se=2026-06-02", null],
    ["w", "ss=b&srt=o&sp=rwdac&se=2026-06-02", null], // the az extension
    ["d", "si=policy&sr=c", null], // the policy says it: only a request can tell
    ["r", "sp=r&sr=c&se=never", null],
    ["r", "sp=r&sr=c&se=2026-06-01T11:59:59Z", "The SAS expired at 2026-06-01T11:59:59Z."],
    ["r", "sp=r&sr=c&se=2026-06-01T12:00:00", "The SAS expired at 2026-06-01T12:00:00Z."],
    ["d", "sp=rl&sr=c", "The SAS grants 'rl', it needs 'd'."],
    ["r", "sp=r&sr=b", "The SAS is for one blob (sr=b), it needs a container (sr=c)."],
    ["r", "sp=r&sr=d", "The SAS is for a directory (sr=d), it needs a container (sr=c)."],
    ["r", "sp=r&sr=%3Bx", "The SAS is for another kind of resource (sr=_x), it needs a container (sr=c)."],
    ["r", "sp=r&ss=fq&srt=o", "The SAS is for the services 'fq', it needs 'b' (ss=b)."],
    ["r", "sp=r&ss=b&srt=sc", "The SAS is for the resource types 'sc', it needs 'o' (srt=o)."],
  ])("%s with %s: %s", (permission, query, expected) => {
    expect(reason(permission, query)).toBe(expected);
  });

  test("https only", () => {
    expect(reason("r", "sp=r&sr=c&spr=https", "http")).toBe("The SAS is for https only, the URI is http.");
    expect(reason("r", "sp=r&sr=c&spr=https,http", "http")).toBeNull();
  });
});

test("reasonSasRefused", () => {
  const of = (query: string) => reasonSasRefused(describeSas(at(`${query}&sig=x`))!, NOW);
  expect(of("st=2026-06-01T13:00:00Z")).toBe("The SAS is not valid before 2026-06-01T13:00:00Z.");
  expect(of("si=policy")).toBe("The SAS depends on the stored access policy 'policy' of the container.");
  expect(of("st=2026-06-01")).toBeNull();
});

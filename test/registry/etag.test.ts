import { expect, test } from "vitest";
import { firstIdentityEtag, identityEtag, twinEtag } from "../../src/registry/etag.ts";
import { GenerationClock } from "../../src/registry/generation-clock.ts";

test("as recorded", () => {
  expect([identityEtag(480_764_703), identityEtag(480_764_704), identityEtag(1)]).toEqual([
    "NDgwNzY0NzAz",
    "NDgwNzY0NzA0",
    "MQ==",
  ]);
  expect([twinEtag(1), twinEtag(2), twinEtag(2 ** 53 - 1)]).toEqual(["AAAAAAAAAAE=", "AAAAAAAAAAI=", "AB////////8="]);
});

test("a new identity's counter starts anywhere above nothing", () => {
  const starts = Array.from({ length: 100 }, firstIdentityEtag);
  expect(new Set(starts).size).toBeGreaterThan(90);
  for (const start of starts) expect(start > 0 && Number.isInteger(start) && start < 2 ** 31).toBe(true);
});

test("generation ids are ticks, each of them once, beyond 10,000 of a millisecond", () => {
  const clock = new GenerationClock(Date.UTC(2020, 7, 20, 22, 5, 27));
  const ids = Array.from({ length: 20_001 }, () => clock.next());
  expect(ids[0]).toBe("637335579270000000");
  expect(ids.at(-1)).toBe("637335579270020000");
  expect(new Set(ids).size).toBe(ids.length);
});

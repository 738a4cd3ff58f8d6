import { expect, test } from "vitest";
import { checkHostName, checkHubName, defaultHostName, isLoopbackName } from "../../src/hubs/hub-name.ts";

test.each(["abc", "Contoso-A", "a1b", "x".repeat(50)])("hub %j", (name) => expect(checkHubName(name)).toBe(name));
test.each(["", "ab", "x".repeat(51), "-abc", "abc-", "a b", "a.b.c", "a_b", "é23", "abc\n"])("no hub %j", (name) => {
  expect(() => checkHubName(name)).toThrow(/is no name for a hub/);
});

test.each([
  ["Hub.Example", "hub.example"],
  ["127.0.0.2", "127.0.0.2"],
  ["::1", "::1"],
  ["a-b.localhost", "a-b.localhost"],
])("host %j", (given, name) => {
  expect(checkHostName(given)).toBe(name);
});
test.each(["", "h:8443", "[::1]", "a b", "a..b", "-a.b", "a_b", "https://h", "x".repeat(64), "h/", "*.example", "h\n"])(
  "no host %j",
  (name) => {
    expect(() => checkHostName(name)).toThrow(/is no host name/);
  },
);

test("names that never leave the machine", () => {
  expect(defaultHostName("Contoso-A")).toBe("contoso-a.localhost");
  expect(
    [
      "localhost",
      "127.0.0.1",
      "127.255.1.2",
      "::1",
      "128.0.0.1",
      "localhost.example",
      "a.localhost",
      "127.0.0.1.example",
    ].map(isLoopbackName),
  ).toEqual([true, true, true, true, false, false, false, false]);
});

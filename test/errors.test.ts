import { expect, test } from "vitest";
import { ERROR_NUMBERS, type ErrorCode, httpStatusOf, messageOf, RegistryError } from "../src/errors.ts";

test("the status is in the number, but for an unknown hub, which the Node SDK looks for under 404", () => {
  for (const code of Object.keys(ERROR_NUMBERS) as ErrorCode[]) {
    expect(String(ERROR_NUMBERS[code]), code).toMatch(/^[45]\d{5}$/);
    expect(httpStatusOf(code), code).toBe(
      code === "IotHubNotFound" ? 404 : Number(String(ERROR_NUMBERS[code]).slice(0, 3)),
    );
  }
  expect(new Set(Object.values(ERROR_NUMBERS)).size).toBe(Object.keys(ERROR_NUMBERS).length);
});

test("the text of anything thrown", () => {
  expect(messageOf(new RegistryError("DeviceNotFound", "x"))).toBe("x");
  expect([messageOf("text"), messageOf(undefined), messageOf(5)]).toEqual(["text", "undefined", "5"]);
});

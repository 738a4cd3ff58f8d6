/** What every error of the service API is held to (contract 7). */
import { expect } from "vitest";
import type { Reply } from "./api-client.ts";

const GUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Holds the answer to envelope 1 and gives its code and text. */
export function expectError(reply: Reply, status: number, code: string): string {
  expect([reply.status, reply.headers["iothub-errorcode"]], reply.text).toEqual([status, code]);
  expect(reply.headers["content-type"]).toBe("application/json; charset=utf-8");
  const requestId = String(reply.headers["x-ms-request-id"]);
  expect(requestId).toMatch(GUID);
  expect(Object.keys(reply.body)).toEqual(["Message", "ExceptionMessage"]);
  const parts = String(reply.body["Message"]).split(";");
  // The Node SDK splits at `;` and takes the second part, which must not be empty.
  expect(parts).toHaveLength(2);
  expect(parts[0]).toBe(`ErrorCode:${code}`);
  expect(parts[1]).not.toBe("");
  const stamp = /^Tracking ID:([0-9a-f]{32})-G:\d+-TimeStamp:(\d\d\/\d\d\/\d{4} \d\d:\d\d:\d\d)$/.exec(
    String(reply.body["ExceptionMessage"]),
  );
  expect(stamp?.[1]).toBe(requestId.replaceAll("-", ""));
  expect(Math.abs(Date.parse(`${stamp?.[2]}Z`) - Date.now())).toBeLessThan(60_000);
  return parts[1]!;
}

import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { readAhead } from "../../src/blob/read-ahead.ts";
import { READ_CHUNK_BYTES } from "../../src/limits.ts";

const NEVER = new AbortController().signal;
const THREE_PIECES = { offset: 0, bytesTotal: 3 * READ_CHUNK_BYTES, signal: NEVER };

let unhandled: unknown[];
const onUnhandled = (reason: unknown) => unhandled.push(reason);
beforeEach(() => {
  unhandled = [];
  process.on("unhandledRejection", onUnhandled);
});
afterEach(() => {
  process.off("unhandledRejection", onUnhandled);
});

/** Fails for every piece but the first. */
async function failLater(offset: number): Promise<Buffer> {
  if (offset > 0) throw new Error("cut");
  return Buffer.alloc(READ_CHUNK_BYTES);
}

test("a fetch that fails while the consumer works is thrown at the next piece, and not before", async () => {
  const pieces = readAhead(failLater, THREE_PIECES);
  await pieces.next();
  await sleep(20);
  expect(unhandled).toEqual([]);
  await expect(pieces.next()).rejects.toThrow("cut");
  expect(unhandled).toEqual([]);
});

test("a consumer that leaves never hears of it", async () => {
  for await (const _piece of readAhead(failLater, THREE_PIECES)) {
    await sleep(20);
    break;
  }
  await sleep(20);
  expect(unhandled).toEqual([]);
});

test("a consumer that leaves ends the fetch under way, and waits for its end", async () => {
  const events: string[] = [];
  const fetchRange = async (offset: number, bytes: number, signal: AbortSignal) => {
    if (offset === 0) return Buffer.alloc(bytes);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    await sleep(20);
    events.push("fetch ended");
    throw signal.reason;
  };
  for await (const _piece of readAhead(fetchRange, THREE_PIECES)) break;
  events.push("left");
  expect(events).toEqual(["fetch ended", "left"]);
});

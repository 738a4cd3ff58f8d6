/** ETags as they are on the wire, from the counters that are stored (contract 6). */
import { randomInt } from "node:crypto";

/** Identity: base64 of the counter's decimal digits. */
export function identityEtag(counter: number): string {
  return Buffer.from(String(counter)).toString("base64");
}

/** Twin: base64 of the counter as 8 bytes, big-endian. */
export function twinEtag(counter: number): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(counter));
  return bytes.toString("base64");
}

/** Where the counter of a new identity starts: anywhere, so that a deleted and re-created identity is told apart. */
export function firstIdentityEtag(): number {
  return randomInt(1, 2 ** 31);
}

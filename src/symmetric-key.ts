/** Symmetric keys, of identities and of shared access policies. */
import { randomBytes } from "node:crypto";
import { SYMMETRIC_KEY_BYTES_GENERATED } from "./limits.ts";

/** A new key: base64 of 32 random bytes. */
export function generateSymmetricKey(): string {
  return randomBytes(SYMMETRIC_KEY_BYTES_GENERATED).toString("base64");
}

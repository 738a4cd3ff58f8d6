/** Encryption at rest of what must not lie in the database in clear: SAS URIs of jobs, keys of shared access policies. */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { chmodSync, linkSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;

/** AES-256-GCM. A sealed value is nonce, tag and ciphertext in one Buffer; `context` binds it to its row. */
export class SecretBox {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    if (key.length !== KEY_BYTES) throw new Error(`the secret key must have ${KEY_BYTES} bytes, it has ${key.length}`);
    this.#key = key;
  }

  seal(text: string, context: string): Buffer {
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce).setAAD(Buffer.from(context));
    const body = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
    return Buffer.concat([nonce, cipher.getAuthTag(), body]);
  }

  /** Throws when the value was sealed with another key or for another context. */
  open(sealed: Buffer, context: string): string {
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const tag = sealed.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES);
    const decipher = createDecipheriv("aes-256-gcm", this.#key, nonce).setAAD(Buffer.from(context)).setAuthTag(tag);
    const body = sealed.subarray(NONCE_BYTES + TAG_BYTES);
    try {
      return decipher.update(body, undefined, "utf8") + decipher.final("utf8");
    } catch (cause) {
      throw new Error(
        "a stored secret does not open: HUBFERRY_SECRET_KEY (or <data dir>/secret.key) is not the key it was sealed with",
        { cause },
      );
    }
  }
}

/** Parses HUBFERRY_SECRET_KEY: base64 or hex of 32 bytes. Returns null when it is neither. */
export function parseSecretKey(text: string): Buffer | null {
  if (/^[0-9a-f]{64}$/i.test(text)) return Buffer.from(text, "hex");
  if (/^[A-Za-z0-9+/]{43}=$/.test(text)) return Buffer.from(text, "base64");
  return null;
}

/** Reads `<data dir>/secret.key`, or makes it, readable by its owner alone. Two processes that start together agree on one key. */
export function getSecretKeyOfDataDir(dataDir: string): Buffer {
  const file = join(dataDir, "secret.key");
  const mine = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`;
  writeFileSync(mine, `${randomBytes(KEY_BYTES).toString("base64")}\n`, { mode: 0o600, flag: "wx" });
  try {
    linkSync(mine, file); // fails when the file is there: the first one wins, and is complete at once
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    unlinkSync(mine);
  }
  chmodSync(file, 0o600);
  const key = parseSecretKey(readFileSync(file, "utf8").trim());
  if (key === null) throw new Error(`${file} does not hold a key: it should be base64 of ${KEY_BYTES} bytes`);
  return key;
}

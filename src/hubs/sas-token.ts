/** SAS tokens: `SharedAccessSignature sr=...&sig=...&se=...&skn=...` (contract 8). */
import { createHmac, timingSafeEqual } from "node:crypto";
import { SAS_CLOCK_SKEW_SECONDS } from "../limits.ts";

export interface SasToken {
  /** The resource, as it stands in the token: the signature covers this text. */
  readonly rawResource: string;
  /** Decoded and in lower case. */
  readonly resource: string;
  readonly signature: Buffer;
  /** Seconds since 1970, as it stands in the token. */
  readonly rawExpiry: string;
  /** The policy's name; null when the token names none. */
  readonly policy: string | null;
}

/** Null when the text is no SAS token. Fields come in any order, their names in any case. */
export function parseSasToken(authorization: string): SasToken | null {
  const match = /^SharedAccessSignature\s+(\S+)$/i.exec(authorization.trim());
  if (match === null) return null;
  const fields = new Map<string, string>();
  for (const field of match[1]!.split("&")) {
    const equals = field.indexOf("=");
    if (equals < 0) return null;
    fields.set(field.slice(0, equals).toLowerCase(), field.slice(equals + 1));
  }
  const [sr, sig, se, skn] = ["sr", "sig", "se", "skn"].map((name) => fields.get(name));
  if (sr === undefined || sig === undefined || se === undefined || !/^\d{1,15}$/.test(se)) return null;
  const [resource, signature, policy] = [sr, sig, skn ?? ""].map(decode);
  if (resource == null || signature == null || policy == null) return null;
  return {
    rawResource: sr,
    resource: resource.toLowerCase(),
    signature: Buffer.from(signature, "base64"),
    rawExpiry: se,
    policy: policy || null,
  };
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}

/** Clocks differ: a token is taken for some minutes past its expiry. */
export function isExpired(token: SasToken, nowMs: number): boolean {
  return Number(token.rawExpiry) + SAS_CLOCK_SKEW_SECONDS < nowMs / 1000;
}

/** `key` is base64. The comparison takes the same time wherever the signatures differ. */
export function isSignedWith(token: SasToken, key: string): boolean {
  const expected = createHmac("sha256", Buffer.from(key, "base64"))
    .update(`${token.rawResource}\n${token.rawExpiry}`)
    .digest();
  return token.signature.length === expected.length && timingSafeEqual(token.signature, expected);
}

/**
 * Whether the token's resource is the host, or a path on it that `path` lies under, by whole segments. A port is
 * taken in either, for clients sign the HostName of their connection string as it is written (contract 15).
 */
export function coversResource(token: SasToken, hostNames: readonly string[], path: string): boolean {
  const slash = token.resource.indexOf("/");
  const host = withoutPort(slash < 0 ? token.resource : token.resource.slice(0, slash));
  const prefix = slash < 0 ? "" : token.resource.slice(slash).replace(/\/+$/, "");
  const lowerPath = (decode(path) ?? path).toLowerCase();
  return hostNames.includes(host) && (lowerPath === prefix || lowerPath.startsWith(`${prefix}/`));
}

/** A host of a Host header or a connection string, without its port: `h:1` gives `h`, `[::1]:2` and `::1` give `::1`. */
export function withoutPort(host: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(host);
  if (bracketed !== null) return bracketed[1]!;
  const colon = host.indexOf(":");
  return colon >= 0 && colon === host.lastIndexOf(":") ? host.slice(0, colon) : host;
}

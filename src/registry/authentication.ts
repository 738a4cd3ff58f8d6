/** The authentication mechanism of an identity: rules (contract 6) and its canonical JSON. */
import { RegistryError } from "../errors.ts";
import { SYMMETRIC_KEY_BYTES_MAX, SYMMETRIC_KEY_BYTES_MIN } from "../limits.ts";
import { generateSymmetricKey } from "../symmetric-key.ts";
import { memberNames, readMembers, readObject, readString, readWord, shownWord } from "./json-reader.ts";

const AUTHENTICATION_TYPES = ["sas", "selfSigned", "certificateAuthority", "none"] as const;
type AuthenticationType = (typeof AUTHENTICATION_TYPES)[number];

const MEMBERS = memberNames("symmetricKey", "x509Thumbprint", "type");
const KEY_MEMBERS = memberNames("primaryKey", "secondaryKey");
const THUMBPRINT_MEMBERS = memberNames("primaryThumbprint", "secondaryThumbprint");
/** Together with a length that is a multiple of 4; without groups, which took a tenth of a line's time. */
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const THUMBPRINT = /^(?:[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})$/;

/** What a body says about authentication; types are checked, rules are not. Empty strings count as absent. */
export interface GivenAuthentication {
  readonly type: AuthenticationType | null;
  readonly primaryKey: string | null;
  readonly secondaryKey: string | null;
  readonly primaryThumbprint: string | null;
  readonly secondaryThumbprint: string | null;
}

/** Null where the member is absent or null. Throws DeserializationError. */
export function readAuthentication(value: unknown): GivenAuthentication | null {
  const object = readObject(value, "authentication");
  if (object === null) return null;
  const { symmetricKey, x509Thumbprint, type } = readMembers(object, MEMBERS);
  const keys = readMembers(readObject(symmetricKey, "authentication.symmetricKey") ?? {}, KEY_MEMBERS);
  const thumbprints = readMembers(
    readObject(x509Thumbprint, "authentication.x509Thumbprint") ?? {},
    THUMBPRINT_MEMBERS,
  );
  return {
    type: readWord(type, "authentication.type", AUTHENTICATION_TYPES),
    primaryKey: readString(keys.primaryKey, "authentication.symmetricKey.primaryKey") || null,
    secondaryKey: readString(keys.secondaryKey, "authentication.symmetricKey.secondaryKey") || null,
    primaryThumbprint:
      readString(thumbprints.primaryThumbprint, "authentication.x509Thumbprint.primaryThumbprint") || null,
    secondaryThumbprint:
      readString(thumbprints.secondaryThumbprint, "authentication.x509Thumbprint.secondaryThumbprint") || null,
  };
}

/**
 * The canonical JSON of what was given, with keys generated where a SAS identity brings none. Throws ArgumentInvalid
 * where a rule of contract 6 is broken.
 */
export function renderAuthentication(given: GivenAuthentication | null, deviceId: string, isModule: boolean): string {
  if (given === null) return renderKeys(generateSymmetricKey(), generateSymmetricKey());
  const { primaryKey, secondaryKey, primaryThumbprint, secondaryThumbprint } = given;
  const hasKeys = primaryKey !== null || secondaryKey !== null;
  const hasThumbprints = primaryThumbprint !== null || secondaryThumbprint !== null;
  switch (authenticationType(given, hasThumbprints, isModule)) {
    case "sas":
      if (hasThumbprints) throw keysAndThumbprints(deviceId);
      if (!hasKeys) return renderKeys(generateSymmetricKey(), generateSymmetricKey());
      return renderKeys(checkKey(primaryKey), checkKey(secondaryKey));
    case "selfSigned":
      if (hasKeys) throw keysAndThumbprints(deviceId);
      checkThumbprints(primaryThumbprint, secondaryThumbprint);
      return renderThumbprints(primaryThumbprint, secondaryThumbprint, "selfSigned");
    case "certificateAuthority":
      if (hasKeys || hasThumbprints)
        throw new RegistryError(
          "ArgumentInvalid",
          `Device ${deviceId} with authentication type certificateAuthority cannot specify keys or thumbprints.`,
        );
      return renderThumbprints(null, null, "certificateAuthority");
    case "none":
      throw new RegistryError("ArgumentInvalid", `Device ${deviceId} cannot have authentication type none.`);
  }
}

/** System modules of an edge device authenticate through the device. */
export const NO_AUTHENTICATION = renderThumbprints(null, null, "none");

/** A missing type follows from what is there, as the SDKs infer it; a module's `none` counts as `sas` (contract 6). */
function authenticationType(
  given: GivenAuthentication,
  hasThumbprints: boolean,
  isModule: boolean,
): AuthenticationType {
  if (given.type === null) return hasThumbprints ? "selfSigned" : "sas";
  return given.type === "none" && isModule ? "sas" : given.type;
}

function checkKey(key: string | null): string {
  if (key === null) throw new RegistryError("ArgumentInvalid", "Either no keys or both keys can be set.");
  const bytes = (key.length / 4) * 3 - (key.endsWith("==") ? 2 : key.endsWith("=") ? 1 : 0);
  if (key.length % 4 !== 0 || !BASE64.test(key))
    throw new RegistryError("ArgumentInvalid", "Invalid device key: it is not base64.");
  if (bytes < SYMMETRIC_KEY_BYTES_MIN || bytes > SYMMETRIC_KEY_BYTES_MAX) {
    throw new RegistryError(
      "ArgumentInvalid",
      `Invalid device key length: it should be ${SYMMETRIC_KEY_BYTES_MIN} to ${SYMMETRIC_KEY_BYTES_MAX} bytes, it is ${bytes}.`,
    );
  }
  return key;
}

function checkThumbprints(...thumbprints: readonly (string | null)[]): void {
  const given = thumbprints.filter((thumbprint) => thumbprint !== null);
  for (const thumbprint of given) {
    if (!THUMBPRINT.test(thumbprint))
      throw new RegistryError(
        "ArgumentInvalid",
        `Invalid thumbprint: it should be 40 or 64 hexadecimal digits, it is ${shownWord(thumbprint)}.`,
      );
  }
  if (new Set(given.map((thumbprint) => thumbprint.length)).size > 1) {
    throw new RegistryError("ArgumentInvalid", "The primary and the secondary thumbprint should have the same length.");
  }
}

function keysAndThumbprints(deviceId: string): RegistryError {
  return new RegistryError("ArgumentInvalid", `Device ${deviceId} cannot specify both symmetric keys and thumbprints.`);
}

/** Keys are base64: nothing in them needs escaping. */
function renderKeys(primary: string, secondary: string): string {
  return `{"symmetricKey":{"primaryKey":"${primary}","secondaryKey":"${secondary}"},"x509Thumbprint":{"primaryThumbprint":null,"secondaryThumbprint":null},"type":"sas"}`;
}

function renderThumbprints(primary: string | null, secondary: string | null, type: AuthenticationType): string {
  const thumbprints = `{"primaryThumbprint":${JSON.stringify(primary)},"secondaryThumbprint":${JSON.stringify(secondary)}}`;
  return `{"symmetricKey":{"primaryKey":null,"secondaryKey":null},"x509Thumbprint":${thumbprints},"type":"${type}"}`;
}

/** The hub's own certificate authority: SDKs insist on HTTPS, so a hub whose operator gave no certificate makes one. */
// oxlint-disable-next-line import/no-unassigned-import -- @peculiar/x509 does not load without it
import "reflect-metadata";
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  type KeyObject,
  type webcrypto,
} from "node:crypto";
import { linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { isIP } from "node:net";
import { join } from "node:path";
import * as x509 from "@peculiar/x509";

const DAY_MS = 86_400_000;
const CA_DAYS = 3_650;
/** The most that TLS clients take (CA/Browser Forum baseline 6.3.2 allowed 398, Apple counts strictly). */
const LEAF_DAYS_MAX = 397;
/** Certificates are valid from this long ago, for clients whose clock is behind. */
const BACKDATED_MS = 3_600_000;
const CURVE = { name: "ECDSA", namedCurve: "P-256" };
const SIGNING = { name: "ECDSA", hash: "SHA-256" };

/** PEM texts, as `https.createServer` takes them: `cert` is the leaf followed by the authority's certificate. */
export interface IssuedCertificate {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateAuthority {
  /** Path of the authority's certificate, which clients are to trust. */
  readonly caFile: string;
  /**
   * Issues a server certificate for DNS names (a leading `*.` is allowed) and IP addresses, valid 397 days or up to the
   * authority's own end. Throws an Error that lists the names that are neither.
   */
  issue(names: readonly string[]): Promise<IssuedCertificate>;
}

/**
 * Reads `<dir>/ca.pem` and `<dir>/ca-key.pem`, or makes them. Processes that start together agree on one authority.
 * Throws when the authority has expired or the two files do not belong together; nothing is renewed unasked, because
 * every client would have to trust the new one.
 */
export async function openCertificateAuthority(dir: string): Promise<CertificateAuthority> {
  const caFile = join(dir, "ca.pem");
  const keyFile = join(dir, "ca-key.pem");
  mkdirSync(dir, { recursive: true });
  const certificateText = findFile(caFile);
  const key = parseKey(openKeyText(keyFile, certificateText === null ? null : caFile), keyFile);
  const text = certificateText ?? createOnce(caFile, await makeAuthority(key), 0o644);
  const authority = parseAuthority(text, caFile, key, keyFile);
  checkValid(authority, caFile);
  return {
    caFile,
    issue: async (names) => {
      checkValid(authority, caFile);
      return issueLeaf(authority, key, names);
    },
  };
}

/** `caFile`: the certificate that is there already, whose key cannot be made up afterwards; null when there is none. */
function openKeyText(keyFile: string, caFile: string | null): string {
  const there = findFile(keyFile);
  if (there !== null) return there;
  if (caFile !== null)
    throw new Error(
      `${caFile} is there but its key ${keyFile} is not: restore the key, or delete ${caFile} to get a new authority`,
    );
  return createOnce(keyFile, pemOf(generateKeyPairSync("ec", CURVE).privateKey), 0o600);
}

function parseKey(text: string, keyFile: string): KeyObject {
  try {
    const key = createPrivateKey(text);
    if (key.asymmetricKeyDetails?.namedCurve === "prime256v1") return key;
  } catch (cause) {
    throw new Error(`${keyFile} does not hold a private key in PEM`, { cause });
  }
  throw new Error(`${keyFile} should hold an ECDSA key on the curve P-256`);
}

function parseAuthority(text: string, caFile: string, key: KeyObject, keyFile: string): x509.X509Certificate {
  const authority = parseCertificate(text, caFile);
  if (Buffer.from(authority.publicKey.rawData).equals(publicDerOf(key))) return authority;
  throw new Error(`${keyFile} is not the key of ${caFile}: delete both to get a new authority`);
}

function parseCertificate(text: string, caFile: string): x509.X509Certificate {
  try {
    return new x509.X509Certificate(text);
  } catch (cause) {
    throw new Error(`${caFile} does not hold a certificate in PEM`, { cause });
  }
}

function checkValid(authority: x509.X509Certificate, caFile: string): void {
  if (authority.notAfter.getTime() > Date.now()) return;
  const end = authority.notAfter.toISOString();
  throw new Error(
    `the certificate authority ${caFile} expired at ${end}: ` +
      `delete ${caFile}, start again, and have clients trust the new one`,
  );
}

async function makeAuthority(key: KeyObject): Promise<string> {
  const keys = cryptoKeysOf(key);
  // Two authorities of one name would be mixed up by clients that trust both.
  const id = createHash("sha256").update(publicDerOf(key)).digest("hex").slice(0, 8);
  const notBefore = Date.now() - BACKDATED_MS;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: [{ CN: [`hubferry CA ${id}`] }],
    keys,
    signingAlgorithm: SIGNING,
    notBefore: new Date(notBefore),
    notAfter: new Date(notBefore + CA_DAYS * DAY_MS),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return `${certificate.toString("pem")}\n`;
}

async function issueLeaf(
  authority: x509.X509Certificate,
  caKey: KeyObject,
  names: readonly string[],
): Promise<IssuedCertificate> {
  const alternativeNames = parseNames(names);
  const leafKey = generateKeyPairSync("ec", CURVE).privateKey;
  const { publicKey } = cryptoKeysOf(leafKey);
  const notBefore = Math.max(Date.now() - BACKDATED_MS, authority.notBefore.getTime());
  const leaf = await x509.X509CertificateGenerator.create({
    subject: [{ CN: ["hubferry"] }], // clients look at the alternative names alone (RFC 9525)
    issuer: authority.subjectName,
    publicKey,
    signingKey: cryptoKeysOf(caKey).privateKey,
    signingAlgorithm: SIGNING,
    notBefore: new Date(notBefore),
    notAfter: new Date(Math.min(notBefore + LEAF_DAYS_MAX * DAY_MS, authority.notAfter.getTime())),
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(alternativeNames),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  return { cert: `${leaf.toString("pem")}\n${authority.toString("pem")}\n`, key: pemOf(leafKey) };
}

function parseNames(names: readonly string[]): x509.JsonGeneralNames {
  const unfit = names.filter((name) => nameTypeOf(name) === null);
  if (unfit.length > 0)
    throw new Error(`not a DNS name or an IP address: ${unfit.map((name) => JSON.stringify(name)).join(", ")}`);
  if (names.length === 0) throw new Error("a certificate needs at least one DNS name or IP address");
  return [...new Set(names.map((name) => name.toLowerCase()))].map((value) => ({
    type: nameTypeOf(value) ?? "dns",
    value,
  }));
}

function nameTypeOf(name: string): "dns" | "ip" | null {
  if (isIP(name) !== 0) return name.includes("%") ? null : "ip"; // an IPv6 zone means nothing on another machine
  const labels = name.replace(/^\*\./, "").split(".");
  const wellFormed = name.length <= 253 && labels.every((label) => /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/i.test(label));
  // A last label of digits alone is a mistyped IPv4 address (RFC 3696 section 2).
  return wellFormed && !/^\d+$/.test(labels.at(-1) ?? "") ? "dns" : null;
}

function cryptoKeysOf(key: KeyObject): webcrypto.CryptoKeyPair {
  return {
    privateKey: key.toCryptoKey(CURVE, true, ["sign"]),
    publicKey: createPublicKey(key).toCryptoKey(CURVE, true, ["verify"]),
  };
}

function pemOf(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" });
}

function publicDerOf(key: KeyObject): Buffer {
  return createPublicKey(key).export({ type: "spki", format: "der" });
}

function findFile(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

/** Writes the file unless it is there; returns what it holds. link(2) fails when it is: the first one wins, whole. */
function createOnce(file: string, text: string, mode: number): string {
  const mine = `${file}.${process.pid}.${randomBytes(4).toString("hex")}`;
  writeFileSync(mine, text, { mode, flag: "wx" });
  try {
    linkSync(mine, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    unlinkSync(mine);
  }
  return readFileSync(file, "utf8");
}

/**
 * The allow list of storage hosts. The server dials what a job's URIs say, so without a list a caller could make it
 * talk to any address that it can reach: its own database, a metadata service at 169.254.169.254, an SSH port.
 */
import { RegistryError } from "../errors.ts";

/** Blob end points of Azure's public and sovereign clouds, and of accounts with DNS-zone end points. */
export const STORAGE_HOSTS_DEFAULT: string = [
  "*.blob.core.windows.net",
  "*.blob.core.usgovcloudapi.net",
  "*.blob.core.chinacloudapi.cn",
  "*.blob.core.cloudapi.de",
  "*.blob.storage.azure.net",
].join(",");

interface StorageHost {
  /** Exact: a host name as URL spells it. Otherwise the suffix with its leading dot. */
  readonly host: string;
  readonly exact: boolean;
  /** null: only the default port of the URI's scheme. */
  readonly port: number | null;
}

export type StorageHosts = readonly StorageHost[];

const DNS_NAME = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;
const PORT_MAX = 65_535;

/**
 * Parses a comma-separated list of `host`, `host:port`, `[ipv6]:port` and `*.suffix`. An empty text allows nothing.
 * Throws an Error that names the first bad entry.
 */
export function parseStorageHosts(text: string): StorageHosts {
  const entries = text.split(",").map((entry) => entry.trim().toLowerCase());
  return entries.filter((entry) => entry !== "").map((entry) => parseEntry(entry));
}

/**
 * Parses the URI of a container, with or without a SAS: host-style (`https://account.host/container`) or path-style
 * (`http://127.0.0.1:10000/account/container`). Throws a RegistryError: ArgumentInvalid when it is not such a URI,
 * BlobContainerValidationError when its host is not allowed. No text holds the query string.
 */
export function checkStorageUri(uri: string, hosts: StorageHosts): URL {
  const url = parseUri(uri);
  checkHost(url, hosts);
  url.pathname = containerSegments(url).join("/");
  return url;
}

/** Whether a request to this URL may be sent: its scheme, host and port. The path is not looked at. */
export function isHostAllowed(url: URL, hosts: StorageHosts): boolean {
  return hosts.some((entry) => isMatch(url, entry));
}

function parseEntry(entry: string): StorageHost {
  if (entry.startsWith("*.")) return parseWildcard(entry);
  const [, name, digits] = /^(\[[0-9a-f:.]+\]|[^:[\]/@?#\\*%\s]+)(?::(\d{1,5}))?$/.exec(entry) ?? [];
  if (name === undefined || !URL.canParse(`http://${name}/`)) throw badEntry(entry);
  const port = digits === undefined ? null : Number(digits);
  if (port === 0 || (port ?? 0) > PORT_MAX) throw badEntry(entry);
  return { host: new URL(`http://${name}/`).hostname, exact: true, port };
}

/** Two labels at least: a wildcard over a whole top-level domain would be no list at all. */
function parseWildcard(entry: string): StorageHost {
  const suffix = entry.slice(2);
  if (!DNS_NAME.test(suffix) || !suffix.includes(".")) throw badEntry(entry);
  return { host: `.${suffix}`, exact: false, port: null };
}

function badEntry(entry: string): Error {
  return new Error(
    `"${entry}" is no storage host: it should be host, host:port or *.suffix, such as *.blob.core.windows.net`,
  );
}

/**
 * What URL would quietly repair is refused instead: blanks, backslashes, characters that IDNA folds to dots, missing
 * slashes. What it normalises (case, numeric forms of an address) is compared after it has done so.
 */
function parseUri(uri: string): URL {
  if (/[^\x21-\x7e]|\\/.test(uri)) throw invalid("holds a blank, a backslash or a character outside ASCII");
  if (!/^https?:\/\/[^/]/i.test(uri)) throw invalid("does not start with https://");
  const authority = /^https?:\/\/([^/?#]*)/i.exec(uri)?.[1] ?? "";
  if (authority.includes("@")) throw invalid("holds a user name");
  if (uri.includes("#")) throw invalid("holds a fragment");
  if (!URL.canParse(uri)) throw invalid("is not a URL");
  return new URL(uri);
}

function checkHost(url: URL, hosts: StorageHosts): void {
  if (isHostAllowed(url, hosts)) return;
  throw new RegistryError("BlobContainerValidationError", refusalText(url, hosts));
}

/** The reason why no request is sent to this URL. Without its path and query. */
export function refusalText(url: URL, hosts: StorageHosts): string {
  const scheme = url.protocol === "http:" && hosts.some((entry) => isMatch(toHttps(url), entry));
  if (scheme) return `The storage host '${safeHost(url)}' is allowed over https only.`;
  return `The storage host '${safeHost(url)}' is not allowed, HUBFERRY_STORAGE_HOSTS lists the hosts that are.`;
}

/** Over plain http a SAS travels in clear: only a host that the operator named in full may be used so. */
function isMatch(url: URL, entry: StorageHost): boolean {
  if (entry.exact) return url.hostname === entry.host && isPortMatch(url, entry.port);
  if (url.protocol !== "https:" || url.port !== "") return false;
  return url.hostname.endsWith(entry.host) && DNS_NAME.test(url.hostname);
}

function isPortMatch(url: URL, port: number | null): boolean {
  if (url.protocol !== "https:" && url.protocol !== "http:") return false;
  if (port === null) return url.port === "";
  return port === Number(url.port || (url.protocol === "https:" ? 443 : 80));
}

function toHttps(url: URL): URL {
  return new URL(url.href.replace(/^http:/, "https:"));
}

/** A host may hold characters that would break an answer apart (the Node SDK splits texts at `;`). */
function safeHost(url: URL): string {
  return url.host.replace(/[^a-z0-9.:[\]_-]/g, "_");
}

/** One segment, or the account and the container where the host does not name the account. */
function containerSegments(url: URL): string[] {
  const segments = url.pathname.replace(/\/$/, "").split("/").slice(1);
  if (segments.length === 0 || segments[0] === "") throw invalid("names no container");
  const isPath = segments.every((segment) => /^[$A-Za-z0-9_-]+$/.test(segment)) && segments.length <= 2;
  if (!isPath) throw invalid("should end with the name of a container");
  return segments;
}

function invalid(reason: string): RegistryError {
  return new RegistryError("ArgumentInvalid", `The URI of the blob container ${reason}.`);
}

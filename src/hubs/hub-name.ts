/** Names of hubs and the host names they answer to. */
import { isIP } from "node:net";
import { RegistryError } from "../errors.ts";

/** As Azure: 3 to 50 letters, digits and inner hyphens. */
const HUB_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9-]{1,48})[A-Za-z0-9]$/;
const DNS_NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;

/** Throws ArgumentInvalid. */
export function checkHubName(name: string): string {
  if (!HUB_NAME.test(name))
    throw new RegistryError(
      "ArgumentInvalid",
      `"${name}" is no name for a hub: it should have 3 to 50 letters, digits or inner hyphens.`,
    );
  return name;
}

/** In lower case, without port or brackets. Throws ArgumentInvalid. */
export function checkHostName(hostName: string): string {
  const name = hostName.toLowerCase();
  if (isIP(name) === 0 && !DNS_NAME.test(name))
    throw new RegistryError(
      "ArgumentInvalid",
      `"${hostName}" is no host name: give a DNS name or an IP address, without port.`,
    );
  return name;
}

/** A name under .localhost never leaves the machine (RFC 6761). */
export function defaultHostName(hubName: string): string {
  return `${hubName.toLowerCase()}.localhost`;
}

/** What the hub that was created first answers to where no other hub claims it. */
export function isLoopbackName(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/**
 * What a SAS says about itself. Its fields are readable by whoever holds it; only the signature is secret, and it is
 * not part of the description. Source: "Create a service SAS" and "Create an account SAS" of the Azure documentation.
 */

export interface SasDescription {
  /** `se`; null when a stored access policy says it. */
  readonly expiresAt: Date | null;
  /** `st` */
  readonly startsAt: Date | null;
  /** `sp`, such as `rwd`; null when a stored access policy says it. */
  readonly permissions: string | null;
  /** `sr`: c container, b blob, d directory; null in an account SAS. */
  readonly resource: string | null;
  /** `srt` of an account SAS: s service, c container, o object. */
  readonly resourceTypes: string | null;
  /** `ss` of an account SAS: b blob, f file, q queue, t table. */
  readonly services: string | null;
  /** `spr`: `https` or `https,http`. */
  readonly protocols: string | null;
  /** `sip`: an address or a range. */
  readonly addresses: string | null;
  /** `si`: the stored access policy of the container. */
  readonly policy: string | null;
}

/** Returns null when the URL has no SAS, that is, no signature. */
export function describeSas(url: URL): SasDescription | null {
  const query = url.searchParams;
  if (!query.get("sig")) return null;
  return {
    expiresAt: parseTime(query.get("se")),
    startsAt: parseTime(query.get("st")),
    permissions: query.get("sp"),
    resource: query.get("sr"),
    resourceTypes: query.get("srt"),
    services: query.get("ss"),
    protocols: query.get("spr"),
    addresses: query.get("sip"),
    policy: query.get("si"),
  };
}

export function isExpired(sas: SasDescription | null, now: Date): boolean {
  return sas?.expiresAt != null && sas.expiresAt <= now;
}

/**
 * Why a SAS cannot give the permission (`r`, `w` or `d`), as a sentence; null when nothing in it says so, which does
 * not mean that storage will take it. `st` is left to storage, whose clock decides.
 */
export function reasonSasCannot(permission: string, sas: SasDescription, url: URL, now: Date): string | null {
  if (isExpired(sas, now)) return `The SAS expired at ${timeText(sas.expiresAt)}.`;
  if (sas.resource !== null && sas.resource !== "c")
    return `The SAS is for ${resourceText(sas.resource)}, it needs a container (sr=c).`;
  if (sas.services !== null && !sas.services.includes("b"))
    return `The SAS is for the services '${word(sas.services)}', it needs 'b' (ss=b).`;
  if (sas.resourceTypes !== null && !sas.resourceTypes.includes("o"))
    return `The SAS is for the resource types '${word(sas.resourceTypes)}', it needs 'o' (srt=o).`;
  if (sas.protocols === "https" && url.protocol !== "https:") return "The SAS is for https only, the URI is http.";
  if (sas.permissions !== null && !sas.permissions.includes(permission))
    return `The SAS grants '${word(sas.permissions)}', it needs '${permission}'.`;
  return null;
}

/** Why storage refused a SAS in which nothing seemed wrong, as a sentence; null when its fields do not tell. */
export function reasonSasRefused(sas: SasDescription, now: Date): string | null {
  if (sas.startsAt !== null && sas.startsAt > now) return `The SAS is not valid before ${timeText(sas.startsAt)}.`;
  if (sas.policy !== null) return `The SAS depends on the stored access policy '${word(sas.policy)}' of the container.`;
  return null;
}

/** As SAS fields are written: UTC, without milliseconds. */
export function timeText(time: Date | null): string {
  return time === null ? "an unknown time" : time.toISOString().replace(".000Z", "Z");
}

/** Azure takes YYYY-MM-DD, with Thh:mmZ or Thh:mm:ssZ; a time without a zone is UTC. */
function parseTime(text: string | null): Date | null {
  if (text === null) return null;
  const time = new Date(/T[\d:.]+$/.test(text) ? `${text}Z` : text);
  return Number.isNaN(time.getTime()) ? null : time;
}

function resourceText(resource: string): string {
  if (resource === "b") return "one blob (sr=b)";
  if (resource === "d") return "a directory (sr=d)";
  return `another kind of resource (sr=${word(resource)})`;
}

/** A field is the caller's text and is shown: a short word or nothing. */
function word(text: string): string {
  return text.replace(/[^\w-]/g, "_").slice(0, 64);
}

/** Who may do what: SAS tokens against the hub's shared access policies (contract 8). */
import { RegistryError } from "../errors.ts";
import { hasRight, type Right } from "../hubs/policies.ts";
import { coversResource, isExpired, isSignedWith, parseSasToken } from "../hubs/sas-token.ts";
import { isLoopbackName } from "../hubs/hub-name.ts";
import type { ServedHub } from "./hub-directory.ts";

/** What of a request matters here. */
export interface Claim {
  readonly authorization: string | undefined;
  readonly hub: ServedHub;
  /** The host that the request was sent to: a hub may answer to names that it does not list. */
  readonly host: string;
  readonly path: string;
}

/** Throws IotHubUnauthorizedAccess. The caller is not told which part is wrong: the key, the name or the expiry. */
export function authorize({ authorization, hub, host, path }: Claim, right: Right): void {
  const token = authorization === undefined ? null : parseSasToken(authorization);
  if (token === null || isExpired(token, Date.now())) throw unauthorized();
  const hostNames = isLoopbackName(host) ? [...hub.hostNames, host] : hub.hostNames;
  if (!coversResource(token, hostNames, path)) throw unauthorized();
  const policies = hub.policies.filter((policy) => token.policy === null || policy.name === token.policy);
  const granted = policies.filter(
    (policy) => isSignedWith(token, policy.primaryKey) || isSignedWith(token, policy.secondaryKey),
  );
  if (!granted.some((policy) => hasRight(policy.rights, right))) throw unauthorized();
}

function unauthorized(): RegistryError {
  return new RegistryError("IotHubUnauthorizedAccess", "Unauthorized");
}

/**
 * What storage answered, in our words. The SDK's errors carry the request with the SAS in its URL, so none of them
 * leaves this folder: not as a cause, and not as a text.
 */
import { isRestError, type RestError } from "@azure/storage-blob";
import { isExpired, type SasDescription, timeText } from "./sas.ts";

export type BlobErrorKind =
  | "notFound"
  | "containerNotFound"
  | "unauthorized"
  | "expired"
  | "changed"
  | "refusedHost"
  | "unavailable"
  | "invalid";

/** Which kinds may pass by themselves. `changed` does not: the blob that was read from is gone. */
const RETRYABLE: Record<BlobErrorKind, boolean> = {
  notFound: false,
  containerNotFound: false,
  unauthorized: false,
  expired: false,
  changed: false,
  refusedHost: false,
  unavailable: true,
  invalid: false,
};

/** The message is safe to show: it names blob and container, Azure's code and the HTTP status. */
export class BlobError extends Error {
  readonly kind: BlobErrorKind;
  readonly retryable: boolean;
  readonly blob: string;
  /** What went wrong, without the names: `BlobNotFound (HTTP 404)`, `ECONNREFUSED`. */
  readonly detail: string;
  /** Azure's error code; null when storage did not answer. */
  readonly azureCode: string | null;

  constructor(kind: BlobErrorKind, action: BlobAction, detail: string, azureCode: string | null = null) {
    super(`cannot ${action.verb} blob '${action.blob}' of ${action.place}: ${detail}`);
    this.name = "BlobError";
    this.kind = kind;
    this.retryable = RETRYABLE[kind];
    this.blob = action.blob;
    this.detail = detail;
    this.azureCode = azureCode;
  }
}

/** What was being done, for the message: `write blob 'devices.txt' of https://account.host/container`. */
export interface BlobAction {
  readonly verb: "look at" | "read" | "write" | "delete";
  readonly blob: string;
  /** URL of the container without its query. */
  readonly place: string;
  readonly sas: SasDescription | null;
}

/** Thrown by our HTTP client, which does not know the action: told apart from network errors, which are tried again. */
export class RefusedHost extends Error {
  override readonly name = "RefusedHost";
}

/** Translates anything that the SDK throws. A BlobError is returned as it is. */
export function toBlobError(error: unknown, action: BlobAction): BlobError {
  if (error instanceof BlobError) return error;
  if (error instanceof RefusedHost) return new BlobError("refusedHost", action, error.message);
  if (isAbort(error)) return new BlobError("unavailable", action, "the connection was cut");
  // The message of an unknown error may quote the URL, as that of an invalid URL does.
  if (!isRestError(error)) return new BlobError("invalid", action, "the request could not be made");
  if (error.statusCode === undefined) return new BlobError("unavailable", action, networkDetail(error));
  return answerError(error, error.statusCode, action);
}

function answerError(error: RestError, status: number, action: BlobAction): BlobError {
  const code = azureCodeOf(error);
  const kind = kindOf(status, code, action.sas);
  const answer = code === null ? `HTTP ${status}` : `${code} (HTTP ${status})`;
  const detail =
    kind === "expired" ? `the SAS expired at ${timeText(action.sas?.expiresAt ?? null)}, ${answer}` : answer;
  return new BlobError(kind, action, detail, code);
}

/** The code is in a header too, which is all that the answer to a HEAD has. */
export function azureCodeOf(error: unknown): string | null {
  if (!isRestError(error)) return null;
  const code = error.response?.headers.get("x-ms-error-code") ?? error.code ?? "";
  return /^[A-Za-z]{1,80}$/.test(code) ? code : null;
}

/** Azurite and Azure answer an expired SAS with different codes, so its own `se` decides. */
function kindOf(status: number, code: string | null, sas: SasDescription | null): BlobErrorKind {
  if (status === 401 || status === 403) return isExpired(sas, new Date()) ? "expired" : "unauthorized";
  if (code === "ContainerNotFound" || code === "ContainerBeingDeleted") return "containerNotFound";
  if (status === 404) return "notFound";
  if (status === 412 && (code === null || code === "ConditionNotMet")) return "changed";
  // Another writer's commit threw our blocks away: that of an attempt that was killed may arrive late. All begins anew.
  if (code === "InvalidBlockList") return "unavailable";
  if (status === 408 || status === 429 || status >= 500) return "unavailable";
  return "invalid";
}

/** The SDK takes a connection that closes in the middle of a body for an abort. */
function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}

/** The system's code alone: a message may quote the URL. */
function networkDetail(error: RestError): string {
  return /^[A-Z0-9_]{1,60}$/.test(error.code ?? "") ? `${error.code}` : "the request failed";
}

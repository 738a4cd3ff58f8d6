/** If-Match in all the forms that clients send (contract 1.0 and 1.2). */
import { RegistryError } from "../errors.ts";
import type { ImportMode } from "../registry/import-mode.ts";

/** A precondition: none at all, any version, or one version (unquoted ETag). */
export type Precondition = "none" | "any" | { readonly etag: string };

/** `""` counts as none; `*` comes quoted from the SDKs; ETags come with and without quotes, weak ones too. */
export function readIfMatch(header: string | undefined): Precondition {
  const text = (header ?? "").trim().replace(/^W\//, "");
  const value = text.length >= 2 && text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
  if (value === "") return "none";
  return value === "*" ? "any" : { etag: value };
}

/** PUT without a precondition creates, with one it updates (contract 1.2). */
export function putMode(precondition: Precondition): { mode: ImportMode; etag: string | null } {
  if (precondition === "none") return { mode: "create", etag: null };
  return precondition === "any"
    ? { mode: "update", etag: null }
    : { mode: "updateIfMatchETag", etag: precondition.etag };
}

/** The ETag to match, null for any. DELETE without a precondition is refused (contract 1.2 and 13). */
export function deleteEtag(precondition: Precondition): string | null {
  if (precondition === "none") throw new RegistryError("PreconditionFailed", "Etag missing");
  return precondition === "any" ? null : precondition.etag;
}

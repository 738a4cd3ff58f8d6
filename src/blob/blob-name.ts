/** Names of blobs, which callers choose. */
import { RegistryError } from "../errors.ts";
import { BLOB_NAME_LENGTH_MAX } from "./bounds.ts";

/**
 * Throws a RegistryError ArgumentInvalid for a name that is no blob's. A segment `.` or `..` would be resolved when
 * the URL is built, and with an account SAS `../other/x` would be a blob of another container.
 */
export function checkBlobName(name: string): void {
  const refuse = (reason: string) => {
    throw new RegistryError("ArgumentInvalid", `The blob name ${reason}.`);
  };
  if (name === "") refuse("is empty");
  if (name.length > BLOB_NAME_LENGTH_MAX) refuse(`is longer than ${BLOB_NAME_LENGTH_MAX} characters`);
  if (/[\p{Cc}\\]/u.test(name)) refuse("holds a control character or a backslash");
  if (!name.isWellFormed()) refuse("is not well-formed Unicode");
  if (name.split("/").some((segment) => segment === "." || segment === "..")) refuse("has a segment . or ..");
}

/** The body of POST /jobs/create (contract 2). */
import { checkBlobName } from "../blob/blob-name.ts";
import { RegistryError } from "../errors.ts";
import type { JobParameters, JobSecrets, JobType } from "../jobs/job.ts";
import {
  type JsonObject,
  memberNames,
  readBoolean,
  readMembers,
  readString,
  shownWord,
} from "../registry/json-reader.ts";

export interface JobRequest {
  readonly type: JobType;
  readonly parameters: JobParameters;
  readonly secrets: JobSecrets;
  /** As it was sent; null when it was not. */
  readonly storageAuthenticationType: string | null;
}

/** Read-only members, which the C# client sends too, are not listed and so ignored. */
const MEMBERS = memberNames(
  "type",
  "inputBlobContainerUri",
  "inputBlobName",
  "outputBlobContainerUri",
  "outputBlobName",
  "excludeKeysInExport",
  "storageAuthenticationType",
  "includeConfigurations",
);
type Members = ReturnType<typeof readJobMembers>;

function readJobMembers(body: JsonObject) {
  return readMembers(body, MEMBERS);
}

/** Throws ArgumentInvalid that names the member. */
export function readJobRequest(body: JsonObject): JobRequest {
  try {
    const members = readJobMembers(body);
    const storageAuthenticationType = readStorageAuthentication(members);
    refuseUnsupported(members);
    const request = readType(members) === "import" ? readImport(members) : readExport(members);
    return { ...request, storageAuthenticationType };
  } catch (error) {
    throw error instanceof RegistryError ? new RegistryError("ArgumentInvalid", error.message) : error;
  }
}

function readType({ type }: Members): JobType {
  const text = readString(type, "type");
  const known = (["import", "export"] as const).find((candidate) => candidate === text?.toLowerCase());
  if (known === undefined)
    throw new RegistryError(
      "ArgumentInvalid",
      `'type' should be import or export, it is ${text === null ? "missing" : shownWord(text)}.`,
    );
  return known;
}

function readStorageAuthentication({ storageAuthenticationType }: Members): string | null {
  const storage = readString(storageAuthenticationType, "storageAuthenticationType");
  if (storage !== null && storage.toLowerCase() !== "keybased")
    throw new RegistryError(
      "ArgumentInvalid",
      `'storageAuthenticationType' ${shownWord(storage)} is not supported: give container URIs with a SAS.`,
    );
  return storage;
}

/** What would be silently left out is refused. */
function refuseUnsupported({ includeConfigurations }: Members): void {
  if (readBoolean(includeConfigurations, "includeConfigurations") === true)
    throw new RegistryError("ArgumentInvalid", "'includeConfigurations' is not supported.");
}

type TypedRequest = Omit<JobRequest, "storageAuthenticationType">;

function readImport(members: Members): TypedRequest {
  const inputBlobContainerUri = readUri(members.inputBlobContainerUri, "inputBlobContainerUri");
  const outputBlobContainerUri = readUri(members.outputBlobContainerUri, "outputBlobContainerUri");
  const inputBlobName = readBlobName(members.inputBlobName, "inputBlobName", "devices.txt");
  const outputBlobName = readBlobName(members.outputBlobName, "outputBlobName", "importErrors.log");
  if (
    inputBlobName === outputBlobName &&
    withoutQuery(inputBlobContainerUri) === withoutQuery(outputBlobContainerUri)
  ) {
    throw new RegistryError("ArgumentInvalid", `'outputBlobName' is the input blob itself, "${inputBlobName}".`);
  }
  const containers = {
    inputBlobContainer: withoutQuery(inputBlobContainerUri),
    outputBlobContainer: withoutQuery(outputBlobContainerUri),
  };
  return {
    type: "import",
    parameters: { inputBlobName, outputBlobName, excludeKeysInExport: false, ...containers },
    secrets: { inputBlobContainerUri, outputBlobContainerUri },
  };
}

function readExport(members: Members): TypedRequest {
  const excludeKeysInExport = readBoolean(members.excludeKeysInExport, "excludeKeysInExport") ?? false;
  const outputBlobName = readBlobName(members.outputBlobName, "outputBlobName", "devices.txt");
  const outputBlobContainerUri = readUri(members.outputBlobContainerUri, "outputBlobContainerUri");
  return {
    type: "export",
    parameters: { outputBlobName, excludeKeysInExport, outputBlobContainer: withoutQuery(outputBlobContainerUri) },
    secrets: { outputBlobContainerUri },
  };
}

function readUri(value: unknown, name: string): string {
  const text = readString(value, name) ?? "";
  if (text === "") throw new RegistryError("ArgumentInvalid", `'${name}' is missing.`);
  return text;
}

function readBlobName(value: unknown, name: string, otherwise: string): string {
  const text = readString(value, name) || otherwise;
  try {
    checkBlobName(text);
  } catch (error) {
    throw error instanceof RegistryError ? new RegistryError(error.code, `'${name}': ${error.message}`) : error;
  }
  return text;
}

/** The URI without what may hold a SAS. */
function withoutQuery(uri: string): string {
  return uri.split(/[?#]/, 1)[0]!;
}

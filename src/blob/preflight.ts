/**
 * The checks of a job's containers before the job is accepted: some clients poll only for `completed`, so a job that
 * cannot run must be refused at submission, with the reason (contract 4.5, 15). Each check does what the job will do.
 */
import { randomUUID } from "node:crypto";
import { type ErrorCode, RegistryError } from "../errors.ts";
import { BlobError } from "./blob-error.ts";
import { PREFLIGHT_MS_MAX } from "./bounds.ts";
import type { BlobContainer, BlobStat } from "./container.ts";
import { reasonSasCannot, reasonSasRefused, timeText } from "./sas.ts";

export interface PreflightOptions {
  readonly signal?: AbortSignal;
  /** For the whole check. */
  readonly msMax?: number;
}

/** The words of Azure's own answers, which come first. */
const WORDS = {
  w: "Unauthorized to write to output blob container.",
  r: "Unauthorized to read from output blob container.",
  d: "Unauthorized to delete from output blob container.",
  input: "Failed to read devices blob from the input container.",
} as const;

const CODE: ErrorCode = "BlobContainerValidationError";

/**
 * Writes, reads and deletes a blob of its own. Throws a RegistryError BlobContainerValidationError whose text is
 * Azure's words and the reason, without `;` (the Node SDK splits there) and without anything of the SAS but its fields.
 */
export async function checkOutputContainer(container: BlobContainer, options: PreflightOptions = {}): Promise<void> {
  for (const permission of ["w", "r", "d"] as const) checkSas(container, permission, WORDS[permission]);
  const name = `hubferry-probe-${randomUUID()}`;
  const content = Buffer.from("hubferry writes, reads and deletes this blob to check a container\n");
  const signal = limitOf(options);
  const step = <T>(words: string, act: () => Promise<T>) => attempt(container, words, signal, options, act);
  const written = await step(WORDS.w, () => container.writeBlob(name, once(content), { signal }));
  try {
    await step(WORDS.r, () => readBack(container, name, written, content, signal));
  } catch (error) {
    await container.deleteBlob(name, { signal }).catch(() => {}); // what is wrong is known already
    throw error;
  }
  await step(WORDS.d, () => container.deleteBlob(name, { signal }));
}

/** Looks at the input blob. Throws as checkOutputContainer does. */
export async function checkInputBlob(
  container: BlobContainer,
  blobName: string,
  options: PreflightOptions = {},
): Promise<BlobStat> {
  checkSas(container, "r", WORDS.input);
  const signal = limitOf(options);
  return attempt(container, WORDS.input, signal, options, () => container.statBlob(blobName, { signal }));
}

function checkSas(container: BlobContainer, permission: string, words: string): void {
  if (container.sas === null) throw failure(words, "The URI of the container has no SAS.");
  const reason = reasonSasCannot(permission, container.sas, new URL(container.place), new Date());
  if (reason !== null) throw failure(words, reason);
}

function limitOf({ signal, msMax = PREFLIGHT_MS_MAX }: PreflightOptions): AbortSignal {
  const limit = AbortSignal.timeout(msMax);
  return signal === undefined ? limit : AbortSignal.any([signal, limit]);
}

/** The caller's own abort passes as it is; the limit becomes a text. */
async function attempt<T>(
  container: BlobContainer,
  words: string,
  limit: AbortSignal,
  options: PreflightOptions,
  act: () => Promise<T>,
): Promise<T> {
  try {
    return await act();
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof BlobError) throw failure(words, reasonOf(error, container));
    if (!limit.aborted) throw error;
    const seconds = (options.msMax ?? PREFLIGHT_MS_MAX) / 1000;
    throw failure(words, `The storage at '${hostOf(container)}' did not answer within ${seconds} s.`);
  }
}

async function readBack(
  container: BlobContainer,
  name: string,
  blob: BlobStat,
  content: Buffer,
  signal: AbortSignal,
): Promise<void> {
  const parts: Buffer[] = [];
  for await (const part of container.readBlobChunks(name, {
    etag: blob.etag,
    offset: 0,
    bytesTotal: blob.bytes,
    signal,
  }))
    parts.push(part);
  if (!Buffer.concat(parts).equals(content))
    throw failure(WORDS.r, "The blob that was written reads back as another one.");
}

function reasonOf(error: BlobError, container: BlobContainer): string {
  const host = hostOf(container);
  switch (error.kind) {
    case "containerNotFound":
      return `The container '${container.name}' does not exist.`;
    case "notFound":
      return `The blob '${error.blob}' does not exist in container '${container.name}'.`;
    case "expired":
      return `The SAS expired at ${timeText(container.sas?.expiresAt ?? null)}.`;
    case "unauthorized":
      return refusedReason(error, container);
    case "changed":
      return `The blob '${error.blob}' was replaced meanwhile.`;
    case "refusedHost":
      return error.detail;
    case "unavailable":
      return `The storage at '${host}' could not be reached: ${error.detail}.`;
    case "invalid":
      return `The storage at '${host}' answered ${error.detail}.`;
  }
}

/** The signature covers the container's name: for another one Azure answers AuthenticationFailed, Azurite the other. */
function refusedReason(error: BlobError, container: BlobContainer): string {
  const answer = `Storage answered ${error.detail}.`;
  const ofSas = container.sas && reasonSasRefused(container.sas, new Date());
  if (ofSas) return `${ofSas} ${answer}`;
  if (error.azureCode === "AuthenticationFailed") {
    const causes = "it is for another container, or its key was changed";
    return `The signature of the SAS does not fit the container '${container.name}': ${causes}. ${answer}`;
  }
  if (error.azureCode === "AuthorizationFailure") {
    return `The SAS is for another container, or a network rule of the account keeps this server out. ${answer}`;
  }
  if (error.azureCode === "AuthorizationSourceIPMismatch")
    return `The SAS allows other addresses than this server's. ${answer}`;
  return answer;
}

function hostOf(container: BlobContainer): string {
  return new URL(container.place).host;
}

function failure(words: string, reason: string): RegistryError {
  return new RegistryError(CODE, `${words} ${reason.replaceAll(";", ",")}`); // a blob name may hold one
}

async function* once(content: Buffer): AsyncGenerator<Buffer> {
  yield content;
}

/** What ends a job for good. */
import { BlobError } from "../src/blob/blob-error.ts";
import { RegistryError } from "../src/errors.ts";

/** The job cannot succeed, however often it is tried. The text is shown to the user: it must not hold a secret. */
export class JobFailure extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = "JobFailure";
  }
}

/** Whether trying again would not help. */
export function isFinalFailure(error: unknown): boolean {
  if (error instanceof BlobError) return !error.retryable;
  return error instanceof JobFailure || error instanceof RegistryError;
}

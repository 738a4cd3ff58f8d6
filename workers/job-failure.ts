/** The job cannot succeed, however often it is tried. The text is shown to the user: it must not hold a secret. */
export class JobFailure extends Error {
  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options);
    this.name = "JobFailure";
  }
}

/**
 * The table of stable error codes: name as sent in `iothub-errorcode`, number as written to importErrors.log.
 * The HTTP status is the number's first three digits (contract 7, error-codes.json).
 */
export const ERROR_NUMBERS = {
  InvalidProtocolVersion: 400001,
  InvalidOperation: 400003,
  ArgumentInvalid: 400004,
  ArgumentNull: 400005,
  IotHubFormatError: 400006,
  BlobContainerValidationError: 400008,
  DeviceDefinedMultipleTimes: 400011,
  DeserializationError: 400012,
  BulkRegistryOperationFailure: 400013,
  InvalidDeviceScope: 400028,
  IotHubNotFound: 401001,
  IotHubUnauthorizedAccess: 401002,
  SystemModuleModifyUnauthorizedAccess: 401100,
  IotHubQuotaExceeded: 403002,
  JobQuotaExceeded: 403003,
  GenericNotFound: 404000,
  DeviceNotFound: 404001,
  JobNotFound: 404002,
  ModuleNotFound: 404010,
  GenericMethodNotAllowed: 405000,
  DeviceAlreadyExists: 409001,
  ModuleAlreadyExistsOnDevice: 409301,
  PreconditionFailed: 412001,
  MessageTooLarge: 413001,
  TooManyDevices: 413002,
  TooManyModulesOnDevice: 413003,
  GenericUnsupportedMediaType: 415000,
  ServerError: 500001,
  ServiceUnavailable: 503001,
} as const;

export type ErrorCode = keyof typeof ERROR_NUMBERS;

/** An error of the caller's making: it is shown to the caller as it is, so its text must not hold a secret. */
export class RegistryError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, text: string, options?: ErrorOptions) {
    super(text, options);
    this.name = "RegistryError";
    this.code = code;
  }
}

export function httpStatusOf(code: ErrorCode): number {
  // The Node SDK tells an unknown hub from an unknown device under status 404 alone (contract 7).
  if (code === "IotHubNotFound") return 404;
  return Math.floor(ERROR_NUMBERS[code] / 1000);
}

/** The text of anything thrown, for places that show a reason. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

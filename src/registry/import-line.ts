/** One line of an import blob, to an operation or to the report of why it is none. */
import { isUtf8 } from "node:buffer";
import { type ParseError, parse as parseLeniently, printParseErrorCode } from "jsonc-parser";
import { ERROR_NUMBERS, RegistryError } from "../errors.ts";
import { ERROR_LINE_QUOTE_CHARS_MAX, LINE_BYTES_MAX } from "../limits.ts";
import { withoutSecrets } from "../log.ts";
import { isJsonObject } from "./json-reader.ts";
import { type Operation, OperationError, readExportImportDevice } from "./operation.ts";

/** A failed line as importErrors.log reports it (contract 4.3). */
export interface LineFailure {
  readonly deviceId: string | null;
  readonly moduleId: string | null;
  readonly code: number;
  readonly status: string;
}

/** Reads a line, without its terminator. Never throws for what the line holds. */
export function readImportLine(line: Buffer): Operation | LineFailure {
  if (!isUtf8(line)) return malformed(line.toString("latin1"), "It is not valid UTF-8.");
  return readImportText(line.toString("utf8"));
}

function readImportText(text: string): Operation | LineFailure {
  try {
    return readExportImportDevice(parseObject(text));
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    return failureOf(error, text);
  }
}

export function isLineFailure(value: Operation | LineFailure): value is LineFailure {
  return "code" in value;
}

export function lineTooLong(bytes: number): LineFailure {
  return {
    deviceId: null,
    moduleId: null,
    code: ERROR_NUMBERS.IotHubFormatError,
    status: `The line has ${bytes} bytes, at most ${LINE_BYTES_MAX} are allowed.`,
  };
}

/** The report of a line that is no operation. */
function failureOf(error: RegistryError, text: string): LineFailure {
  if (error.code === "DeserializationError") return malformed(text, error.message);
  const ids = error instanceof OperationError ? error : { deviceId: null, moduleId: null };
  return {
    deviceId: ids.deviceId,
    moduleId: ids.moduleId,
    code: ERROR_NUMBERS[error.code],
    status: storable(withoutSecrets(withoutKeys(error.message))),
  };
}

function parseObject(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new RegistryError("DeserializationError", describeSyntaxError(text));
  }
  if (!isJsonObject(value)) throw new RegistryError("DeserializationError", "It should be a JSON object.");
  return value;
}

/** JSON.parse quotes the text around the fault, which may be a key, and leaves out where it is: ask another parser. */
function describeSyntaxError(text: string): string {
  const errors: ParseError[] = [];
  try {
    parseLeniently(text, errors, { disallowComments: true, allowTrailingComma: false });
  } catch (error) {
    // It recurses, and a hostile line nests as deep as it is long.
    if (!(error instanceof RangeError)) throw error;
  }
  const [first] = errors;
  return first === undefined
    ? "It is not valid JSON."
    : `${printParseErrorCode(first.error)} at position ${first.offset + 1}.`;
}

/** Keys are taken out before the line is cut, so that half of one does not slip through. */
function malformed(text: string, problem: string): LineFailure {
  const clean = storable(withoutSecrets(withoutKeys(text)));
  const quoted =
    clean.length > ERROR_LINE_QUOTE_CHARS_MAX
      ? `${clean.slice(0, ERROR_LINE_QUOTE_CHARS_MAX).toWellFormed()}...`
      : clean;
  return {
    deviceId: null,
    moduleId: null,
    code: ERROR_NUMBERS.DeserializationError,
    status: `Invalid device format in line: ${quoted}. ${problem}`,
  };
}

/** What the line holds stands in the report: the database takes any text but this. */
function storable(text: string): string {
  return text.replaceAll("\0", "\ufffd").toWellFormed();
}

/** In a line that is no JSON a key may stand anywhere: whatever looks like base64 of 16 bytes or more goes. */
function withoutKeys(text: string): string {
  return text.replace(/[A-Za-z0-9+/]{21,}={1,2}|[A-Za-z0-9+/]{40,}/g, (found) =>
    /^[0-9A-Fa-f]{40}(?:[0-9A-Fa-f]{24})?$/.test(found) ? found : "***",
  );
}

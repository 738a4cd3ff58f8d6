/** Errors as bodies: envelope 1 of contract 7, for everything. */
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { type ErrorCode, httpStatusOf, messageOf, RegistryError } from "../errors.ts";
import { type Logger, withoutSecrets } from "../log.ts";

/** Sends the error; what is not the caller's is a 500 whose detail only the log has. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): FastifyReply {
  // The framework's own refusals come before the hook that sets them for everything else.
  reply.headers({ "x-ms-request-id": request.id, vary: "Origin" });
  // Closing while a body that is too large still comes in would reset the connection, and the answer with it.
  reply.removeHeader("connection");
  const shown = error instanceof RegistryError ? error : fromFastify(error as FastifyError);
  if (shown === null) {
    log.error(
      {
        requestId: request.id,
        err: withoutSecrets(messageOf(error)),
        stack: error instanceof Error ? error.stack : undefined,
      },
      "a request failed",
    );
    return reply
      .code(500)
      .header("iothub-errorcode", "ServerError")
      .send(
        errorBody("ServerError", "The server met an error; its log has the detail under the tracking id.", request.id),
      );
  }
  return reply
    .code(httpStatusOf(shown.code))
    .header("iothub-errorcode", shown.code)
    .send(errorBody(shown.code, shown.message, request.id));
}

/** What the framework refuses before a handler sees it. Null for what is no refusal. */
function fromFastify({ code, message }: FastifyError): RegistryError | null {
  const known: Record<string, ErrorCode> = {
    FST_ERR_CTP_BODY_TOO_LARGE: "MessageTooLarge",
    FST_ERR_BAD_URL: "ArgumentInvalid",
    FST_ERR_MAX_PARAM_LENGTH: "ArgumentInvalid",
    FST_ERR_CTP_INVALID_MEDIA_TYPE: "GenericUnsupportedMediaType",
    FST_ERR_CTP_INVALID_CONTENT_LENGTH: "ArgumentInvalid",
  };
  const name = known[code];
  if (name === undefined) return null;
  // The framework's text quotes the whole path.
  return new RegistryError(name, code === "FST_ERR_MAX_PARAM_LENGTH" ? "A part of the path is too long." : message);
}

/**
 * SDKs split Message at `;` and `:` and take the second part for the text, so that it holds no `;` and is not empty
 * (contract 7 and 15).
 */
function errorBody(code: ErrorCode, text: string, requestId: string): { Message: string; ExceptionMessage: string } {
  const message = withoutSecrets(text).replaceAll(";", ",") || code;
  return {
    Message: `ErrorCode:${code};${message}`,
    ExceptionMessage: `Tracking ID:${requestId.replaceAll("-", "")}-G:0-TimeStamp:${timeStamp(new Date())}`,
  };
}

/** `08/20/2020 22:05:30`. */
function timeStamp(time: Date): string {
  const [date, clock] = time.toISOString().slice(0, 19).split("T");
  const [year, month, day] = date!.split("-");
  return `${month}/${day}/${year} ${clock}`;
}

/**
 * The HTTP client below the SDK. The SDK's own one has no allow list and no limit of time: its `tryTimeoutInMs` only
 * asks the server to hurry. Whatever the SDK sends, a retry or a redirected request included, comes through here.
 */
import http from "node:http";
import https from "node:https";
import {
  type HttpHeaders,
  type HttpOperationResponse,
  type IHttpClient,
  RestError,
  type WebResource,
} from "@azure/storage-blob";
import { RefusedHost } from "./blob-error.ts";
import { ANSWER_TEXT_BYTES_MAX, SOCKET_IDLE_MS_MAX } from "./bounds.ts";
import { isHostAllowed, refusalText, type StorageHosts } from "./storage-hosts.ts";

/** Connections are kept for the next request, whichever container it is for; the timeout also ends idle ones. */
const AGENTS = {
  "http:": new http.Agent({ keepAlive: true, timeout: SOCKET_IDLE_MS_MAX }),
  "https:": new https.Agent({ keepAlive: true, timeout: SOCKET_IDLE_MS_MAX }),
};

/** Opens a client that refuses every URL whose host is not in the list, before a connection is made. */
export function openHttpClient(hosts: StorageHosts, idleMsMax: number = SOCKET_IDLE_MS_MAX): IHttpClient {
  return {
    async sendRequest(request) {
      const url = new URL(request.url);
      if (!isHostAllowed(url, hosts)) throw new RefusedHost(refusalText(url, hosts));
      const answer = await send(request, url, idleMsMax);
      checkRedirect(answer, url, hosts);
      return toResponse(request, answer);
    },
  };
}

function send(request: WebResource, url: URL, idleMsMax: number): Promise<http.IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const options: http.RequestOptions = {
    method: request.method,
    headers: request.headers.toJson({ preserveCase: true }),
    agent: (request.agent as http.Agent | undefined) ?? AGENTS[url.protocol as keyof typeof AGENTS],
    timeout: idleMsMax,
  };
  // The signal is always one that our own code handed to the SDK, so it is a native one.
  if (request.abortSignal !== undefined) options.signal = request.abortSignal as AbortSignal;
  const outgoing = (url.protocol === "https:" ? https : http).request(url, options, (answer) => {
    answer.on("error", () => {}); // a body that is not read any more may still fail; whoever reads it sees that too
    resolve(answer);
  });
  outgoing.on("timeout", () => outgoing.destroy(Object.assign(new Error("idle"), { code: "ETIMEDOUT" })));
  outgoing.on("error", (error) => reject(toNetworkError(error)));
  outgoing.end(bodyOf(request));
  return promise;
}

/** The words REQUEST_SEND_ERROR make the SDK's policy try again, whichever code it is; an abort passes as it is. */
function toNetworkError(error: NodeJS.ErrnoException): Error {
  if (error.name === "AbortError") return error;
  const code = error.code ?? "REQUEST_SEND_ERROR";
  return new RestError(`REQUEST_SEND_ERROR ${code}`, { code });
}

function bodyOf(request: WebResource): string | Uint8Array | undefined {
  const body: unknown = typeof request.body === "function" ? request.body() : request.body;
  if (body === undefined || body === null) return undefined;
  if (typeof body === "string" || body instanceof Uint8Array) return body;
  throw new TypeError("a request to storage has a body of a kind that we never send");
}

/**
 * The SDK follows redirects within one origin and hands back the others as failures. A redirect elsewhere is named
 * for what it is: Azure sends none, so something else answered.
 */
function checkRedirect(answer: http.IncomingMessage, url: URL, hosts: StorageHosts): void {
  const { location } = answer.headers;
  if (location === undefined || Math.floor((answer.statusCode ?? 0) / 100) !== 3) return;
  const target = URL.canParse(location, url) ? new URL(location, url) : null;
  if (target?.origin === url.origin) return;
  answer.destroy();
  if (target === null || isHostAllowed(target, hosts))
    throw new RefusedHost("The storage host redirects elsewhere, which is not followed.");
  throw new RefusedHost(`The storage host redirects elsewhere. ${refusalText(target, hosts)}`);
}

async function toResponse(request: WebResource, answer: http.IncomingMessage): Promise<HttpOperationResponse> {
  const status = answer.statusCode ?? 0;
  const head = { request, status, headers: headersOf(request, answer) };
  if (request.method === "HEAD") {
    answer.resume();
    return head;
  }
  const codes = request.streamResponseStatusCodes;
  if (codes?.has(status) || codes?.has(Number.POSITIVE_INFINITY)) return { ...head, readableStreamBody: answer };
  return { ...head, bodyAsText: await textOf(answer) };
}

/** The SDK exports no constructor of its headers, so those of the request serve as the mould. */
function headersOf(request: WebResource, answer: http.IncomingMessage): HttpHeaders {
  const headers = request.headers.clone();
  for (const name of headers.headerNames()) headers.remove(name);
  for (const [name, value] of Object.entries(answer.headers)) {
    if (value !== undefined) headers.set(name, Array.isArray(value) ? value.join(", ") : value);
  }
  return headers;
}

async function textOf(answer: http.IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const part of answer as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > ANSWER_TEXT_BYTES_MAX) throw new RestError("the answer is too long", { code: "ANSWER_TOO_LONG" });
      parts.push(part);
    }
  } catch (error) {
    throw error instanceof RestError ? error : toNetworkError(error as NodeJS.ErrnoException);
  }
  return Buffer.concat(parts).toString("utf8");
}

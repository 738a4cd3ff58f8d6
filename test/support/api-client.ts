/** The service API over plain https, for what the SDKs do not send: headers, paths and bodies are the test's own. */
import { createHmac } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import https from "node:https";
import { dialingAgent, type Hubferry } from "./hubferry.ts";

export const API_VERSION = "2021-04-12";
const TOKEN_SECONDS = 3_600;

export type Json = Record<string, unknown>;

export interface Reply<T = Json> {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Null where the body is no JSON. */
  readonly body: T;
}

export interface SendOptions {
  /** A string or a Buffer is sent as it is, anything else as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Null: no Authorization header; left out: a good token. */
  readonly token?: string | null;
  /** The Host header; left out: the hub's host name. */
  readonly host?: string;
}

/** What a connection string says. */
export interface Credentials {
  readonly hostName: string;
  readonly policy: string;
  /** Base64. */
  readonly key: string;
}

export interface TokenOptions {
  /** `sr` as it is to stand in the token; left out: the percent-encoded host name. */
  readonly rawResource?: string;
  /** Seconds since 1970. */
  readonly expiry?: number;
  /** Null: no `skn`. */
  readonly policy?: string | null;
  readonly key?: string;
}

export function parseConnectionString(text: string): Credentials {
  const fields = Object.fromEntries(
    text.split(";").map((field) => {
      const equals = field.indexOf("=");
      return [field.slice(0, equals), field.slice(equals + 1)];
    }),
  );
  return {
    hostName: fields["HostName"] ?? "",
    policy: fields["SharedAccessKeyName"] ?? "",
    key: fields["SharedAccessKey"] ?? "",
  };
}

/** Seconds since 1970. */
export function secondsFromNow(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds;
}

/** Own code, so that the server is not checked against itself (contract 8). */
export function sasToken(credentials: Credentials, options: TokenOptions = {}): string {
  const { rawResource = encodeURIComponent(credentials.hostName), expiry = secondsFromNow(TOKEN_SECONDS) } = options;
  const { policy = credentials.policy, key = credentials.key } = options;
  const signature = createHmac("sha256", Buffer.from(key, "base64"))
    .update(`${rawResource}\n${expiry}`)
    .digest("base64");
  const name = policy === null ? "" : `&skn=${encodeURIComponent(policy)}`;
  return `SharedAccessSignature sr=${rawResource}&sig=${encodeURIComponent(signature)}&se=${expiry}${name}`;
}

/** One hub of a server, with the rights of one policy. */
export class ApiClient implements Disposable {
  readonly credentials: Credentials;
  readonly #agent: https.Agent;
  readonly #host: string;

  constructor(hubferry: Pick<Hubferry, "caFile" | "port">, connectionString: string, host = "127.0.0.1") {
    this.credentials = parseConnectionString(connectionString);
    this.#host = host;
    this.#agent = dialingAgent(readFileSync(hubferry.caFile), host, hubferry.port);
  }

  /** The api-version is added unless the path has a query. */
  async send<T = Json>(method: string, path: string, options: SendOptions = {}): Promise<Reply<T>> {
    const { token = sasToken(this.credentials), host = this.credentials.hostName } = options;
    const payload = payloadOf(options.body);
    const request = https.request({
      agent: this.#agent,
      // The certificate is for the machine's own names and the hubs'; the Host header is whatever the test wants.
      servername: "localhost",
      host: this.#host,
      method,
      path: path.includes("?") ? path : `${path}?api-version=${API_VERSION}`,
      headers: {
        host,
        ...(token === null ? {} : { authorization: token }),
        ...(payload === null
          ? {}
          : { "content-type": "application/json; charset=utf-8", "content-length": String(payload.length) }),
        ...options.headers,
      },
    });
    // A server that refuses a body may close the connection before it has taken all of it.
    request.on("error", () => {});
    request.end(payload ?? undefined);
    const [response] = (await once(request, "response")) as [AsyncIterable<Buffer> & Response];
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    return { status: response.statusCode, headers: response.headers, text, body: parseOrNull(text) as T };
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }
}

interface Response {
  readonly statusCode: number;
  readonly headers: IncomingHttpHeaders;
}

function payloadOf(body: unknown): Buffer | null {
  if (body === undefined) return null;
  if (Buffer.isBuffer(body)) return body;
  return Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
}

function parseOrNull(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

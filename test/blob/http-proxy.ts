/** A real HTTP server that answers some requests itself and hands the others on. */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

export interface HttpProxy extends AsyncDisposable {
  readonly host: string;
  /** Method and URL of each request, in order. */
  readonly requests: string[];
  /** Answers the request and returns true, or leaves it to the target. */
  answer: (request: http.IncomingMessage, response: http.ServerResponse) => boolean;
}

/** `target` is a host with its port; without it every request must be answered here. */
export async function startHttpProxy(target?: string): Promise<HttpProxy> {
  const server = http.createServer((request, response) => {
    proxy.requests.push(`${request.method} ${request.url}`);
    if (proxy.answer(request, response)) return;
    const [hostname, port] = (target ?? "").split(":");
    const { method, url: path, headers } = request;
    const upstream = http.request({ hostname, port, method, path, headers, agent: false }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(response);
    });
    upstream.on("error", () => response.destroy());
    request.pipe(upstream);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy: HttpProxy = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests: [],
    answer: () => false,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return proxy;
}

/** Answers as Azure does when it fails. */
export function answerError(response: http.ServerResponse, status: number, code: string): true {
  response.writeHead(status, { "x-ms-error-code": code, "content-type": "application/xml" });
  response.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>${code}</Message></Error>`);
  return true;
}

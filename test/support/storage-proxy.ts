/** A real HTTP proxy before storage at which a test meets each request twice: before storage acts, and after. */
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

export type StorageCall = "read" | "block" | "commit" | "other";

/** `cut`: the connection is cut. `busy`: 503 is answered. */
export type Fate = "pass" | "cut" | "busy";

export interface StorageProxy extends AsyncDisposable {
  readonly host: string;
  /** What becomes of a request before storage has seen it; it may take its time. */
  onRequest: (call: StorageCall, blob: string) => Fate | Promise<Fate>;
  /** What becomes of the answer, once storage has acted. */
  onAnswer: (call: StorageCall, blob: string) => Fate | Promise<Fate>;
}

/** `target` is a host with its port. */
export async function startStorageProxy(target: string): Promise<StorageProxy> {
  const server = http.createServer((request, response) => {
    handle(proxy, target, request, response).catch(() => response.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy: StorageProxy = {
    host: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    onRequest: () => "pass",
    onAnswer: () => "pass",
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
  return proxy;
}

async function handle(
  proxy: StorageProxy,
  target: string,
  request: http.IncomingMessage,
  response: http.ServerResponse,
): Promise<void> {
  // A client that goes away does not take its request back: storage may act on it all the same.
  const body = Buffer.concat(await request.toArray());
  const { call, blob } = classify(request);
  if (meet(await proxy.onRequest(call, blob), response)) return;
  const { hostname, port } = new URL(`http://${target}`);
  const { method, url: path, headers } = request;
  const upstream = http.request({ hostname, port, method, path, headers, agent: false });
  upstream.end(body);
  const [answer] = (await once(upstream, "response")) as [http.IncomingMessage];
  const bytes = Buffer.concat(await answer.toArray());
  if (meet(await proxy.onAnswer(call, blob), response)) return;
  response.writeHead(answer.statusCode ?? 500, answer.headers).end(bytes);
}

function classify({ method, url = "" }: http.IncomingMessage): { call: StorageCall; blob: string } {
  const { pathname, searchParams } = new URL(url, "http://storage");
  const blob = pathname.split("/").slice(3).join("/");
  if (method === "GET") return { call: "read", blob };
  const component = searchParams.get("comp");
  if (method !== "PUT") return { call: "other", blob };
  return { call: component === "block" ? "block" : component === "blocklist" ? "commit" : "other", blob };
}

/** True when there is nothing more to be done. */
function meet(fate: Fate, response: http.ServerResponse): boolean {
  if (fate === "cut") response.destroy();
  if (fate === "busy") {
    response.writeHead(503, { "x-ms-error-code": "ServerBusy", "content-type": "application/xml" });
    response.end('<?xml version="1.0"?><Error><Code>ServerBusy</Code><Message>busy</Message></Error>');
  }
  return fate !== "pass";
}

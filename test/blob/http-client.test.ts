import type { WebResource } from "@azure/storage-blob";
import { once } from "node:events";
import net from "node:net";
import { describe, expect, test } from "vitest";
import { BlobError } from "../../src/blob/blob-error.ts";
import { openContainer } from "../../src/blob/container.ts";
import { openHttpClient } from "../../src/blob/http-client.ts";
import { checkOutputContainer } from "../../src/blob/preflight.ts";
import { parseStorageHosts } from "../../src/blob/storage-hosts.ts";
import { answerError, startHttpProxy } from "./http-proxy.ts";
import { startTcpProxy } from "./tcp-proxy.ts";

const SAS = "sv=2025-01-01&sr=c&sp=rwd&sig=c2VjcmV0";
const FAST = { retryDelayMs: 5 };
const open = (host: string, hosts = host, options: { retryDelayMs: number; idleMsMax?: number } = FAST) =>
  openContainer(`http://${host}/account/container?${SAS}`, parseStorageHosts(hosts), options);

async function failureOf(act: Promise<unknown>): Promise<BlobError> {
  const error = await act.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(BlobError);
  return error as BlobError;
}

async function* chunk(): AsyncGenerator<Buffer> {
  yield Buffer.from("x");
}

const CALLS = {
  stat: (host: string, hosts?: string) => open(host, hosts).statBlob("b"),
  read: (host: string, hosts?: string) =>
    open(host, hosts)
      .readBlobChunks("b", { etag: '"1"', offset: 0, bytesTotal: 9, signal: new AbortController().signal })
      .next(),
  write: (host: string, hosts?: string) =>
    open(host, hosts).writeBlob("b", chunk(), { signal: new AbortController().signal }),
  delete: (host: string, hosts?: string) => open(host, hosts).deleteBlob("b"),
};

describe("a redirect to a host that is not listed", () => {
  for (const status of [300, 301, 302, 303, 307, 308]) {
    for (const [name, act] of Object.entries(CALLS)) {
      test(`${status} to a ${name} is refused at once and opens no connection`, async () => {
        await using inside = await startTcpProxy("127.0.0.1:9");
        await using server = await startHttpProxy();
        server.answer = (_request, response) => {
          response.writeHead(status, { location: `http://${inside.host}/secret` }).end();
          return true;
        };
        const error = await failureOf(act(server.host));
        expect(error.kind).toBe("refusedHost");
        expect(error.detail).toContain(`The storage host '${inside.host}' is not allowed`);
        expect(inside.connections).toBe(0);
        expect(server.requests).toHaveLength(1);
      });
    }
  }

  test("to a listed host it is not followed either: the SAS is for this one", async () => {
    await using other = await startTcpProxy("127.0.0.1:9");
    await using server = await startHttpProxy();
    server.answer = (_request, response) => {
      response.writeHead(307, { location: `http://${other.host}/account/container/b` }).end();
      return true;
    };
    const error = await failureOf(CALLS.stat(server.host, `${server.host},${other.host}`));
    expect(error.kind).toBe("refusedHost");
    expect(other.connections).toBe(0);
  });
});

test("whatever URL the SDK hands over, an unlisted one opens no connection", async () => {
  await using inside = await startTcpProxy("127.0.0.1:9");
  const client = openHttpClient(parseStorageHosts("127.0.0.1:1"));
  const sent = client.sendRequest({ url: `http://${inside.host}/account/container/b?${SAS}` } as WebResource);
  await expect(sent).rejects.toThrow(`The storage host '${inside.host}' is not allowed`);
  expect(inside.connections).toBe(0);
});

describe("failures of the network", () => {
  test("a 503 is tried again until it passes, and reported when it does not", async () => {
    await using server = await startHttpProxy();
    server.answer = (_request, response) => answerError(response, 503, "ServerBusy");
    const error = await failureOf(CALLS.stat(server.host));
    expect(error).toMatchObject({ kind: "unavailable", retryable: true, azureCode: "ServerBusy" });
    expect(error.message).toBe(
      `cannot look at blob 'b' of http://${server.host}/account/container: ServerBusy (HTTP 503)`,
    );
    expect(server.requests).toHaveLength(4);
  });

  test("nobody listens", async () => {
    const host = await closedPort();
    const error = await failureOf(CALLS.delete(host));
    expect(error).toMatchObject({ kind: "unavailable", retryable: true, detail: "ECONNREFUSED" });
  });

  test("the connection closes before an answer", async () => {
    await using server = await startTcpProxy(await closedPort());
    expect(await failureOf(CALLS.stat(server.host))).toMatchObject({ kind: "unavailable", detail: "ECONNRESET" });
    expect(server.connections).toBe(4);
  });

  test("what answers speaks no HTTP", async () => {
    await using server = await serve((socket) => socket.end("SSH-2.0-OpenSSH_9.9\r\n"));
    expect(await failureOf(CALLS.stat(server.host))).toMatchObject({
      kind: "unavailable",
      detail: expect.stringMatching(/^HPE_/),
    });
  });

  test("a server that never answers is given up after the idle time", async () => {
    await using server = await serve(() => {});
    const error = await failureOf(open(server.host, server.host, { retryDelayMs: 1, idleMsMax: 50 }).statBlob("b"));
    expect(error).toMatchObject({ kind: "unavailable", detail: "ETIMEDOUT" });
  });

  test("the preflight has a limit of its own", async () => {
    await using server = await serve(() => {});
    await expect(checkOutputContainer(open(server.host), { msMax: 100 })).rejects.toThrow(
      `Unauthorized to write to output blob container. The storage at '${server.host}' did not answer within 0.1 s.`,
    );
  });

  test("the caller's abort passes as it is", async () => {
    await using server = await serve(() => {});
    const reason = new Error("shutting down");
    const abort = new AbortController();
    const pending = checkOutputContainer(open(server.host), { signal: abort.signal });
    setTimeout(() => abort.abort(reason), 30);
    await expect(pending).rejects.toBe(reason);
  });

  test("an endless error text is cut off", async () => {
    await using server = await startHttpProxy();
    server.answer = (_request, response) => {
      response.writeHead(400);
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(64 * 1024, 65)));
      };
      response.on("drain", more);
      more();
      return true;
    };
    expect(await failureOf(CALLS.delete(server.host))).toMatchObject({ kind: "unavailable" });
  });
});

test.each([
  [404, "BlobNotFound", "notFound"],
  [404, "ContainerNotFound", "containerNotFound"],
  [409, "ContainerBeingDeleted", "containerNotFound"],
  [403, "AuthenticationFailed", "unauthorized"],
  [401, "NoAuthenticationInformation", "unauthorized"],
  [412, "ConditionNotMet", "changed"],
  [412, "LeaseIdMissing", "invalid"],
  [409, "BlobImmutableDueToPolicy", "invalid"],
  [429, "TooManyRequests", "unavailable"],
  [500, "InternalError", "unavailable"],
  [502, "BadGateway", "unavailable"],
])("HTTP %d %s is %s, whether or not the answer has a body", async (status, code, kind) => {
  await using server = await startHttpProxy();
  server.answer = (_request, response) => answerError(response, status, code);
  for (const act of [CALLS.stat, CALLS.read, CALLS.write]) {
    const error = await failureOf(act(server.host));
    expect(error).toMatchObject({ kind, azureCode: code, retryable: kind === "unavailable" });
    expect(JSON.stringify([error, error.message, error.stack, error.cause])).not.toMatch(/sig=|c2VjcmV0/);
  }
});

async function closedPort(): Promise<string> {
  await using server = await serve(() => {});
  return server.host;
}

async function serve(onConnection: (socket: net.Socket) => void): Promise<{ host: string } & AsyncDisposable> {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket.on("error", () => {}));
    onConnection(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    host: `127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

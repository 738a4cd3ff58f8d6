/** A real TCP proxy whose connections can be cut after so many bytes of the answer, and counted. */
import { once } from "node:events";
import net from "node:net";

export interface TcpProxy extends AsyncDisposable {
  readonly host: string;
  /** Connections so far. */
  connections: number;
  /** Bytes towards the client after which the nth connection (from 0) is cut; null: never. */
  cutAfter: (connection: number) => number | null;
}

export async function startTcpProxy(target: string): Promise<TcpProxy> {
  const [targetHost = "", targetPort = ""] = target.split(":");
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const limit = proxy.cutAfter(proxy.connections++);
    const upstream = net.connect(Number(targetPort), targetHost);
    let bytes = 0;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on("data", (part: Buffer) => {
      const room = limit === null ? part.length : Math.min(part.length, limit - bytes);
      bytes += part.length;
      if (limit !== null && bytes >= limit) client.end(part.subarray(0, room), () => client.destroy());
      else client.write(part);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as net.AddressInfo;
  const proxy: TcpProxy = {
    host: `127.0.0.1:${port}`,
    connections: 0,
    cutAfter: () => null,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
  return proxy;
}

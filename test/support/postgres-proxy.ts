/** A real TCP proxy before PostgreSQL that cuts connections at chosen statements, before they arrive or after they ran. */
import { once } from "node:events";
import net from "node:net";
import type pg from "pg";

/** `lost`: cut before the server has seen the statement. `unanswered`: cut once the server has run it. */
export type StatementFate = "pass" | "lost" | "unanswered";

export interface PostgresProxy extends AsyncDisposable {
  /** Over the server's own, in a pool's configuration. */
  readonly connection: { readonly host: string; readonly port: number };
  /** What becomes of a statement; `text` is what the client has just sent, in which it stands. */
  onStatement: (text: string) => StatementFate;
  /** Cuts every connection there is. */
  cutAll(): void;
}

/** `target` names the directory of a Unix socket, and a port. */
export async function startPostgresProxy(target: pg.PoolConfig): Promise<PostgresProxy> {
  const path = `${target.host}/.s.PGSQL.${target.port}`;
  const clients = new Set<net.Socket>();
  const server = net.createServer((client) => {
    clients.add(client);
    const upstream = net.connect(path);
    const cut = () => {
      clients.delete(client);
      client.destroy();
      upstream.destroy();
    };
    for (const socket of [client, upstream]) socket.on("error", () => {}).on("close", cut);
    let isAnswerLost = false;
    client.on("data", (part) => {
      const fate = proxy.onStatement(part.toString("latin1"));
      if (fate === "lost") return cut();
      isAnswerLost ||= fate === "unanswered";
      upstream.write(part);
    });
    // The server answers at the end of a statement's implicit or explicit transaction: it is committed by then.
    upstream.on("data", (part) => (isAnswerLost ? cut() : client.write(part)));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const proxy: PostgresProxy = {
    connection: { host: "127.0.0.1", port: (server.address() as net.AddressInfo).port },
    onStatement: () => "pass",
    cutAll: () => clients.forEach((client) => client.destroy()),
    async [Symbol.asyncDispose]() {
      if (!server.listening) return;
      server.close();
      proxy.cutAll();
      await once(server, "close");
    },
  };
  return proxy;
}

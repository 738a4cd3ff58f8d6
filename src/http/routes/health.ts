/** Liveness and readiness, for whoever supervises the process. */
import type { FastifyInstance } from "fastify";
import type { Api } from "../app.ts";

export function healthRoutes(app: FastifyInstance, { database }: Api): void {
  app.get("/livez", async () => ({ status: "ok" }));
  app.get("/readyz", async (_request, reply) => {
    try {
      await database.query("select");
      return { status: "ok" };
    } catch {
      return reply.code(503).send({ status: "unavailable", reason: "the database does not answer" });
    }
  });
}

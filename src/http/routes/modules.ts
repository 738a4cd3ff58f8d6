/** Module identities (contract 1.1 to 1.3). Their answers have no ETag header, unlike those of devices (recorded). */
import type { FastifyInstance } from "fastify";
import { createdBody, getModule, listModules } from "../../registry/identities.ts";
import { deleteOperation, readPutBody } from "../../registry/operation.ts";
import { writeIdentity } from "../../registry/write-identity.ts";
import type { Api } from "../app.ts";
import { deleteEtag, putMode, readIfMatch } from "../if-match.ts";
import { requireObject } from "./devices.ts";

const READ = { config: { right: "RegistryRead" } } as const;
const WRITE = { config: { right: "RegistryWrite" } } as const;

interface ModuleRoute {
  Params: { id: string; mid: string };
}

export function moduleRoutes(app: FastifyInstance, { database }: Api): void {
  app.get<{ Params: { id: string } }>("/devices/:id/modules", READ, async (request) =>
    listModules(database, request.hub.hubId, request.params.id),
  );

  app.get<ModuleRoute>("/devices/:id/modules/:mid", READ, async (request) => {
    const { body } = await getModule(database, request.hub.hubId, request.params.id, request.params.mid);
    return body;
  });

  app.put<ModuleRoute>("/devices/:id/modules/:mid", WRITE, async (request) => {
    const { hub, params } = request;
    const put = { deviceId: params.id, moduleId: params.mid, ...putMode(readIfMatch(request.headers["if-match"])) };
    const operation = readPutBody(requireObject(request.body), put);
    return writeIdentity(database, hub, operation, async (connection, effect) => {
      const { body } = await getModule(connection, hub.hubId, params.id, params.mid);
      return effect === "created" ? createdBody(body) : body;
    });
  });

  app.delete<ModuleRoute>("/devices/:id/modules/:mid", WRITE, async (request, reply) => {
    const etag = deleteEtag(readIfMatch(request.headers["if-match"]));
    await writeIdentity(
      database,
      request.hub,
      deleteOperation(request.params.id, request.params.mid, etag),
      async () => {},
    );
    return reply.code(204).send();
  });
}

import type { FastifyInstance } from "fastify";
import { getRegistryStatistics } from "../../registry/identities.ts";
import type { Api } from "../app.ts";

/** Counts of the registry (contract 1.1). Devices do not connect here, so that none is ever connected. */
export function statisticsRoutes(app: FastifyInstance, { database }: Api): void {
  app.get("/statistics/devices", { config: { right: "RegistryRead" } }, async (request) =>
    getRegistryStatistics(database, request.hub.hubId),
  );
  app.get("/statistics/service", { config: { right: "RegistryRead" } }, async () => ({ connectedDeviceCount: 0 }));
}

/** The service API over HTTPS: what every request goes through on its way to a route. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import Fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import type { StorageHosts } from "../blob/storage-hosts.ts";
import type { Database } from "../db/pool.ts";
import { RegistryError } from "../errors.ts";
import type { Right } from "../hubs/policies.ts";
import { withoutPort } from "../hubs/sas-token.ts";
import { REQUEST_BODY_BYTES_MAX } from "../limits.ts";
import type { Logger } from "../log.ts";
import type { JobQueue } from "../queue/job-queue.ts";
import type { SecretBox } from "../secret-box.ts";
import { authorize } from "./authenticate.ts";
import { sendError } from "./error-response.ts";
import type { HubDirectory, ServedHub } from "./hub-directory.ts";
import { deviceRoutes } from "./routes/devices.ts";
import { healthRoutes } from "./routes/health.ts";
import { jobRoutes } from "./routes/jobs.ts";
import { moduleRoutes } from "./routes/modules.ts";
import { statisticsRoutes } from "./routes/statistics.ts";

/** What routes work with. */
export interface Api {
  readonly database: Database;
  readonly hubs: HubDirectory;
  readonly queue: JobQueue;
  readonly box: SecretBox;
  readonly storageHosts: StorageHosts;
  readonly log: Logger;
}

declare module "fastify" {
  interface FastifyRequest {
    /** The hub that the request was sent to; set before a handler of a hub's route runs. */
    hub: ServedHub;
  }
  interface FastifyContextConfig {
    /** What a SAS token must allow; left out where no hub is concerned. */
    right?: Right;
  }
}

/** Makes the app; it listens when its caller says so. `https` null is for requests that are injected. */
export function openApp(api: Api, https: { cert: string; key: string } | null): FastifyInstance {
  const app = Fastify({
    ...(https === null ? {} : { https }),
    logger: false,
    bodyLimit: REQUEST_BODY_BYTES_MAX,
    genReqId: () => randomUUID(),
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 2_048 },
    frameworkErrors: (error, request, reply) => void sendError(error, request, reply as never, api.log),
    forceCloseConnections: "idle",
  }) as unknown as FastifyInstance;
  readBodiesAsJson(app);
  app.addHook("onRequest", async (request, reply) => {
    reply.headers({ "x-ms-request-id": request.id, vary: "Origin" });
    if (request.routeOptions.config.right !== undefined) await admit(api, request, request.routeOptions.config.right);
  });
  app.addHook("onResponse", async (request, reply) => {
    api.log.debug(
      {
        requestId: request.id,
        method: request.method,
        path: pathOf(request.raw),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      "request",
    );
  });
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply, api.log));
  app.setNotFoundHandler((request, reply) =>
    sendError(
      new RegistryError("GenericNotFound", `There is no ${request.method} ${pathOf(request.raw)}.`),
      request,
      reply,
      api.log,
    ),
  );
  for (const routes of [healthRoutes, deviceRoutes, moduleRoutes, statisticsRoutes, jobRoutes]) routes(app, api);
  return app;
}

/** Finds the hub, checks the caller's right and the API version. */
async function admit(api: Api, request: FastifyRequest, right: Right): Promise<void> {
  const host = withoutPort((request.headers.host ?? "").toLowerCase());
  const hub = await api.hubs.findHub(host);
  if (hub === null) throw new RegistryError("IotHubNotFound", `No hub answers to the host "${host}".`);
  authorize({ authorization: request.headers.authorization, hub, host, path: pathOf(request.raw) }, right);
  checkApiVersion(request.query);
  request.hub = hub;
}

/** Any date will do: clients send their own (contract 1.0 and 16). */
function checkApiVersion(query: unknown): void {
  const version = (query as Record<string, unknown>)["api-version"];
  if (typeof version !== "string" || !/^\d{4}-\d{2}-\d{2}(-preview)?$/.test(version)) {
    throw new RegistryError(
      "InvalidProtocolVersion",
      version === undefined
        ? "The query parameter api-version is missing."
        : "The query parameter api-version should be a date such as 2021-04-12.",
    );
  }
}

function pathOf(request: IncomingMessage): string {
  return (request.url ?? "").split("?", 1)[0]!;
}

const BOM = "\ufeff";

/** Clients differ in the content types that they send; bodies are JSON all the same. */
function readBodiesAsJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "string" }, (_request, body, done) => {
    const text = (body as string).startsWith(BOM) ? (body as string).slice(1) : (body as string);
    if (text.trim() === "") return done(null, undefined);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // The parser's own message quotes the body, which may hold keys.
      return done(new RegistryError("ArgumentInvalid", "The body is not valid JSON."));
    }
    done(null, value);
  });
}

/** Device identities: single, listed and in bulk (contract 1.1 to 1.3). */
import type { FastifyInstance, FastifyReply } from "fastify";
import { ERROR_NUMBERS, RegistryError } from "../../errors.ts";
import { BULK_ITEMS_MAX } from "../../limits.ts";
import { createdBody, getDevice, type IdentityBody, listDevices } from "../../registry/identities.ts";
import { isJsonObject, type JsonObject } from "../../registry/json-reader.ts";
import {
  deleteOperation,
  type Operation,
  OperationError,
  readExportImportDevice,
  readPutBody,
} from "../../registry/operation.ts";
import { writeIdentities, writeIdentity } from "../../registry/write-identity.ts";
import type { Api } from "../app.ts";
import { deleteEtag, putMode, readIfMatch } from "../if-match.ts";

const READ = { config: { right: "RegistryRead" } } as const;
const WRITE = { config: { right: "RegistryWrite" } } as const;

export function deviceRoutes(app: FastifyInstance, { database }: Api): void {
  app.get<{ Querystring: { top?: string } }>("/devices", READ, async (request) =>
    listDevices(database, request.hub.hubId, Number(request.query.top ?? 0)),
  );

  app.get<{ Params: { id: string } }>("/devices/:id", READ, async (request, reply) =>
    sendDevice(reply, await getDevice(database, request.hub.hubId, request.params.id)),
  );

  app.put<{ Params: { id: string } }>("/devices/:id", WRITE, async (request, reply) => {
    const { hub, params } = request;
    const put = { deviceId: params.id, moduleId: "", ...putMode(readIfMatch(request.headers["if-match"])) };
    const operation = readPutBody(requireObject(request.body), put);
    const device = await writeIdentity(database, hub, operation, async (connection, effect) => {
      const written = await getDevice(connection, hub.hubId, params.id);
      return effect === "created" ? { ...written, body: createdBody(written.body) } : written;
    });
    return sendDevice(reply, device);
  });

  app.delete<{ Params: { id: string } }>("/devices/:id", WRITE, async (request, reply) => {
    const etag = deleteEtag(readIfMatch(request.headers["if-match"]));
    await writeIdentity(database, request.hub, deleteOperation(request.params.id, "", etag), async () => {});
    return reply.code(204).send();
  });

  app.post("/devices", WRITE, async (request, reply) => {
    const result = await writeBulk(request.body, (operations) => writeIdentities(database, request.hub, operations));
    return reply.code(result.isSuccessful ? 200 : 400).send(result);
  });
}

function sendDevice(reply: FastifyReply, { etag, body }: IdentityBody): FastifyReply {
  return reply.header("etag", `"${etag}"`).send(body);
}

/** Throws ArgumentInvalid. */
export function requireObject(body: unknown): JsonObject {
  if (!isJsonObject(body)) throw new RegistryError("ArgumentInvalid", "The body should be a JSON object.");
  return body;
}

interface BulkError {
  readonly deviceId: string;
  readonly moduleId?: string;
  readonly errorCode: number;
  readonly errorStatus: string;
}

/** BulkRegistryOperationResult; 400 when any item failed, the others stay applied (contract 1.3). */
interface BulkResult {
  readonly isSuccessful: boolean;
  readonly errors: readonly BulkError[];
  readonly warnings: readonly never[];
}

type Apply = (operations: readonly Operation[]) => Promise<readonly unknown[]>;

async function writeBulk(body: unknown, apply: Apply): Promise<BulkResult> {
  if (!Array.isArray(body)) throw new RegistryError("ArgumentInvalid", "The body should be a JSON array of devices.");
  if (body.length > BULK_ITEMS_MAX)
    throw new RegistryError(
      "TooManyDevices",
      `The request has ${body.length} devices, at most ${BULK_ITEMS_MAX} are allowed.`,
    );
  const items = body.map(readItem);
  const operations = items.filter((item): item is Operation => !(item instanceof OperationError));
  checkDistinct(operations);
  const outcomes = new Map(zip(operations, await apply(operations)));
  const errors = items.flatMap((item) => {
    if (item instanceof OperationError) return [bulkError(item.deviceId ?? "", item.moduleId, item)];
    const outcome = outcomes.get(item);
    return outcome instanceof RegistryError ? [bulkError(item.deviceId, item.moduleId, outcome)] : [];
  });
  return { isSuccessful: errors.length === 0, errors, warnings: [] };
}

function zip<A, B>(first: readonly A[], second: readonly B[]): [A, B][] {
  return first.map((item, index) => [item, second[index]!]);
}

/** A broken rule is that item's error; JSON of the wrong type is the request's. */
function readItem(item: unknown, index: number): Operation | OperationError {
  try {
    return readExportImportDevice(requireObject(item));
  } catch (error) {
    if (error instanceof OperationError) return error;
    throw error instanceof RegistryError
      ? new RegistryError("ArgumentInvalid", `Item ${index} of the array: ${error.message}`)
      : error;
  }
}

function bulkError(deviceId: string, moduleId: string | null, error: RegistryError): BulkError {
  return {
    deviceId,
    errorCode: ERROR_NUMBERS[error.code],
    errorStatus: error.message,
    ...(moduleId ? { moduleId } : {}),
  };
}

function checkDistinct(operations: readonly Operation[]): void {
  const met = new Set<string>();
  for (const { deviceId, moduleId } of operations) {
    const key = `${deviceId}/${moduleId}`;
    if (met.has(key))
      throw new RegistryError(
        "DeviceDefinedMultipleTimes",
        `The request names '${moduleId === "" ? deviceId : key}' more than once.`,
      );
    met.add(key);
  }
}

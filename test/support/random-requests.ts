/** Requests of every kind, most of them near enough to a good one to come past the door. */
import fc from "fast-check";
import { API_VERSION } from "./api-client.ts";

export interface RandomRequest {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  /** A string or a Buffer is sent as it is. */
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  readonly hasToken: boolean;
}

const id = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("d1", "d2", "d3", "m1", "$edgeAgent") },
  { weight: 1, arbitrary: fc.constantFrom("é", "a/b", "", ".", "..", "%", "x".repeat(200), "\0", "a;b?c#d") },
  { weight: 1, arbitrary: fc.string({ unit: "binary", maxLength: 12 }) },
);
const encodedId = id.map((text) => encodeURIComponent(text.toWellFormed()));

const ROUTES = [
  "GET /devices",
  "POST /devices",
  "GET /devices/:id",
  "PUT /devices/:id",
  "DELETE /devices/:id",
  "GET /devices/:id/modules",
  "GET /devices/:id/modules/:id",
  "PUT /devices/:id/modules/:id",
  "DELETE /devices/:id/modules/:id",
  "GET /statistics/devices",
  "GET /statistics/service",
  "POST /jobs/create",
  "GET /jobs",
  "GET /jobs/:id",
  "DELETE /jobs/:id",
  "GET /jobs/v2/:id",
  "GET /jobs/v2/query",
];
const METHODS = ["GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS"];
const SEGMENTS = ["devices", "modules", "jobs", "create", "statistics", "service", "v2", "query", "livez", "twins"];

const knownTarget = fc
  .tuple(fc.constantFrom(...ROUTES), encodedId, encodedId)
  .map(([route, first, second]) =>
    route
      .replace(":id", () => first)
      .replace(":id", () => second)
      .split(" "),
  )
  .map(([method, path]) => ({ method: method!, path: path! }));
const anyPath = fc.oneof(
  fc.array(fc.oneof(fc.constantFrom(...SEGMENTS), encodedId), { maxLength: 5 }).map((parts) => `/${parts.join("/")}`),
  fc.stringMatching(/^\/[!-~]{0,40}$/),
);
const anyTarget = fc.record({ method: fc.constantFrom(...METHODS), path: anyPath });
const target = fc.oneof({ weight: 5, arbitrary: knownTarget }, { weight: 1, arbitrary: anyTarget });

const query = fc.oneof(
  { weight: 12, arbitrary: fc.constant(`?api-version=${API_VERSION}`) },
  { weight: 2, arbitrary: fc.stringMatching(/^\?api-version=2021-04-12(&(top|x|__proto__)=[!-~]{0,8}){0,3}$/) },
  { weight: 1, arbitrary: fc.stringMatching(/^\?[!-~]{0,20}$/) },
);

const MODES = ["create", "createOrUpdate", "Update", "delete", "UpdateIfMatchETag", "updateTwin", "nothing"];
const word = fc.oneof(
  fc.constantFrom<unknown>(...MODES, "enabled", "sas", "selfSigned", "none", "import", "export", "d1", "*", ""),
  fc.constantFrom<unknown>(null, true, 0, -1, 1e308, "\0", "\ud800", [], {}, ["a"], "http://127.0.0.1:22/x?sig=a"),
);
const NAMES = `
  deviceId moduleId id importMode status statusReason authentication symmetricKey primaryKey secondaryKey
  x509Thumbprint primaryThumbprint type capabilities iotEdge deviceScope parentScopes tags properties desired
  reported $metadata $version eTag twinETag inputBlobContainerUri outputBlobContainerUri inputBlobName
  outputBlobName excludeKeysInExport includeConfigurations storageAuthenticationType __proto__ constructor`
  .trim()
  .split(/\s+/);
const { value } = fc.letrec<{ value: unknown; object: unknown }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small" },
    word,
    fc.jsonValue({ maxDepth: 1 }),
    tie("object"),
    fc.array(tie("object"), { maxLength: 4 }),
  ),
  object: fc.dictionary(fc.constantFrom(...NAMES), tie("value"), { maxKeys: 7 }),
}));

/** An object of which each member is likely to be good. */
const identity = (name: string) =>
  fc.record(
    {
      [name]: fc.oneof(fc.constantFrom<unknown>("d1", "d2", "d3"), word),
      moduleId: fc.oneof(fc.constantFrom<unknown>("m1", "m2"), word),
      importMode: fc.oneof(fc.constantFrom<unknown>(...MODES), word),
      status: fc.oneof(fc.constantFrom<unknown>("enabled", "disabled"), word),
      statusReason: fc.oneof(fc.string({ unit: "binary", maxLength: 20 }), word),
      capabilities: fc.oneof(fc.record({ iotEdge: fc.boolean() }), value),
      tags: fc.oneof(fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }), value),
      properties: value,
      authentication: fc.oneof(fc.constantFrom<unknown>({ type: "sas" }, { type: "certificateAuthority" }), value),
    },
    { requiredKeys: [] },
  );
const body = fc.oneof(
  { weight: 3, arbitrary: identity("deviceId") },
  { weight: 3, arbitrary: fc.array(identity("id"), { maxLength: 4 }) },
  { weight: 2, arbitrary: value },
  { weight: 1, arbitrary: fc.string({ unit: "binary" }) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)) },
  { weight: 1, arbitrary: fc.constant(undefined) },
);

const headerText = fc.stringMatching(/^[ -~]{0,24}$/).map((text) => text.trim());
const ifMatch = fc.oneof(fc.constantFrom("*", '"*"', '""', "MQ==", '"MQ=="', "W/*"), headerText);
const headers = fc.oneof(
  { weight: 3, arbitrary: fc.constant({}) },
  { weight: 3, arbitrary: fc.record({ "if-match": ifMatch }) },
  { weight: 1, arbitrary: fc.record({ "content-type": fc.oneof(fc.constant("text/plain"), headerText) }) },
  {
    weight: 1,
    arbitrary: fc.dictionary(fc.constantFrom("if-none-match", "accept", "content-encoding", "origin"), headerText),
  },
);

/** No body with GET and HEAD: Node's client would have it chunked, and the server does not read it. */
export const randomRequest: fc.Arbitrary<RandomRequest> = fc
  .record({ target, query, body, headers, door: fc.nat(20) })
  .map((parts) => ({
    method: parts.target.method,
    path: `${parts.target.path}${parts.query}`,
    body: ["GET", "HEAD"].includes(parts.target.method) ? undefined : parts.body,
    headers: parts.headers,
    hasToken: parts.door > 0,
  }));

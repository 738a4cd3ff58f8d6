/** Import and export jobs (contract 2). */
import type { FastifyInstance } from "fastify";
import { openContainer } from "../../blob/container.ts";
import { checkInputBlob, checkOutputContainer } from "../../blob/preflight.ts";
import { cancelJob, createJob, getJob, listJobs, type NewJob } from "../../jobs/submit-job.ts";
import type { Api } from "../app.ts";
import { type JobRequest, readJobRequest } from "../job-request.ts";
import { createdJobBody, jobBody } from "../job-response.ts";
import { requireObject } from "./devices.ts";

const READ = { config: { right: "RegistryRead" } } as const;
const WRITE = { config: { right: "RegistryWrite" } } as const;

export function jobRoutes(app: FastifyInstance, api: Api): void {
  const { database } = api;

  app.post("/jobs/create", WRITE, async (request) => {
    const asked = readJobRequest(requireObject(request.body));
    const job = await createJob(database, api.box, await checkJob(api, request.hub.hubId, asked));
    await api.queue.send(job.jobId);
    return createdJobBody(job, asked);
  });

  app.get("/jobs", READ, async (request) => (await listJobs(database, request.hub.hubId)).map(jobBody));

  app.get<{ Params: { id: string } }>("/jobs/:id", READ, async (request) =>
    jobBody(await getJob(database, request.hub.hubId, request.params.id)),
  );

  app.delete<{ Params: { id: string } }>("/jobs/:id", WRITE, async (request, reply) => {
    await cancelJob(database, request.hub.hubId, request.params.id);
    return reply.code(204).send();
  });

  // `az iot hub job show` asks here first and goes on to /jobs/{id} when it hears `unknown` (contract 1.1).
  app.get<{ Params: { id: string } }>("/jobs/v2/:id", READ, async (request) => ({
    jobId: request.params.id,
    type: "unknown",
    status: "unknown",
  }));
  app.get("/jobs/v2/query", READ, async () => []);
}

/** Looks at both containers: a job that cannot run is refused while somebody listens (contract 4.5, 15). */
async function checkJob(api: Api, hubId: number, { type, parameters, secrets }: JobRequest): Promise<NewJob> {
  const output = openContainer(secrets.outputBlobContainerUri, api.storageHosts);
  const input =
    secrets.inputBlobContainerUri === undefined ? null : openContainer(secrets.inputBlobContainerUri, api.storageHosts);
  await checkOutputContainer(output);
  return {
    hubId,
    type,
    parameters,
    secrets,
    input: input === null ? null : await checkInputBlob(input, parameters.inputBlobName!),
  };
}

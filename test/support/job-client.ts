/** Import and export jobs over plain https, with blobs in a real Azurite. */
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import type { ApiClient, Json, Reply } from "./api-client.ts";
import type { Azurite } from "./azurite.ts";

export interface JobBody extends Json {
  readonly jobId: string;
  readonly status: string;
  readonly progress: number;
  readonly failureReason?: string;
  readonly statistics: Readonly<Record<string, number | null>>;
}

const TERMINAL = ["completed", "failed", "cancelled"];
const POLL_MS = 20;

export async function submitJob(hub: ApiClient, body: Json): Promise<JobBody> {
  const reply = await hub.send<JobBody>("POST", "/jobs/create", { body });
  expect(reply.status, reply.text).toBe(200);
  return reply.body;
}

export async function readJob(hub: ApiClient, jobId: string): Promise<JobBody> {
  const reply: Reply<JobBody> = await hub.send<JobBody>("GET", `/jobs/${jobId}`);
  expect(reply.status, reply.text).toBe(200);
  return reply.body;
}

/** Polls the job until it has ended. `onPoll` sees each state on the way. */
export async function awaitJob(
  hub: ApiClient,
  jobId: string,
  onPoll: (job: JobBody) => void = () => {},
): Promise<JobBody> {
  for (;;) {
    const job = await readJob(hub, jobId);
    onPoll(job);
    if (TERMINAL.includes(job.status)) return job;
    await sleep(POLL_MS);
  }
}

/** One container for what goes in and what comes out. */
export async function importBlob(
  hub: ApiClient,
  azurite: Azurite,
  blob: Buffer | string,
): Promise<{ job: JobBody; log: string; container: string }> {
  const container = await azurite.createContainer();
  await azurite.upload(container, "devices.txt", blob);
  const uri = azurite.containerUri(container);
  const { jobId } = await submitJob(hub, { type: "import", inputBlobContainerUri: uri, outputBlobContainerUri: uri });
  const job = await awaitJob(hub, jobId);
  return { job, log: (await azurite.download(container, "importErrors.log")).toString(), container };
}

/** The blob's text. */
export async function exportHub(hub: ApiClient, azurite: Azurite, options: Json = {}): Promise<string> {
  const container = await azurite.createContainer();
  const body = { type: "export", outputBlobContainerUri: azurite.containerUri(container), ...options };
  const { jobId } = await submitJob(hub, body);
  const job = await awaitJob(hub, jobId);
  expect(job.status, JSON.stringify(job)).toBe("completed");
  const name = String(options["outputBlobName"] ?? "devices.txt");
  return (await azurite.download(container, name)).toString();
}

/** Lines of an export, which must end in CRLF, all of them (contract 15). */
export function exportedLines(text: string): Json[] {
  if (text === "") return [];
  expect(text.endsWith("\r\n")).toBe(true);
  const lines = text.split("\r\n").slice(0, -1);
  expect(lines.some((line) => /[\r\n]/.test(line))).toBe(false);
  return lines.map((line) => JSON.parse(line) as Json);
}

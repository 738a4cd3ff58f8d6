/** hubferry as its users run it: the command in processes of its own, and clients that talk to it over HTTPS. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import https from "node:https";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import iothub from "azure-iothub";
import type { Registry } from "azure-iothub";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));
const START_MS_MAX = 60_000;

export interface ServeOptions {
  readonly dataDir: string;
  /** HUBFERRY_STORAGE_HOSTS. */
  readonly storageHosts?: string;
  readonly host?: string;
  /** A free one without it. */
  readonly port?: number;
  readonly args?: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
}

export interface Hubferry extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly dataDir: string;
  readonly caFile: string;
  /** What the processes have written so far, the worker's too: standard output and standard error. */
  output(): string;
  /** Pids of the workers that have said that they started, the newest last. */
  workerPids(): number[];
  signal(signal: NodeJS.Signals): void;
  /** Resolves to the exit code, or to the signal that ended it. */
  readonly exited: Promise<number | NodeJS.Signals>;
  /** The SDK's own registry client, dialling this server whatever the hub's host name is. */
  registry(connectionString: string): Registry;
}

/** Runs a command to its end. Rejects with what it wrote to standard error when it fails. */
export async function runHubferry(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, ...args], { env: { ...process.env, ...env } });
  return stdout.trim();
}

/** Starts `hubferry serve` and waits until it says that it listens. */
export async function startHubferry(options: ServeOptions): Promise<Hubferry> {
  const { dataDir, storageHosts, host = "127.0.0.1", port = 0, args = [], env = {} } = options;
  const hosts = storageHosts === undefined ? [] : ["--storage-hosts", storageHosts];
  const command = [MAIN, "serve", "--data-dir", dataDir, "--host", host, "--port", String(port), ...hosts, ...args];
  const child = spawn(process.execPath, command, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  const exited = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | NodeJS.Signals);
  let text = "";
  const ready = Promise.withResolvers<number>();
  const collect = (chunk: Buffer) => {
    text += chunk.toString();
    const match = /listens on https:\/\/.*:(\d+)/.exec(text);
    if (match !== null) ready.resolve(Number(match[1]));
  };
  child.stdout.on("data", collect);
  child.stderr.on("data", collect);
  void exited.then((how) => ready.reject(new Error(`hubferry serve ended with ${how}:\n${text}`)));
  const timer = setTimeout(() => ready.reject(new Error(`hubferry serve is not ready:\n${text}`)), START_MS_MAX);
  const listening = await ready.promise
    .catch(async (error: unknown) => {
      child.kill("SIGTERM");
      await exited;
      throw error;
    })
    .finally(() => clearTimeout(timer));
  const caFile = join(dataDir, "tls", "ca.pem");
  const agents: https.Agent[] = [];
  const ca = await readFile(caFile);
  return {
    pid: child.pid!,
    port: listening,
    dataDir,
    caFile,
    output: () => text,
    workerPids: () => [...text.matchAll(/"pid":(\d+),[^\n]*"msg":"worker started"/g)].map((match) => Number(match[1])),
    signal: (signal) => void child.kill(signal),
    exited,
    registry: (connectionString) => {
      const agent = dialingAgent(ca, host, listening);
      agents.push(agent);
      return openRegistry(connectionString, agent);
    },
    [Symbol.asyncDispose]: async () => {
      for (const agent of agents) agent.destroy();
      child.kill("SIGTERM");
      await exited;
    },
  };
}

/** An agent that dials one address, whatever host a client asks for; the host still stands in the Host header. */
export function dialingAgent(ca: Buffer, host: string, port: number): https.Agent {
  const agent = new https.Agent({ ca, keepAlive: true });
  const connect = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) =>
    connect({ ...options, host, port, servername: options.servername ?? options.host ?? host }, callback);
  return agent;
}

/** The SDK takes an agent for its REST client; its types leave the way there out. */
export function openRegistry(connectionString: string, agent: https.Agent): Registry {
  const registry = iothub.Registry.fromConnectionString(connectionString);
  (registry as unknown as { _restApiClient: { setOptions(options: unknown): void } })._restApiClient.setOptions({
    http: { agent },
  });
  return registry;
}

/** A job as the server shows it; the SDK hands it on as it is. */
export interface JobBody {
  readonly jobId: string;
  readonly status: string;
  readonly progress: number;
  readonly failureReason?: string;
  readonly statistics: Readonly<Record<string, number | null>>;
}

/** One call of the SDK, as a promise. */
export function call<T>(work: (callback: (error?: Error | null, result?: T) => void) => void): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  work((error, result) => (error ? reject(error) : resolve(result as T)));
  return promise;
}

/** Polls the job until it has ended. `onPoll` sees each state on the way. */
export async function waitForJob(
  registry: Registry,
  jobId: string,
  onPoll: (job: JobBody) => void = () => {},
  pollMs = 100,
): Promise<JobBody> {
  for (;;) {
    const job = await call<JobBody>((callback) => registry.getJob(jobId, callback as never));
    onPoll(job);
    if (["completed", "failed", "cancelled"].includes(job.status)) return job;
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}

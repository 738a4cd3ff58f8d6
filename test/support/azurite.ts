/** A real Azurite for tests, the demo and the benchmarks. Account and key are Microsoft's public, well-known ones. */
import {
  BlobServiceClient,
  type BlockBlobClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from "@azure/storage-blob";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const ACCOUNT = "devstoreaccount1";
const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const BINARY = fileURLToPath(new URL("../../node_modules/azurite/dist/src/blob/main.js", import.meta.url));
/** Loaded before Azurite: it ends when its standard input does, so it cannot outlive us, even if we are killed. */
const END_WITH_PARENT = "data:text/javascript,process.stdin.on('end',()=>process.exit()).resume().unref()";
const START_MS_MAX = 30_000;
const STOP_MS_MAX = 3_000;
const DAY_MS = 24 * 60 * 60 * 1000;

export interface AzuriteOptions {
  /** Where blobs are kept; in memory without it. */
  readonly directory?: string;
  /** A free one without it. */
  readonly port?: number;
}

export interface SasOptions {
  /** In any order, such as `rwd`, which is the default. */
  readonly permissions?: string;
  /** A day from now by default. */
  readonly expiresOn?: Date;
  readonly startsOn?: Date;
}

export interface Azurite extends AsyncDisposable {
  /** `127.0.0.1:port`, as HUBFERRY_STORAGE_HOSTS takes it. */
  readonly host: string;
  readonly pid: number;
  /** Returns the container's name: the given one, or a random one. */
  createContainer(name?: string): Promise<string>;
  /** The container's URI with a SAS. The container need not be there. */
  containerUri(name: string, sas?: SasOptions): string;
  upload(container: string, blob: string, data: Buffer | string): Promise<void>;
  download(container: string, blob: string): Promise<Buffer>;
  exists(container: string, blob: string): Promise<boolean>;
  /** Names of the blobs, in their order. */
  listBlobs(container: string): Promise<string[]>;
  /** The SDK's client with the account's key, for what the above does not do. */
  readonly service: BlobServiceClient;
}

/** Resolves when it answers. Throws an Error with what it said when it does not come up. */
export async function startAzurite(options: AzuriteOptions = {}): Promise<Azurite> {
  const child = spawnAzurite(options);
  const host = await waitForHost(child);
  const credential = new StorageSharedKeyCredential(ACCOUNT, KEY);
  const base = `http://${host}/${ACCOUNT}`;
  const service = new BlobServiceClient(base, credential);
  const blobOf = (container: string, blob: string): BlockBlobClient =>
    service.getContainerClient(container).getBlockBlobClient(blob);
  return {
    host,
    pid: child.pid ?? 0,
    service,
    async createContainer(name = `c-${randomUUID()}`) {
      await service.createContainer(name);
      return name;
    },
    containerUri: (name, sas = {}) => `${base}/${name}?${signSas(name, sas, credential)}`,
    async upload(container, blob, data) {
      const bytes = Buffer.from(data);
      await blobOf(container, blob).uploadData(bytes);
    },
    download: (container, blob) => blobOf(container, blob).downloadToBuffer(),
    exists: (container, blob) => blobOf(container, blob).exists(),
    async listBlobs(container) {
      const names: string[] = [];
      for await (const item of service.getContainerClient(container).listBlobsFlat()) names.push(item.name);
      return names;
    },
    [Symbol.asyncDispose]: () => stop(child),
  };
}

/** `--skipApiVersionCheck`: storage-blob 12.34 sends a newer x-ms-version than Azurite 3.37 knows. */
function spawnAzurite({ directory, port = 0 }: AzuriteOptions): ChildProcess {
  const place = directory === undefined ? ["--inMemoryPersistence"] : ["--location", directory];
  const flags = [
    "--skipApiVersionCheck",
    "--disableTelemetry",
    "--silent",
    "--blobHost",
    "127.0.0.1",
    "--blobPort",
    String(port),
  ];
  return spawn(process.execPath, ["--import", END_WITH_PARENT, BINARY, ...flags, ...place], {
    stdio: ["pipe", "pipe", "pipe"],
  });
}

/** It says its address once it listens. */
async function waitForHost(child: ChildProcess): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let said = "";
  const listen = (text: Buffer) => {
    said = (said + text.toString()).slice(-10_000);
    const host = /successfully listens on http:\/\/([\d.:]+)/.exec(said)?.[1];
    if (host !== undefined) resolve(host);
  };
  child.stdout?.on("data", listen);
  child.stderr?.on("data", listen);
  child.once("error", reject);
  child.once("exit", () => reject(new Error(`Azurite ended before it listened: ${said}`)));
  const timer = setTimeout(() => reject(new Error(`Azurite did not listen in time: ${said}`)), START_MS_MAX);
  try {
    return await promise;
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function signSas(containerName: string, sas: SasOptions, credential: StorageSharedKeyCredential): string {
  const values = {
    containerName,
    permissions: ContainerSASPermissions.parse(sas.permissions ?? "rwd"),
    expiresOn: sas.expiresOn ?? new Date(Date.now() + DAY_MS),
    ...(sas.startsOn === undefined ? {} : { startsOn: sas.startsOn }),
  };
  return generateBlobSASQueryParameters(values, credential).toString();
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM"); // with a directory it writes its tables out first
  const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
  await ended;
  clearTimeout(timer);
}

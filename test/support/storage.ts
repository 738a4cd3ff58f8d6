/** The tests' Azurite, or a proxy before it, as fault tests use it. */
import { BlobServiceClient, ContainerSASPermissions, RestError, StorageSharedKeyCredential } from "@azure/storage-blob";
import { randomUUID } from "node:crypto";

/** Microsoft's public, well-known account. */
const ACCOUNT = "devstoreaccount1";
const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const DAY_MS = 24 * 60 * 60 * 1000;

export class Container {
  readonly #client;
  readonly #host: string;

  constructor(host: string, name = `c-${randomUUID()}`) {
    const service = new BlobServiceClient(`http://${host}/${ACCOUNT}`, new StorageSharedKeyCredential(ACCOUNT, KEY));
    this.#host = host;
    this.#client = service.getContainerClient(name);
  }

  static async create(host: string): Promise<Container> {
    const container = new Container(host);
    await container.#client.create();
    return container;
  }

  /** With a SAS; `host` may be a proxy's, which no signature covers. */
  async uri(host = this.#host): Promise<string> {
    const permissions = ContainerSASPermissions.parse("rwd");
    const uri = await this.#client.generateSasUrl({ permissions, expiresOn: new Date(Date.now() + DAY_MS) });
    return uri.replace(this.#host, host);
  }

  async upload(blob: string, data: Buffer): Promise<void> {
    await this.#client.getBlockBlobClient(blob).uploadData(data);
  }

  /** Null when there is no such blob. */
  async find(blob: string): Promise<Buffer | null> {
    try {
      return await this.#client.getBlockBlobClient(blob).downloadToBuffer();
    } catch (error) {
      if (error instanceof RestError && error.statusCode === 404) return null;
      throw error;
    }
  }
}

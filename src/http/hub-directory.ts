/** The hubs that this server answers for, with their policies, kept in memory and up to date. */
import pg from "pg";
import type { Database } from "../db/pool.ts";
import { messageOf } from "../errors.ts";
import { isLoopbackName } from "../hubs/hub-name.ts";
import { type Hub, HUBS_CHANGED_CHANNEL, listHubs, listPolicies, type Policy } from "../hubs/hubs.ts";
import { type Logger, withoutSecrets } from "../log.ts";
import type { SecretBox } from "../secret-box.ts";

export interface ServedHub extends Hub {
  readonly policies: readonly Policy[];
}

/** A host that is not known is looked for in the database, but not more often than this. */
const RELOAD_INTERVAL_MS = 1_000;
const RELISTEN_DELAY_MS = 2_000;

/** Called with all hubs. */
type OnChange = (hubs: readonly ServedHub[]) => Promise<void>;

export class HubDirectory implements AsyncDisposable {
  readonly #database: Database;
  readonly #box: SecretBox;
  readonly #log: Logger;
  readonly #onChange: OnChange;
  #hubs: readonly ServedHub[] = [];
  #reloadedAt = 0;
  #reloading: Promise<void> | null = null;
  #listener: pg.Client | null = null;
  #relisten: NodeJS.Timeout | undefined;
  #isClosed = false;

  private constructor(database: Database, box: SecretBox, log: Logger, onChange: OnChange) {
    this.#database = database;
    this.#box = box;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** `onChange` is called with all hubs whenever they have been read, at first before this returns. */
  static async open(database: Database, box: SecretBox, log: Logger, onChange: OnChange): Promise<HubDirectory> {
    const directory = new HubDirectory(database, box, log, onChange);
    await directory.#reload();
    await directory.#listen();
    return directory;
  }

  /** The hub that answers to the host (no port, lower case); null when there is none. */
  async findHub(host: string): Promise<ServedHub | null> {
    const found = this.#find(host);
    if (found !== null) return found;
    // A hub that was created a moment ago is being read just now.
    if (this.#reloading !== null) await this.#reloading.catch((error: unknown) => this.#warn(error));
    else if (Date.now() - this.#reloadedAt >= RELOAD_INTERVAL_MS) await this.#reload();
    return this.#find(host);
  }

  /** Loopback names go to the hub that was created first, unless another claims them. */
  #find(host: string): ServedHub | null {
    return (
      this.#hubs.find((hub) => hub.hostNames.includes(host)) ??
      (isLoopbackName(host) ? this.#hubs[0] : undefined) ??
      null
    );
  }

  /** One after the other, so that the last one to be asked for is the last one to be read. */
  #reload(): Promise<void> {
    const before = this.#reloading ?? Promise.resolve();
    const reload = before.catch(() => {}).then(() => this.#readHubs());
    this.#reloading = reload;
    const forget = () => {
      if (this.#reloading === reload) this.#reloading = null;
    };
    reload.then(forget, forget);
    return reload;
  }

  async #readHubs(): Promise<void> {
    this.#reloadedAt = Date.now();
    const hubs: ServedHub[] = [];
    for (const hub of await listHubs(this.#database))
      hubs.push({ ...hub, policies: await listPolicies(this.#database, this.#box, hub.hubId) });
    this.#hubs = hubs;
    await this.#onChange(hubs);
  }

  /** On a connection of its own: one of the pool's would be lost to the pool for good. */
  async #listen(): Promise<void> {
    if (this.#isClosed) return;
    const listener = new pg.Client(this.#database.options);
    const again = () => {
      if (this.#isClosed || this.#listener !== listener) return;
      this.#listener = null;
      this.#relisten = setTimeout(() => void this.#listen(), RELISTEN_DELAY_MS);
    };
    this.#listener = listener;
    listener.on("notification", () => void this.#reload().catch((error: unknown) => this.#warn(error)));
    listener.on("error", (error) => {
      this.#warn(error);
      again();
    });
    listener.on("end", again);
    try {
      await listener.connect();
      await listener.query(`listen ${HUBS_CHANGED_CHANNEL}`);
      await this.#reload();
    } catch (error) {
      this.#warn(error);
      again();
    }
  }

  #warn(error: unknown): void {
    this.#log.warn({ err: withoutSecrets(messageOf(error)) }, "hubs could not be read");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#relisten);
    await this.#listener?.end().catch(() => {});
  }
}

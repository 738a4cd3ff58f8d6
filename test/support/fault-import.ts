/** An import under way that a test does something terrible to, and what it must come to all the same. */
import { expect } from "vitest";
import { expectCounts, expectErrors, Expected, faultFile } from "./fault-file.ts";
import { type FaultHub, type FaultServer, hasEnded, type JobRow } from "./fault-server.ts";
import { Container } from "./storage.ts";

/** A file and what the reference makes of it in an empty hub. */
export interface PreparedFile {
  readonly file: Buffer;
  readonly expected: Expected;
  readonly result: ReturnType<Expected["apply"]>;
}

const prepared = new Map<string, PreparedFile>();

/** Takes a second or two in which this process does nothing else, so it is done once, before anything is started. */
export function prepareFile(seed: number, identities: number): PreparedFile {
  const key = `${seed} ${identities}`;
  const file = prepared.get(key)?.file ?? faultFile(seed, identities);
  const expected = new Expected();
  const made = prepared.get(key) ?? { file, expected, result: expected.apply(file) };
  prepared.set(key, made);
  return made;
}

const LOG = "importErrors.log";

export class FaultImport implements Disposable {
  readonly jobId: string;
  readonly hub: FaultHub;
  readonly #prepared: PreparedFile;
  readonly #server: FaultServer;
  readonly #container: Container;
  readonly #release: () => void;

  private constructor(
    server: FaultServer,
    hub: FaultHub,
    file: PreparedFile,
    submitted: { container: Container; jobId: string; release: () => void },
  ) {
    this.#server = server;
    this.hub = hub;
    this.#prepared = file;
    this.jobId = submitted.jobId;
    this.#container = submitted.container;
    this.#release = submitted.release;
  }

  /** The job uses the server's proxy, by which it cannot end before `expectUndisturbed`. */
  static async submit(server: FaultServer, hub: FaultHub, file: PreparedFile, storage: string): Promise<FaultImport> {
    const { proxy } = server;
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    // This process may be busy while the job is fast: no fault must come too late because of that.
    proxy.onRequest = (call, blob) =>
      blob === LOG && (call === "block" || call === "commit") ? released.then(() => "pass") : "pass";
    const container = await Container.create(storage);
    const jobId = await hub.import(container, file.file, proxy.host);
    return new FaultImport(server, hub, file, { container, jobId, release });
  }

  /** Waits until an attempt after `attempt` runs and this share of the file is done with. */
  async reach(share: number, attempt = 0): Promise<JobRow> {
    const offset = Math.floor(share * this.#prepared.file.length);
    const row = await this.#server.waitForRow(
      this.jobId,
      (now) => hasEnded(now) || (now.attempt > attempt && now.status === "running" && now.byteOffset >= offset),
    );
    expect(row, "the job must run until it may end").toMatchObject({ status: "running", failureReason: null });
    return row;
  }

  /** Lets the job end and compares everything that there is with the reference. */
  async expectUndisturbed(label: string): Promise<JobRow> {
    const { file, expected, result } = this.#prepared;
    this.#release();
    const end = await this.#server.waitForEnd(this.jobId);
    const { status, progress, statistics } = await this.hub.getJob(this.jobId);
    const shown = { status, progress, reason: end.failureReason };
    expect(shown, label).toEqual({ status: "completed", progress: 100, reason: null });
    expectCounts(statistics, result, label);
    expect(statistics, label).toMatchObject({ bytes: file.length, bytesTotal: file.length });
    const log = await this.#container.find(LOG);
    await expectErrors(this.#server.database, this.jobId, log, result.errors, label);
    await expected.expectRegistry(this.#server.database, this.hub.hubId, label);
    return end;
  }

  [Symbol.dispose](): void {
    this.#release();
  }
}

/** Invariant 8: a job whose secrets were sealed with a key that is gone ends too, and its hub's next import runs. */
import { expect, inject, test } from "vitest";
import { SecretBox } from "../../src/secret-box.ts";
import { openLog } from "../../src/log.ts";
import { parseStorageHosts } from "../../src/blob/storage-hosts.ts";
import { runJob } from "../../workers/run-job.ts";
import { isTerminal } from "../../src/jobs/job-status.ts";
import { ATTEMPTS_WITHOUT_PROGRESS_MAX } from "../../src/limits.ts";
import { faultFile } from "../support/fault-file.ts";
import { WorkerGround } from "../support/worker-ground.ts";

test("a job whose secrets do not open ends as failed", async () => {
  await using ground = await WorkerGround.open("postgres", inject("azurite").host);
  const hub = await ground.createHub("contoso");
  const jobId = await ground.import(hub, await ground.createContainer(), faultFile(1, 10), false);
  const worker = {
    workerId: "worker",
    database: ground.database,
    box: new SecretBox(Buffer.alloc(32, 9)),
    queue: ground.queue,
    storageHosts: parseStorageHosts(ground.proxy.host),
    log: openLog("silent"),
    draining: new AbortController().signal,
  };
  for (let attempt = 1; attempt <= ATTEMPTS_WITHOUT_PROGRESS_MAX + 1; attempt++) {
    await runJob(worker, jobId).catch(() => {});
    if (isTerminal((await ground.getJob(hub, jobId)).status)) break;
    // As if the wait, or the lease, were over.
    await ground.database.query("update jobs set not_before = null, heartbeat_at = '-infinity'");
  }
  const job = await ground.getJob(hub, jobId);
  expect(job.status).toBe("failed");
  expect(job.failureReason).toMatch(/HUBFERRY_SECRET_KEY/);
});

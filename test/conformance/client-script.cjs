/**
 * A script as its users have it: plain JavaScript, the `azure-iothub` client as it is, on port 443 of the hub's host,
 * trusting what NODE_EXTRA_CA_CERTS names. Prints a JSON object with what each call gave.
 */
const { Registry } = require("azure-iothub");
const { setTimeout: sleep } = require("node:timers/promises");

const { CONNECTION_STRING, INPUT_URI, OUTPUT_URI } = process.env;

async function main() {
  const registry = Registry.fromConnectionString(CONNECTION_STRING);
  const seen = {};
  // The client answers jobs with the body alone and everything else with the body beside the response.
  const body = async (call) => {
    const result = await call;
    return result.responseBody ?? result;
  };
  const waitFor = async (jobId) => {
    for (;;) {
      const job = await body(registry.getJob(jobId));
      if (["completed", "failed", "cancelled"].includes(job.status)) return job;
      await sleep(50);
    }
  };
  const failure = (call) =>
    call.then(
      () => null,
      (error) => `${error.name}: ${error.message}`,
    );

  // ---- single identities ----
  seen.created = await body(registry.create({ deviceId: "script-1" }));
  seen.createdAgain = await failure(registry.create({ deviceId: "script-1" }));
  seen.got = await body(registry.get("script-1"));
  seen.updated = await body(registry.update({ deviceId: "script-1", status: "disabled", statusReason: "test" }));
  seen.unknown = await failure(registry.get("nobody"));
  seen.invalid = await failure(registry.create({ deviceId: "invalid/name" }));
  const odd = "a-b:c.d+e%f_g#h*i?j!k(l),m=n@o$p'q;r";
  seen.oddId = (await body(registry.create({ deviceId: odd }))).deviceId;
  seen.oddIdGot = (await body(registry.get(odd))).deviceId;
  await registry.delete(odd);
  seen.oddIdGone = await failure(registry.get(odd));
  await registry.create({
    deviceId: "script-x",
    authentication: {
      type: "selfSigned",
      x509Thumbprint: { primaryThumbprint: "0".repeat(40), secondaryThumbprint: "1".repeat(40) },
    },
  });
  seen.x509 = (await body(registry.get("script-x"))).authentication;
  await registry.create({ deviceId: "script-ca", authentication: { type: "certificateAuthority" } });
  seen.edge = await body(registry.create({ deviceId: "script-edge", capabilities: { iotEdge: true } }));
  seen.child = await body(registry.create({ deviceId: "script-child", deviceScope: seen.edge.deviceScope }));
  seen.edgeModules = (await body(registry.getModulesOnDevice("script-edge"))).map((module) => module.moduleId);

  // ---- modules ----
  seen.module = await body(registry.addModule({ deviceId: "script-1", moduleId: "m1", managedBy: "me" }));
  seen.moduleAgain = await failure(registry.addModule({ deviceId: "script-1", moduleId: "m1" }));
  const module = await body(registry.getModule("script-1", "m1"));
  seen.moduleUpdated = await body(registry.updateModule(module));
  seen.moduleStale = await failure(registry.updateModule(module));
  seen.moduleForced = (await body(registry.updateModule({ deviceId: "script-1", moduleId: "m1" }, true))).moduleId;
  await registry.addModule({ deviceId: "script-1", moduleId: "m2" });
  await registry.removeModule("script-1", "m2");
  seen.modules = (await body(registry.getModulesOnDevice("script-1"))).map((one) => one.moduleId);

  // ---- bulk ----
  seen.added = await body(registry.addDevices([{ deviceId: "bulk-1" }, { deviceId: "bulk-2", status: "disabled" }]));
  seen.addedAgain = await failure(registry.addDevices([{ deviceId: "bulk-1" }]));
  seen.forced = await body(registry.updateDevices([{ deviceId: "bulk-1", status: "disabled" }], true));
  const { etag } = await body(registry.get("bulk-1"));
  seen.matched = await body(registry.updateDevices([{ deviceId: "bulk-1", status: "enabled", etag }], false));
  seen.mismatched = await failure(registry.updateDevices([{ deviceId: "bulk-1", status: "enabled", etag }], false));
  seen.removed = await body(registry.removeDevices([{ deviceId: "bulk-1" }], true));
  const second = await body(registry.get("bulk-2"));
  seen.removedMatching = await body(registry.removeDevices([{ deviceId: "bulk-2", etag: second.etag }], false));
  seen.listed = (await body(registry.list())).map((device) => device.deviceId);
  seen.statistics = await body(registry.getRegistryStatistics());
  await registry.delete("script-ca");

  // ---- jobs ----
  const importJob = await body(registry.importDevicesFromBlob(INPUT_URI, OUTPUT_URI));
  seen.importCreated = importJob;
  seen.imported = await waitFor(importJob.jobId);
  const exportJob = await body(registry.exportDevicesToBlob(OUTPUT_URI, false));
  seen.exported = await waitFor(exportJob.jobId);
  seen.statisticsAfter = await body(registry.getRegistryStatistics());
  const cancelled = await body(registry.importDevicesFromBlob(INPUT_URI, OUTPUT_URI));
  await registry.cancelJob(cancelled.jobId);
  seen.cancelled = await body(registry.getJob(cancelled.jobId));
  seen.jobs = (await body(registry.listJobs())).map((job) => job.jobId);
  seen.jobsExpected = [cancelled.jobId, exportJob.jobId, importJob.jobId];
  seen.unknownJob = await failure(registry.getJob("00000000-0000-0000-0000-000000000000"));
  process.stdout.write(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});

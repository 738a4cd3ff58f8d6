/** A script that knows nothing of hubferry: the unmodified `azure-iothub` client on port 443 (contract 15). */
import { execFile } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { startAzurite } from "../support/azurite.ts";
import { runHubferry, startHubferry } from "../support/hubferry.ts";

const SCRIPT = fileURLToPath(new URL("client-script.cjs", import.meta.url));
const ADDRESSES_TRIED_MAX = 5;
const BASE64_OF_32_BYTES = /^[A-Za-z0-9+/]{43}=$/;

test("runs against port 443 of a loopback address", async ({ skip, onTestFinished }) => {
  const address = await findAddress();
  if (address.reason !== null) skip(`no loopback address with a port 443 that can be bound: ${address.reason}`);
  const seen = await runScript(address.host, (cleanUp) => onTestFinished(cleanUp));

  expect(seen["created"]).toMatchObject({
    deviceId: "script-1",
    status: "enabled",
    authentication: {
      type: "sas",
      symmetricKey: {
        primaryKey: expect.stringMatching(BASE64_OF_32_BYTES),
        secondaryKey: expect.stringMatching(BASE64_OF_32_BYTES),
      },
    },
    parentScopes: [],
  });
  expect(seen["createdAgain"]).toBe("DeviceAlreadyExistsError: A device with ID 'script-1' is already registered.");
  expect(seen["got"]).toMatchObject({ deviceId: "script-1", connectionState: "Disconnected" });
  expect(seen["updated"]).toMatchObject({ status: "disabled", statusReason: "test" });
  expect(seen["unknown"]).toBe("DeviceNotFoundError: nobody");
  expect(seen["invalid"]).toBe('ArgumentError: The device identifier "invalid/name" is invalid.');
  const odd = "a-b:c.d+e%f_g#h*i?j!k(l),m=n@o$p'q;r";
  expect([seen["oddId"], seen["oddIdGot"], seen["oddIdGone"]]).toEqual([
    odd,
    odd,
    // The SDK takes the text up to the next `;` of Message.
    expect.stringMatching(/^DeviceNotFoundError: a-b/),
  ]);
  expect(seen["x509"]).toEqual({
    symmetricKey: { primaryKey: null, secondaryKey: null },
    x509Thumbprint: { primaryThumbprint: "0".repeat(40), secondaryThumbprint: "1".repeat(40) },
    type: "selfSigned",
  });
  const scope = expect.stringMatching(/^ms-azure-iot-edge:\/\/script-edge-\d+$/);
  expect(seen["edge"]).toMatchObject({ capabilities: { iotEdge: true }, deviceScope: scope });
  expect(seen["child"]).toMatchObject({ deviceScope: scope, parentScopes: [scope] });
  expect(seen["edgeModules"]).toEqual(["$edgeAgent", "$edgeHub"]);

  expect(seen["module"]).toMatchObject({ deviceId: "script-1", moduleId: "m1", managedBy: "me" });
  expect(seen["moduleAgain"]).toMatch(/^DeviceAlreadyExistsError: Device script-1 in IotHub script already contains/);
  expect(seen["moduleUpdated"]).toMatchObject({ moduleId: "m1", managedBy: "me" });
  expect(seen["moduleStale"]).toMatch(/^InvalidEtagError: /);
  expect([seen["moduleForced"], seen["modules"]]).toEqual(["m1", ["m1"]]);

  const success = { isSuccessful: true, errors: [], warnings: [] };
  for (const name of ["added", "forced", "matched", "removed", "removedMatching"])
    expect(seen[name], name).toEqual(success);
  expect(seen["addedAgain"]).toMatch(/^ArgumentError: .*"deviceId":"bulk-1","errorCode":409001/);
  expect(seen["mismatched"]).toMatch(/^ArgumentError: .*"errorCode":412001/);
  expect(seen["listed"]).toEqual(["script-1", "script-ca", "script-child", "script-edge", "script-x"]);
  expect(seen["statistics"]).toEqual({ totalDeviceCount: 5, enabledDeviceCount: 4, disabledDeviceCount: 1 });

  expect(seen["importCreated"]).toMatchObject({ type: "import", progress: 0 });
  expect(seen["imported"]).toMatchObject({
    status: "completed",
    progress: 100,
    statistics: { lines: 500, created: 500 },
  });
  // 4 devices and 2 system modules and 1 module of the script's beside the imported.
  expect(seen["exported"]).toMatchObject({ status: "completed", progress: 100, statistics: { lines: 507 } });
  expect(seen["statisticsAfter"]).toMatchObject({ totalDeviceCount: 504 });
  expect(seen["cancelled"]).toMatchObject({ status: expect.stringMatching(/^(cancelled|completed)$/) });
  expect(seen["jobs"]).toEqual(seen["jobsExpected"]);
  expect(seen["unknownJob"]).toMatch(/^(JobNotFoundError|Error): /);
});

type CleanUp = (work: () => Promise<void>) => void;

async function runScript(host: string, defer: CleanUp): Promise<Record<string, unknown>> {
  const stack = new AsyncDisposableStack();
  defer(() => stack.disposeAsync());
  const azurite = stack.use(await startAzurite());
  const [input, output] = [await azurite.createContainer(), await azurite.createContainer()];
  const lines = Array.from({ length: 500 }, (_, index) =>
    JSON.stringify({ id: `imported-${index}`, importMode: "create" }),
  );
  await azurite.upload(input, "devices.txt", lines.join("\r\n"));
  const dataDir = await mkdtemp(join(tmpdir(), "hubferry-script-"));
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  // Made before the server runs, which also shows that the command needs no server.
  await runHubferry(["hub", "create", "script", "--host-name", host, "--data-dir", dataDir]);
  const hubferry = stack.use(await startHubferry({ dataDir, host, port: 443, storageHosts: azurite.host }));
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT], {
    env: {
      PATH: process.env["PATH"],
      NODE_EXTRA_CA_CERTS: hubferry.caFile,
      CONNECTION_STRING: await runHubferry(["hub", "connection-string", "script", "--data-dir", dataDir]),
      INPUT_URI: azurite.containerUri(input, { permissions: "rl" }),
      OUTPUT_URI: azurite.containerUri(output),
    },
  });
  return JSON.parse(stdout) as Record<string, unknown>;
}

/** A loopback address that nobody uses, whose port 443 this user may bind: that may take a right of its own. */
async function findAddress(): Promise<{ host: string; reason: string | null }> {
  let reason: string | null = null;
  for (let tries = 0; tries < ADDRESSES_TRIED_MAX; tries++) {
    const host = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
    reason = await reasonNotBindable(host);
    if (reason === null) return { host, reason };
  }
  return { host: "", reason };
}

async function reasonNotBindable(host: string): Promise<string | null> {
  const server = createServer().listen(443, host);
  try {
    await once(server, "listening");
  } catch (error) {
    return (error as Error).message;
  }
  server.close();
  await once(server, "close");
  return null;
}

/** `hubferry work`: a worker alone; also what `serve` runs as its child. */
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { startWorker } from "../../workers/main.ts";
import { openDeployment } from "../deployment.ts";
import { openLog } from "../log.ts";
import { watchPostgres } from "./watch-postgres.ts";
import { readConfig } from "./settings.ts";
import { aborted, listenForShutdown } from "./signals.ts";

/** Each job takes one connection for its batch or its snapshot; heartbeats, sweeps and the queue share the rest. */
const CONNECTIONS_BESIDE_JOBS = 4;

/** Works until a signal, or the loss of its parent, asks it to drain. */
export async function work(command: Command, env: NodeJS.ProcessEnv): Promise<void> {
  const config = readConfig(command, env);
  const workerId = command.opts<{ workerId?: string }>().workerId ?? randomUUID();
  const log = openLog(config.logLevel).child({ worker: workerId });
  using shutdown = listenForShutdown(() => {});
  // A worker whose server is gone ends too: whoever starts the server again starts a worker with it.
  process.on("disconnect", () => shutdown.request());
  await using stack = new AsyncDisposableStack();
  const deployment = stack.use(await openDeployment(config, config.jobsPerWorker + CONNECTIONS_BESIDE_JOBS, log));
  if (deployment.postgres !== null && process.send === undefined) stack.use(watchPostgres(deployment.postgres, log));
  const { database, box } = deployment;
  stack.use(
    startWorker({
      workerId,
      database,
      redisUrl: config.redisUrl,
      box,
      storageHosts: config.storageHosts,
      jobsMax: config.jobsPerWorker,
      log,
    }),
  );
  log.info("worker started");
  await aborted(shutdown.signal);
  log.info("worker draining");
  await stack.disposeAsync();
  // Otherwise the channel to the parent would keep the process.
  process.disconnect?.();
}

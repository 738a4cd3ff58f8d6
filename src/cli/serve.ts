/** `hubferry serve`: the API over HTTPS, with a worker beside it. */
import { join } from "node:path";
import type { Server } from "node:https";
import type { Command } from "commander";
import type { FastifyInstance } from "fastify";
import type { Config } from "../config.ts";
import { acquireServeLock } from "../db/embedded-postgres.ts";
import { type Deployment, openDeployment } from "../deployment.ts";
import { messageOf } from "../errors.ts";
import { openApp } from "../http/app.ts";
import { type CertificateAuthority, openCertificateAuthority } from "../http/certificates.ts";
import { HubDirectory, type ServedHub } from "../http/hub-directory.ts";
import { DRAIN_REQUESTS_MS_MAX } from "../limits.ts";
import { type Logger, openLog } from "../log.ts";
import { openJobQueue } from "../queue/job-queue.ts";
import { readConfig } from "./settings.ts";
import { aborted, listenForShutdown } from "./signals.ts";
import { watchPostgres } from "./watch-postgres.ts";
import { WorkerChild } from "./worker-child.ts";

const CONNECTIONS_MAX = 20;

/** Serves until a signal asks it to drain. */
export async function serve(command: Command, env: NodeJS.ProcessEnv): Promise<void> {
  const config = readConfig(command, env);
  const log = openLog(config.logLevel);
  let worker: WorkerChild | null = null;
  let deployment: Deployment | null = null;
  using shutdown = listenForShutdown(() => {
    worker?.killAtOnce();
    deployment?.postgres?.stopAtOnce();
  });
  await using stack = new AsyncDisposableStack();
  deployment = stack.use(await openDeployment(config, CONNECTIONS_MAX, log));
  const { database, postgres } = deployment;
  if (postgres !== null) {
    stack.use(await acquireServeLock(postgres));
    stack.use(watchPostgres(postgres, log, () => shutdown.request()));
  }
  const app = await openServer(config, deployment, stack, log);
  if (command.opts<{ worker: boolean }>().worker)
    worker = stack.use(new WorkerChild(workerArguments(command), database, log));
  await app.listen({ host: config.host, port: config.port });
  stack.defer(() => closeApp(app, log));
  await announce(config, app, deployment);
  await aborted(shutdown.signal);
  log.info("draining");
  await stack.disposeAsync();
}

/** The app with all that it needs; what has to be closed is on the stack. */
async function openServer(
  config: Config,
  deployment: Deployment,
  stack: AsyncDisposableStack,
  log: Logger,
): Promise<FastifyInstance> {
  const { database, box } = deployment;
  const authority = config.tls === null ? await openCertificateAuthority(tlsDirectory(config)) : null;
  const queue = stack.use(openJobQueue({ database, redisUrl: config.redisUrl }, log));
  let app: FastifyInstance | null = null;
  let certificate = config.tls;
  const onChange = async (hubs: readonly ServedHub[]) => {
    if (authority === null) return;
    certificate = await issueFor(authority, hubs);
    (app?.server as Server | undefined)?.setSecureContext(certificate);
  };
  const hubs = stack.use(await HubDirectory.open(database, box, log, onChange));
  app = openApp({ database, hubs, queue, box, storageHosts: config.storageHosts, log }, certificate);
  return app;
}

function tlsDirectory(config: Config): string {
  return join(config.dataDir, "tls");
}

/** For this machine's own names, and whatever the hubs answer to. */
async function issueFor(
  authority: CertificateAuthority,
  hubs: readonly ServedHub[],
): Promise<{ cert: string; key: string }> {
  const names = new Set(["localhost", "127.0.0.1", "::1", ...hubs.flatMap((hub) => hub.hostNames)]);
  return authority.issue([...names]);
}

/** The settings that were given as flags; the environment is inherited. */
function workerArguments(command: Command): string[] {
  const given = command.opts<Record<string, string>>();
  const flags = ["data-dir", "database-url", "redis-url", "storage-hosts", "log-level", "worker-jobs"];
  return flags.flatMap((flag) => {
    const value = given[flag.replace(/-([a-z])/g, (_match, letter: string) => letter.toUpperCase())];
    return value === undefined ? [] : [`--${flag}`, value];
  });
}

/** New requests are refused at once; those under way get some time. */
async function closeApp(app: FastifyInstance, log: Logger): Promise<void> {
  const timer = setTimeout(() => app.server.closeAllConnections(), DRAIN_REQUESTS_MS_MAX);
  await app.close().catch((error: unknown) => log.warn({ err: messageOf(error) }, "the server did not close cleanly"));
  clearTimeout(timer);
}

async function announce(config: Config, app: FastifyInstance, { database }: Deployment): Promise<void> {
  const address = app.server.address();
  const port = typeof address === "object" && address !== null ? address.port : config.port;
  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  const { rows } = await database.query<{ name: string }>("select name from hubs order by hub_id limit 1");
  const first = rows[0]?.name;
  const lines = [
    `hubferry listens on https://${host}:${port}`,
    config.tls === null
      ? `  CA certificate:     ${join(tlsDirectory(config), "ca.pem")}`
      : "  certificate:        yours",
    ...(first === undefined ? ["  create a hub:       hubferry hub create NAME"] : []),
    `  connection string:  hubferry hub connection-string ${first ?? "NAME"}`,
  ];
  process.stdout.write(`${lines.join("\n")}\n`);
}

/**
 * The queue: it tells workers to look at a job's row, and nothing else. Messages may be lost, doubled or late; the row
 * is the truth and a sweep makes up for what is missing. BullMQ on PostgreSQL or on Redis: one code path.
 */
import {
  createPostgresBackend,
  createRedisBackend,
  DEFAULT_SCHEMA,
  type JobsOptions,
  type PgPoolConfig,
  runMigrations,
  withBackend,
} from "bullmq";
import { Redis, type RedisOptions } from "ioredis";
import { type Database, withConnection } from "../db/pool.ts";
import { type Logger, withoutSecrets } from "../log.ts";

/** Where the queue is kept: Redis where there is one, else the database. */
export interface QueueBackend {
  readonly database: Database;
  readonly redisUrl: string | null;
}

/** BullMQ's classes are typed by their backend; this is what both have. */
interface Sender {
  add(name: string, data: Message, options: JobsOptions): Promise<unknown>;
  close(): Promise<void>;
  on(event: "error", listener: (error: Error) => void): unknown;
}

interface Receiver extends Pick<Sender, "on"> {
  close(force: boolean): Promise<void>;
}

/** What the queue carries: an id and nothing else. */
interface Message {
  readonly jobId: string;
}

const QUEUE_NAME = "hubferry-jobs";
const MESSAGE_NAME = "look";
const SEND_TIMEOUT_MS = 2_000;
/** From the last handler's end on. */
const CLOSE_TIMEOUT_MS = 5_000;
/** Of each of the queue's two sides. */
const CONNECTIONS_MAX = 3;
/** A message that was taken is gone: what is to be kept stands in the job's row. */
const MESSAGE_OPTIONS = { removeOnComplete: true, removeOnFail: true, attempts: 1 } as const;
/** A message whose worker died is given to another one after at most the sum of these. */
const CONSUMER_OPTIONS = { lockDuration: 10_000, stalledInterval: 5_000, maxStalledCount: 1_000 } as const;

export interface JobQueue extends AsyncDisposable {
  /**
   * Wakes a worker; nothing happens while an earlier message of the same job is there. Never throws: a message that
   * could not be sent is left to the sweep.
   */
  send(jobId: string): Promise<void>;
}

/** Makes the queue's tables where the database has none. Not needed on Redis. */
export async function migrateQueue({ database, redisUrl }: QueueBackend): Promise<void> {
  if (redisUrl !== null) return;
  await withConnection(database, (connection) => runMigrations(connection));
}

/** Opens the sending side. */
export function openJobQueue(backend: QueueBackend, log: Logger): JobQueue {
  const { connection, close } = openBackend(backend, log, { maxRetriesPerRequest: 1, enableOfflineQueue: false });
  const queue: Sender =
    connection instanceof Redis
      ? new (withBackend(createRedisBackend).Queue)<Message>(QUEUE_NAME, { connection })
      : new (withBackend(createPostgresBackend).Queue)<Message>(QUEUE_NAME, { connection });
  queue.on("error", warnNowAndThen(log, "the queue is out of reach"));
  return {
    send: async (jobId) => {
      try {
        await within(SEND_TIMEOUT_MS, queue.add(MESSAGE_NAME, { jobId }, { ...MESSAGE_OPTIONS, jobId }));
      } catch (error) {
        log.warn({ jobId, err: withoutSecrets(String(error)) }, "a message could not be sent; the sweep will");
      }
    },
    [Symbol.asyncDispose]: async () => {
      await queue.close();
      close();
    },
  };
}

/** Opens the receiving side: `handle` is called for each message, `concurrency` at once, and must not throw. */
export function openConsumer(
  backend: QueueBackend,
  concurrency: number,
  handle: (jobId: string) => Promise<void>,
  log: Logger,
): AsyncDisposable {
  // BullMQ asks for this where a worker blocks on Redis: it waits for a lost server as long as it takes.
  const { connection, close } = openBackend(backend, log, { maxRetriesPerRequest: null });
  const active = new Set<Promise<void>>();
  const process = async ({ data }: { data: Message }) => {
    const handling = handle(data.jobId);
    active.add(handling);
    await handling.finally(() => active.delete(handling));
  };
  const options = { concurrency, ...CONSUMER_OPTIONS };
  const worker: Receiver =
    connection instanceof Redis
      ? new (withBackend(createRedisBackend).Worker)<Message>(QUEUE_NAME, process, { connection, ...options })
      : new (withBackend(createPostgresBackend).Worker)<Message>(QUEUE_NAME, process, { connection, ...options });
  worker.on("error", warnNowAndThen(log, "the queue is out of reach"));
  return {
    [Symbol.asyncDispose]: async () => {
      // Whoever is being handled is waited for. BullMQ would then say good-bye to a store that may be away for ever.
      const isReachable = !(connection instanceof Redis) || connection.status === "ready";
      const closing = worker.close(!isReachable);
      await Promise.allSettled(active);
      await within(CLOSE_TIMEOUT_MS, closing).catch((error: unknown) => {
        log.warn({ err: withoutSecrets(String(error)) }, "the queue was left without a good-bye");
      });
      close();
    },
  };
}

/** On PostgreSQL, BullMQ opens connections of its own: its functions lie in a schema that only their search path has. */
function openBackend({ database, redisUrl }: QueueBackend, log: Logger, options: RedisOptions) {
  if (redisUrl === null)
    return { connection: { ...connectionOptions(database), schema: DEFAULT_SCHEMA }, close: () => {} };
  const connection = new Redis(redisUrl, { ...options, replyMapping: "legacy" });
  connection.on("error", warnNowAndThen(log, "Redis is out of reach"));
  return { connection, close: () => connection.disconnect() };
}

function connectionOptions({ options }: Database): PgPoolConfig {
  const { types: _, ...connection } = options;
  // The pool keeps its password out of sight of a spread.
  const password = options.password === undefined ? {} : { password: options.password as string };
  return { ...(connection as PgPoolConfig), ...password, max: CONNECTIONS_MAX, application_name: "hubferry queue" };
}

const WARN_INTERVAL_MS = 10_000;

/** A store that is away makes hundreds of errors a second. */
function warnNowAndThen(log: Logger, message: string): (error: Error) => void {
  let warnedAt = -Infinity;
  return (error) => {
    const now = performance.now();
    if (now - warnedAt < WARN_INTERVAL_MS) return;
    warnedAt = now;
    log.warn({ err: withoutSecrets(error.message) }, message);
  };
}

async function within<T>(timeoutMs: number, promise: Promise<T>): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Every bound of the system, with its unit in the name, its reason, and Azure IoT Hub's own value where it has one.
 * Relations between bounds are asserted at the end, when the module loads.
 */
import { strict as assert } from "node:assert";

// ---- identities (Azure: IoT Hub quotas, identity registry reference) ----

/** Azure's own. Characters of a device or module id. */
export const DEVICE_ID_LENGTH_MAX = 128;
/** Azure's own. */
export const STATUS_REASON_LENGTH_MAX = 128;
/** Azure's own: user modules of one device; `$edgeAgent` and `$edgeHub` do not count. */
export const MODULES_PER_DEVICE_MAX = 50;
/** Azure's own: decoded bytes of a symmetric key. */
export const SYMMETRIC_KEY_BYTES_MIN = 16;
export const SYMMETRIC_KEY_BYTES_MAX = 64;
/** Azure generates 32-byte keys. */
export const SYMMETRIC_KEY_BYTES_GENERATED = 32;

// ---- twins (Azure's own) ----

export const TWIN_TAGS_BYTES_MAX = 8 * 1024;
export const TWIN_PROPERTIES_BYTES_MAX = 32 * 1024;
export const TWIN_KEY_BYTES_MAX = 1024;
export const TWIN_VALUE_BYTES_MAX = 4 * 1024;
export const TWIN_DEPTH_MAX = 10;
/** Integers are kept within what a double represents with a bit to spare, as Azure does. */
export const TWIN_INTEGER_MAX = 2 ** 52;

// ---- API ----

/** Azure's own: items of one bulk POST /devices. */
export const BULK_ITEMS_MAX = 100;
/** Azure's own: identities of one GET /devices. */
export const LIST_DEVICES_MAX = 1000;
/** 100 bulk items with full twins (72 KiB each) fit; a body is held in memory. */
export const REQUEST_BODY_BYTES_MAX = 8 * 1024 * 1024;
/** Time past `se` at which a SAS token is still taken: clocks differ (the C# SDK allows the same). */
export const SAS_CLOCK_SKEW_SECONDS = 300;
/** A drain waits this long for requests under way before it cuts them. */
export const DRAIN_REQUESTS_MS_MAX = 10_000;

// ---- import ----

/** A line above this is reported and skipped without being held (contract 16). */
export const LINE_BYTES_MAX = 1024 * 1024;
/** Lines that one transaction applies: larger gains nothing measurable, and a crash or cancel loses more. */
export const BATCH_LINES_MAX = 5_000;
/** Bytes that one transaction applies: bounds memory when lines are long. */
export const BATCH_BYTES_MAX = 4 * 1024 * 1024;
/** Bytes of one ranged read of the input blob. One is parsed while the next one is fetched. */
export const READ_CHUNK_BYTES = 4 * 1024 * 1024;
/** A malformed line is quoted in its error up to here, so that a log of bad lines stays readable. */
export const ERROR_LINE_QUOTE_CHARS_MAX = 2_048;

// ---- export ----

/** One staged block. Azure takes up to 4,000 MiB and 50,000 blocks a blob: 195 GiB here. */
export const BLOCK_BYTES = 4 * 1024 * 1024;
/** Blocks on their way at once. */
export const BLOCKS_IN_FLIGHT_MAX = 4;

// ---- jobs ----

/** A running job whose holder has not been heard of for this long may be claimed by another worker. */
export const LEASE_MS = 15_000;
/** How often the holder says that it lives; also how soon it notices a cancel where no batch commits. */
export const HEARTBEAT_MS = 3_000;
/** How often lost wake-ups are looked for. */
export const SWEEP_INTERVAL_MS = 5_000;
/** Attempts in a row that commit nothing before the job is failed: a job that kills its worker must end too. */
export const ATTEMPTS_WITHOUT_PROGRESS_MAX = 10;
/** Wait before a job whose attempt met a passing fault is tried again, doubled for each attempt without progress. */
export const RETRY_DELAY_MS = 1_000;
export const RETRY_DELAY_MS_MAX = 60_000;
/** Jobs that one worker process runs at once: one of them may be an export beside an import. */
export const JOBS_PER_WORKER = 2;
/** Jobs that GET /jobs returns: the API has no paging (contract 1.1). */
export const LIST_JOBS_MAX = 1_000;

assert(HEARTBEAT_MS * 3 <= LEASE_MS, "a lease must outlive lost heartbeats");
assert(LINE_BYTES_MAX <= BATCH_BYTES_MAX, "the longest line must fit a batch");
assert(BATCH_LINES_MAX < 10_000, "generation ids number the identities of a batch with four digits");
assert(BULK_ITEMS_MAX <= BATCH_LINES_MAX, "a bulk request is one batch");

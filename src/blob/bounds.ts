/** Bounds of the traffic with storage that no other folder needs. Blocks and chunks are in ../limits.ts. */

/** A request, or a body under way, without a byte in either direction for this long is cut and tried again. */
export const SOCKET_IDLE_MS_MAX = 60_000;
/** Tries of one request. Waits between them are 0, 1 and 3 times RETRY_DELAY_MS (the SDK's exponential policy). */
export const REQUEST_TRIES_MAX = 4;
export const RETRY_DELAY_MS = 1_000;
export const RETRY_DELAY_MS_MAX = 10_000;
/** Tries in a row to go on with a body that was cut, each of which brought less than BODY_PROGRESS_BYTES_MIN. */
export const BODY_TRIES_MAX = 4;
export const BODY_PROGRESS_BYTES_MIN = 64 * 1024;
/** Text of an answer that is held: Azure's errors are below 2 KiB. */
export const ANSWER_TEXT_BYTES_MAX = 1024 * 1024;
/** Azure's own: characters of a blob name. */
export const BLOB_NAME_LENGTH_MAX = 1024;
/** The checks of one container at job creation: a caller waits for them, and clients give up after 30 s or so. */
export const PREFLIGHT_MS_MAX = 20_000;

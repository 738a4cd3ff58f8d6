/** The settings that the embedded server is started with. They go with each start, so a new version brings its own. */

const SETTINGS = {
  // Reached through the Unix socket alone: no port to choose, to collide with or to protect.
  listen_addresses: "",
  unix_socket_permissions: "0700",
  // The API's and the workers' pools on one machine, with room for a psql.
  max_connections: "100",
  // Modest: shared with Node on a small machine; what is not here is in the operating system's cache.
  shared_buffers: "256MB",
  // Reserving huge pages would be another thing to set up.
  huge_pages: "off",
  // An import writes gigabytes of WAL; fewer checkpoints mean fewer whole pages in it.
  max_wal_size: "4GB",
  checkpoint_timeout: "15min",
  // These binaries are built without lz4 and zstd; pglz would cost the cores that the import needs.
  wal_compression: "off",
  // Never off: what the API accepted must be there after a power cut.
  fsync: "on",
  synchronous_commit: "on",
  // Statements here are short or stream rows: compiling them costs more than it saves.
  jit: "off",
  // Parallel plans take shared memory from /dev/shm, of which a container has 64 MB, and cores from the workers.
  max_parallel_workers_per_gather: "0",
  timezone: "UTC",
  log_timezone: "UTC",
  // Keys and SAS URIs are values of statements, and rows are quoted in DETAIL and CONTEXT: none of it is logged.
  log_statement: "none",
  log_min_duration_statement: "-1",
  log_min_error_statement: "panic",
  log_parameter_max_length: "0",
  log_parameter_max_length_on_error: "0",
  log_error_verbosity: "terse",
  log_min_messages: "warning",
  // One file, which this process opened: see postmaster.ts.
  logging_collector: "off",
  log_destination: "stderr",
} as const;

/** Arguments of `postgres`. */
export function settingArguments(socketDirectory: string, port: number): string[] {
  // A list, in which a quoted name may hold commas.
  const directories = `"${socketDirectory.replaceAll('"', '""')}"`;
  const settings = { ...SETTINGS, unix_socket_directories: directories, port: String(port) };
  return Object.entries(settings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
}

-- Hubs, their shared access policies, the identity registry and the jobs.

create table hubs (
  hub_id integer generated always as identity primary key,
  name text not null unique,
  created_at timestamptz not null default now()
);

-- What a hub answers to: lower case, without port. Position 0 is the one in connection strings.
create table hub_host_names (
  host_name text primary key,
  hub_id integer not null references hubs on delete cascade,
  position integer not null
);

create table hub_policies (
  hub_id integer not null references hubs on delete cascade,
  name text not null,
  -- RegistryRead 1, RegistryWrite 3 (it includes reading), ServiceConnect 4, DeviceConnect 8.
  rights integer not null,
  -- AES-256-GCM; the context is 'policy:<hub id>:<name>:primary' or ':secondary'.
  primary_key_sealed bytea not null,
  secondary_key_sealed bytea not null,
  primary key (hub_id, name)
);

-- Device identities (module_id = '') and module identities with their twins. One table: an export is then one index
-- scan that finds each device's modules right after it, and an import one COPY. JSON is kept as compact text in the
-- form that an export line needs, since turning it to jsonb and back cost more than the rest of the read.
create table identities (
  hub_id integer not null,
  device_id text collate "C" not null,
  module_id text collate "C" not null,
  -- .NET ticks (100 ns since 0001-01-01) of the creation.
  generation_id bigint not null,
  -- Counter behind the identity's ETag: base64 of its decimal digits.
  etag bigint not null,
  enabled boolean not null,
  status_reason text,
  status_updated_at timestamptz,
  -- {"symmetricKey":{...},"x509Thumbprint":{...},"type":"..."}
  authentication text not null,
  managed_by text,
  iot_edge boolean not null,
  device_scope text,
  -- JSON array of strings, null for none.
  parent_scopes text,
  -- Counter behind the twin's ETag: base64 of its 8 bytes, big-endian.
  twin_etag bigint not null default 1,
  twin_version bigint not null default 2,
  tags text not null,
  desired text not null,
  desired_version bigint not null default 1,
  -- The $metadata as JSON. Null where it follows from the rest: every key was last updated at
  -- desired_updated_at (null: at the creation) in the version that the document has.
  desired_metadata text,
  desired_updated_at timestamptz,
  reported text not null,
  reported_version bigint not null default 1,
  reported_metadata text,
  reported_updated_at timestamptz,
  modified_at timestamptz not null default now(),
  primary key (hub_id, device_id, module_id)
);

create table jobs (
  job_id uuid primary key,
  hub_id integer not null references hubs on delete cascade,
  -- Order of creation: imports of a hub run in this order.
  seq bigint generated always as identity unique,
  type text not null check (type in ('import', 'export')),
  status text not null check (status in ('enqueued', 'running', 'completed', 'failed', 'cancelled')),
  -- What was asked for, without any secret: blob names, flags, container URIs without their query.
  parameters jsonb not null,
  -- {"inputBlobContainerUri":"...","outputBlobContainerUri":"..."} with their SAS, AES-256-GCM with the context
  -- 'job:<job id>'. Null once the job has ended.
  secrets_sealed bytea,
  -- The fence: every write of a running job names the attempt that it belongs to.
  attempt integer not null default 0,
  attempts_without_progress integer not null default 0,
  worker_id text,
  heartbeat_at timestamptz,
  -- A job handed back after a passing fault is not claimed before this.
  not_before timestamptz,
  last_fault text,
  -- Import: the blob as it was first opened, and the cursor into it.
  input_etag text,
  byte_offset bigint not null default 0,
  bytes_total bigint,
  lines bigint not null default 0,
  -- Export: identities in the registry when it began, for its progress.
  lines_total bigint,
  created bigint not null default 0,
  updated bigint not null default 0,
  deleted bigint not null default 0,
  twins_updated bigint not null default 0,
  failed bigint not null default 0,
  skipped bigint not null default 0,
  failure_reason text,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz
);

-- Imports of a hub run one at a time: held here, whatever two claims see of each other.
create unique index jobs_running_import on jobs (hub_id) where type = 'import' and status = 'running';

create index jobs_active on jobs (hub_id, seq) where status in ('enqueued', 'running');
create index jobs_by_hub on jobs (hub_id, seq desc);

-- Failed lines, written in the transaction of their batch, read once when importErrors.log is made.
create table job_line_errors (
  job_id uuid not null references jobs on delete cascade,
  -- Counted from 1.
  line_number bigint not null,
  -- Of the line's first byte in the blob.
  byte_offset bigint not null,
  device_id text,
  module_id text,
  code integer not null,
  status text not null,
  primary key (job_id, line_number)
);

-- Types that the engine passes between its parts.

-- What a claim leases to a session: some messages of one lane.
create type jobs_internal.claim as (
  lane_id integer,
  msg_ids bigint[],      -- in the order in which they are to run
  lease timestamptz,     -- the vt that the messages carry now: the token of this claim
  waiting boolean,       -- nothing was claimed although work is due (no free slot in the queue)
  full_up boolean,       -- as many messages as were asked for: there may be more
  -- there are jobs that may have crashed the server: starts of those wait for one another
  suspects boolean,
  -- nothing was claimed, and another session of this owner has nothing to do either
  surplus boolean
);

-- One job as the worker runs it.
create type jobs_internal.work_item as (
  msg_id bigint,
  job_id bigint,
  attempt integer,       -- the number of the attempt that is about to be made
  call_template_id integer,      -- null for a statement
  call text,             -- the SQL text that calls the function with the arguments in $1
  args jsonb,
  statement text,
  -- 'chunk', 'alone' or 'child'; 'gone' when there is nothing to run; 'stop' when it was cancelled
  -- before
  mode text,
  timeout_ms bigint,     -- null: none
  settings jsonb,        -- null: none
  done_when text,
  verify boolean,        -- ask done_when first: an earlier attempt ended unseen
  quick boolean,         -- known to be short, whatever else makes it run alone
  -- the database has deferrable constraints: a transaction of its own, checked inside
  constraints boolean,
  queued_at timestamptz, -- when it entered its lane: from then on it waited for a session
  task text,             -- of a statement: its first words
  -- of a statement: the search_path that it runs with; null: that of its owner
  path text
);

-- How one attempt ended.
create type jobs_internal.attempt_result as (
  job_id bigint,
  attempt integer,
  -- succeeded, failed, timed_out, cancelled, lost, in_doubt; interrupted: nothing is charged
  outcome text,
  started_at timestamptz,
  finished_at timestamptz,
  child_pid integer,
  result jsonb,
  error jsonb,
  logs jsonb,            -- array of {at, level, message, fields}
  -- its transaction takes no further job: constraints were set immediate, which holds to the commit
  last boolean,
  call_template_id integer,      -- null for a statement
  queued_at timestamptz, -- as in work_item
  task text,             -- as in work_item
  -- that the statement changed or returned, or the function returned as a set; null: neither
  rows bigint,
  wal_bytes bigint,      -- this and the following: null where it was not measured
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint
);

-- How some jobs of a claim were run together.
create type jobs_internal.chunk_run as (
  attempt_results jobs_internal.attempt_result[],
  msg_ids bigint[],      -- the messages of these jobs, and of items where there was nothing to run
  call_template_ids integer[],  -- the functions that were called, each once
  leave boolean,         -- the session was signalled without a known reason
  plain boolean,         -- they ran in a row without subtransactions
  -- the function whose error ended the first try without subtransactions
  needs_savepoint integer
);

-- What a session measured of one function since its last claim.
create type jobs_internal.run_stats as (
  lane_id integer,
  call_template_id integer,
  task text,             -- of statements
  runs bigint,
  failed bigint,
  ms double precision,
  waited_ms double precision,
  renames boolean,       -- a run set application_name
  measured bigint,       -- the sums that follow are of so many runs
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint
);

-- Composite types that the worker's helpers hand to each other.

-- What a claim leases to a session: some messages of one lane.
create type jobs_internal.claim as (
  lane_id integer,
  msg_ids bigint[],      -- in the order in which they are to run
  lease timestamptz,     -- the vt that the messages carry now: the token of this claim
  waiting boolean        -- nothing was claimed although work is due (no free slot in the queue)
);

-- One job as the worker runs it.
create type jobs_internal.work_item as (
  msg_id bigint,
  job_id bigint,
  attempt integer,       -- the number of the attempt that is about to be made
  shape_id integer,      -- null for a statement
  call text,             -- the SQL text that calls the function with the arguments in $1
  args jsonb,
  statement text,
  mode text,             -- 'chunk', 'alone' or 'child'; 'gone' when there is nothing to run; 'stop' when it was cancelled before
  timeout_ms bigint,     -- null: none
  settings jsonb,        -- null: none
  done_when text,
  verify boolean,        -- ask done_when first: an earlier attempt ended unseen
  quick boolean,         -- known to be short, whatever else makes it run alone
  constraints boolean    -- the database has deferrable constraints: a transaction of its own, checked inside
);

-- How one attempt ended.
create type jobs_internal.ending as (
  job_id bigint,
  attempt integer,
  outcome text,          -- succeeded, failed, timed_out, cancelled, lost, in_doubt; interrupted: nothing is charged
  started_at timestamptz,
  finished_at timestamptz,
  child_pid integer,
  result jsonb,
  error jsonb,
  logs jsonb,            -- array of {at, level, message, fields}
  last boolean           -- its transaction takes no further job: constraints were set immediate, which holds to the commit
);

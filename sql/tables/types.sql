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
  surplus boolean,
  -- nothing was claimed, and a queue's rate allows the next start then; null: none is near
  start_at timestamptz
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
  path text,
  chunk_call text        -- as in call_template
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
  temp_bytes bigint,
  -- of a statement in a transaction: how things stood before it (facts_in_transaction)
  way_back jsonb
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

-- What a worker session knows of itself, of its claim, and of what it ran last
-- (engine/run/worker.sql). It is copied at each call of its procedures, a few times for each chunk
-- and each job alone, so nothing in it grows with the jobs of the session.
create type jobs_internal.worker_state as (
  -- set when the session opens
  session_id bigint,
  backend integer,       -- its number among the server's backends
  path text,             -- the search_path of the owner, with which jobs run
  baseline jsonb,        -- what is set again after each RESET ALL; null: nothing
  linger_ms integer,     -- how long it waits for more work before it ends
  margin_ms bigint,      -- these and the following: settings
  short_ms double precision,
  chunk_jobs integer,
  chunk_ms bigint,
  measure_cost boolean,
  lifetime interval,
  max_jobs bigint,
  -- when it ends
  ends_at timestamptz,
  jobs bigint,           -- that have ended in it
  leave boolean,         -- it takes no further job
  abandons boolean,      -- it leaves a child session behind, and writes nothing any more
  -- the claim at hand
  lane_id integer,       -- null: nothing was claimed
  msg_ids bigint[],
  lease timestamptz,
  waiting boolean,       -- as in claim
  full_up boolean,       -- as in claim
  surplus boolean,       -- as in claim
  claim_open boolean,    -- the claim is not committed yet
  next integer,          -- place in msg_ids of the message that is opened next
  -- messages were passed over, or are too many: the next claim gives them back
  give_back boolean,
  stats_written boolean, -- the claim has written what was learned before it
  defers boolean,        -- each job needs a commit of its own (has_deferrable_constraints)
  -- functions of which a job was measured since the claim; null: none is to be
  measured integer[],
  -- how much at a time
  claim_limit integer,   -- messages that the next claim asks for
  chunk_size integer,    -- messages that the next chunk opens
  one_by_one boolean,    -- a chunk failed: the next job answers for itself
  small_claims integer,  -- claims of a few messages, one right after the other
  -- what ran last
  stats jobs_internal.run_stats[],      -- null: no attempt has ended
  last_ms double precision,      -- how long the last of its jobs took
  in_a_row boolean,      -- its jobs had no subtransactions of their own
  needs_savepoint integer,       -- as in chunk_run
  -- when it looked, and for what
  idle_since timestamptz,        -- null: it has work
  slots_settled boolean, -- no session was in the middle of a claim when it last waited for a slot
  looked_at timestamptz, -- its last claim that found nothing; null: none yet
  high_water_mark numeric,       -- of its lanes, before the claim
  seen_mark numeric,     -- and before the one before
  eager_until timestamptz,       -- a message is on its way until then, and not committed yet
  defers_asked_at timestamptz,
  stats_written_at timestamptz,
  held_until timestamptz, -- a message that was held back is visible again by then
  start_at timestamptz   -- as in claim
);

-- What a worker session has seen of the functions that it called in chunks.
create type jobs_internal.worker_trust as (
  call_template_ids integer[],
  successes bigint[],    -- of each, in a row; negative: it failed once
  trusted integer[]      -- those that may run without subtransactions
);

-- What a child session reports when it ends (child_outcome).
create type jobs_internal.child_report as (
  completed boolean,
  has_error boolean,
  command_tag text,
  sqlstate text,         -- this and the following: of its error
  message text,
  detail text,
  hint text,
  context text,
  table_name text,
  constraint_name text
);

-- A child session, as the worker session that watches it knows it (engine/run/child.sql).
create type jobs_internal.child_state as (
  path text,             -- the search_path of the statement, and of its post-condition
  statement text,        -- what it runs
  columns text,          -- of the row that a CALL sends; null: none is read
  figures jsonb,         -- what the statement had cost before; null: that is not known
  pid integer,
  cookie bigint,
  started_at timestamptz,        -- its backend_start; null: it has not connected yet
  lost boolean,          -- a signal came between its start and our knowledge of it
  noted boolean,         -- its job knows its pid and start
  let_go boolean,        -- it is detached, and how it ends is not read
  sent jsonb,            -- the row that a CALL has sent
  has_sent boolean,      -- that was read while it lived: it has done its work
  stop_reason text       -- why it was to stop, when it had ended
);

-- What jobs.plan says of a statement.
create type jobs_internal.plan_line as (
  step integer,
  statement text,
  kind text,             -- as operation_kinds() has it, else its first words
  object text,           -- what it works on
  lock_mode text,        -- as SQL writes it; null: not known
  blocks text,           -- what others cannot do meanwhile
  rewrites boolean,      -- it writes the table anew; null: not known
  disk_bytes bigint,     -- that it needs while it runs; null: not known
  expected interval,     -- how long it runs, without waits; null: not known
  blocked_by integer[],  -- pids that hold it up now; 0: a prepared transaction
  undo text,             -- the way back, or why there is none
  warning text           -- a line for each
);

-- What jobs.rehearse says of each statement that it ran.
create type jobs_internal.rehearsal_line as (
  step text,             -- copy, statement, done_when, rollback
  statement text,        -- as it was run
  outcome text,          -- done, true, false, failed
  message text,
  ms numeric
);

-- A schedule, as it was read. Of five fields the numbers that match, each sorted and not empty; of
-- `every` and `after` only the interval.
create type jobs_internal.timetable as (
  minutes integer[],     -- 0 to 59
  hours integer[],       -- 0 to 23
  days integer[],        -- 1 to 31; 32: the last of the month
  months integer[],      -- 1 to 12
  weekdays integer[],    -- 0 to 6; 0: Sunday
  both_days boolean,     -- day and weekday must both match, because one of them begins with *
  wild boolean,          -- minute or hour has a *: it follows elapsed time when a clock is set
  every interval,        -- elapsed time from an anchor; as the next, without days and months
  after_end interval     -- elapsed time from the end of the last run
);

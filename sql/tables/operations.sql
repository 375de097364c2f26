-- Long operations: what is known of the DDL and the maintenance that jobs run, beside the job and
-- after it.

create table jobs_internal.operation (
  job_id bigint primary key,
  owner oid not null,
  kind text not null,
  object oid,
  object_name text,
  lock_mode text,
  relations oid[],
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  state text,
  lock_attempts integer not null default 0,
  yields integer not null default 0,
  step_asides integer not null default 0,
  held jsonb,
  gives_way jsonb,
  attempt integer,
  phase text,
  percent numeric,
  progress_source text,
  looked_at timestamptz,
  weights jsonb,
  last_progress jsonb,
  deadlock_risk jsonb,
  disk_bytes bigint,
  before jsonb,
  output jsonb,
  undo_sql text,
  undo_missing text,
  undo_of bigint,
  undone_by bigint,
  place jsonb,
  bucket integer,
  risks_to_log jsonb,
  cleans_up bigint
) with (fillfactor = 70);
create index operation_live_idx on jobs_internal.operation (job_id) where ended_at is null;
create index operation_open_idx on jobs_internal.operation (job_id) where bucket is null;
create index operation_state_idx on jobs_internal.operation (state, job_id)
  where bucket is not null;
create index operation_object_idx on jobs_internal.operation (object);
create index operation_risk_idx on jobs_internal.operation (job_id)
  where risks_to_log is not null;
-- of the index that it built (health_unused_indexes)
create index operation_built_idx on jobs_internal.operation ((before #>> '{way_back,index}'))
  where before #>> '{way_back,index}' is not null;
-- those that wait for another one to end (wake_beside)
create index operation_beside_idx on jobs_internal.operation (((held ->> 'job')::bigint))
  where held ->> 'why' = 'beside';
comment on table jobs_internal.operation is 'Long operations: a row for each job of DDL or '
  'maintenance, which stays as long as the history of its job';
comment on column jobs_internal.operation.job_id is 'Job';
comment on column jobs_internal.operation.owner is 'Role that it runs as';
comment on column jobs_internal.operation.kind
  is 'What it does, as in operation_kinds(); of a job of several statements, what its present '
  'step does; steps: that is no long operation';
comment on column jobs_internal.operation.object
  is 'OID of the relation that it works on; null: not known for sure';
comment on column jobs_internal.operation.object_name
  is 'Its name with its schema, else as the statement writes it; null: none can be read';
comment on column jobs_internal.operation.lock_mode
  is 'Strongest lock that it takes on the object; null: not known';
comment on column jobs_internal.operation.relations is 'OIDs of all relations that no other '
  'operation may work on meanwhile, as noted at its last start';
comment on column jobs_internal.operation.created_at is 'When it was enqueued';
comment on column jobs_internal.operation.started_at is 'Start of its first attempt';
comment on column jobs_internal.operation.ended_at is 'When its job ended; null: it has not';
comment on column jobs_internal.operation.state is 'State in which its job ended';
comment on column jobs_internal.operation.lock_attempts
  is 'How often it gave up waiting for a lock: counted for each step, and anew after jobs.retry';
comment on column jobs_internal.operation.yields
  is 'How often it gave way to a session that waited for its lock, counted in the same way';
comment on column jobs_internal.operation.step_asides is 'How often it gave way because it would '
  'have ended in a deadlock, counted in the same way';
comment on column jobs_internal.operation.held is 'Why it was put off the last time: {why: lock, '
  'yield, step_aside or beside, at, sqlstate, message, pids, job}; null: it was not';
comment on column jobs_internal.operation.gives_way is 'Why the worker session that watches it '
  'cancels it: {attempt, why, detail, pids}; null: it does not';
comment on column jobs_internal.operation.attempt
  is 'Attempt that the columns from here on tell of';
comment on column jobs_internal.operation.phase is 'Phase in which it was seen last';
comment on column jobs_internal.operation.percent is 'Largest percent that was shown of it';
comment on column jobs_internal.operation.progress_source
  is 'What the percent is taken from: phases, file, history, job; null: nothing tells';
comment on column jobs_internal.operation.looked_at is 'When it was seen last';
comment on column jobs_internal.operation.weights
  is 'Seconds that each phase is expected to take, fixed for the attempt: see weights.sql';
comment on column jobs_internal.operation.last_progress
  is 'Last row of the server''s own progress';
comment on column jobs_internal.operation.deadlock_risk is 'Sessions that will make this build the '
  'victim of a deadlock: [{pid, owner, query, why, since}]; null: none';
comment on column jobs_internal.operation.disk_bytes
  is 'Size of what it made, or of the object where it makes nothing';
comment on column jobs_internal.operation.before is 'How things stood before its first attempt: '
  'sizes, counters, definitions, statistics';
comment on column jobs_internal.operation.output is 'What it said, and what was skipped';
comment on column jobs_internal.operation.undo_sql is 'Statement that takes it back; null: none';
comment on column jobs_internal.operation.undo_missing is 'Why there is none';
comment on column jobs_internal.operation.undo_of is 'Job that this one takes back';
comment on column jobs_internal.operation.undone_by is 'Job that takes this one back';
comment on column jobs_internal.operation.place
  is 'Where in the weights it was seen last, and how long it has worked: see progress.sql';
comment on column jobs_internal.operation.bucket
  is 'Bucket of the history that its job is in; null: it has not ended';
comment on column jobs_internal.operation.risks_to_log is 'What of deadlock_risk no supervisor has '
  'logged yet; null: nothing';
comment on column jobs_internal.operation.cleans_up
  is 'Job that left something behind, which this one removes';

create table jobs_internal.phase (
  job_id bigint not null,
  attempt integer not null,
  n integer not null,
  phase text not null,
  started_at timestamptz not null,
  finished_at timestamptz,
  work numeric,
  total numeric,
  unit text,
  expected_seconds double precision,
  units numeric,
  method text,
  primary key (job_id, attempt, n)
) with (fillfactor = 70);
comment on table jobs_internal.phase is 'Phases of long operations, of each attempt';
comment on column jobs_internal.phase.job_id is 'Job';
comment on column jobs_internal.phase.attempt is 'Attempt';
comment on column jobs_internal.phase.n is 'Place in the attempt, from 1';
comment on column jobs_internal.phase.phase is 'Name, as the server''s progress has it';
comment on column jobs_internal.phase.started_at is 'When it was first seen';
comment on column jobs_internal.phase.finished_at is 'When it was seen no more; null: it goes on';
comment on column jobs_internal.phase.work is 'How much of it was done when it was seen last';
comment on column jobs_internal.phase.total is 'Of how much';
comment on column jobs_internal.phase.unit is 'Of what: blocks, tuples, lockers, indexes, bytes';
comment on column jobs_internal.phase.expected_seconds is 'How long it was expected to take';
comment on column jobs_internal.phase.units is 'Work that was expected of it: pages, mostly';
comment on column jobs_internal.phase.method is 'As in phase_rate';

create table jobs_internal.phase_rate (
  kind text not null,
  method text not null,
  phase text not null,
  seconds_per_unit double precision not null,
  runs integer not null default 1,
  at timestamptz not null default now(),
  primary key (kind, method, phase)
) with (fillfactor = 70);
comment on table jobs_internal.phase_rate
  is 'How long phases of operations took here, for the weights of later ones';
comment on column jobs_internal.phase_rate.kind is 'Kind of operation';
comment on column jobs_internal.phase_rate.method
  is 'Access method and width of the key of an index; else empty';
comment on column jobs_internal.phase_rate.phase is 'Phase';
comment on column jobs_internal.phase_rate.seconds_per_unit
  is 'Seconds for each unit of work (a page, mostly): a moving average';
comment on column jobs_internal.phase_rate.runs is 'How many runs it comes from';
comment on column jobs_internal.phase_rate.at is 'When it was last changed';

create table jobs_internal.step (
  job_id bigint not null,
  n integer not null,
  body text not null,
  command text not null,
  top_level boolean not null,
  done_when text,
  rollback_sql text,
  lock_timeout text,
  object text,
  target jsonb,
  identity jsonb,
  state text not null default 'waiting'
    check (state in ('waiting', 'current', 'done')),
  started_at timestamptz,
  finished_at timestamptz,
  result jsonb,
  way_back jsonb,
  primary key (job_id, n)
) with (fillfactor = 70);
comment on table jobs_internal.step is 'Steps of jobs of jobs.enqueue_steps; the current one is '
  'the row of statement of its job';
comment on column jobs_internal.step.job_id is 'Job';
comment on column jobs_internal.step.n is 'Place, from 1';
comment on column jobs_internal.step.body is 'The statement';
comment on column jobs_internal.step.command is 'Its first words, as in statement';
comment on column jobs_internal.step.top_level
  is 'It runs outside a transaction, in a child session';
comment on column jobs_internal.step.done_when is 'True once it is done';
comment on column jobs_internal.step.rollback_sql is 'Statement that undoes it';
comment on column jobs_internal.step.lock_timeout
  is 'Longest wait for locks of this step; null: that of the job';
comment on column jobs_internal.step.object is 'What it works on, as in statement';
comment on column jobs_internal.step.target is 'As in statement';
comment on column jobs_internal.step.identity
  is 'As in statement, as it was when the step was done';
comment on column jobs_internal.step.state is 'waiting, current or done';
comment on column jobs_internal.step.started_at is 'When it became the current one';
comment on column jobs_internal.step.finished_at is 'When it was done';
comment on column jobs_internal.step.result is 'Its result';
comment on column jobs_internal.step.way_back is 'What its way back needs, noted when it was '
  'done: facts by OID; given: it has a rollback; missing: why there is none';

create table jobs_internal.measurement (
  job_id bigint not null,
  n integer not null,
  label text not null,
  statement text,
  kind text not null check (kind in ('query', 'plan', 'index', 'traffic')),
  before jsonb,
  after jsonb,
  primary key (job_id, n)
);
comment on table jobs_internal.measurement
  is 'What was measured before and after long operations';
comment on column jobs_internal.measurement.job_id is 'Job';
comment on column jobs_internal.measurement.n is 'Place, from 1';
comment on column jobs_internal.measurement.label is 'What people call it';
comment on column jobs_internal.measurement.statement is 'Query; null: none';
comment on column jobs_internal.measurement.kind is 'query: it was run; plan: it was planned only; '
  'index: whether the new index is used; traffic: figures of pg_stat_statements';
comment on column jobs_internal.measurement.before
  is 'Before the first attempt: {plan, plan_hash, ms, buffers, cost, uses_index, error}';
comment on column jobs_internal.measurement.after is 'The same, after the end';

create table jobs_internal.operation_start (
  one boolean primary key default true check (one)
);
insert into jobs_internal.operation_start default values;
comment on table jobs_internal.operation_start
  is 'One row: who starts an operation locks it to the commit of the start, so that two that start '
  'in the same moment see each other';
comment on column jobs_internal.operation_start.one is 'true';

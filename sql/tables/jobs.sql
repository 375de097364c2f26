-- Live jobs and their statements; a finished job is a row of jobs_internal.finished. The last
-- attempt of a finished job is part of its row (one history row for a job that succeeds at once);
-- earlier attempts are rows of jobs_internal.attempt while the job lives. No foreign key leads from
-- a job to a hot parent: the locks that it takes would slow every enqueue (MultiXact).

create sequence jobs_internal.job_id_seq;

create table jobs_internal.job (
  id bigint primary key,
  queue_id integer not null,
  owner oid not null,
  priority smallint not null,
  state text not null,
  call_template_id integer,
  attempt integer not null default 0,
  max_attempts integer not null,
  interruptions smallint not null default 0,
  crashes smallint not null default 0,
  isolated_crashes smallint not null default 0,
  run_at timestamptz not null,
  due_at timestamptz,
  created_at timestamptz not null,
  started_at timestamptz,
  timeout interval,
  lane_id integer,
  msg_id bigint,
  session_id bigint,
  child_pid integer,
  child_start timestamptz,
  verify boolean,
  crash_ran interval,
  publication_id integer,
  enqueued_by oid,
  unique_key text,
  former_key text,
  args jsonb,
  settings jsonb,
  note jsonb,
  options jsonb,
  error jsonb,
  snoozes integer,
  constraint job_state_check check (jobs_internal.is_state(state, due_at, msg_id, session_id))
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000,
  autovacuum_analyze_scale_factor = 0.2);

-- By owner first: the dispatcher goes in turn by owner (first_due, move_due).
create index job_due_idx on jobs_internal.job (owner, due_at) where due_at is not null;
create unique index job_unique_key on jobs_internal.job (owner, queue_id, unique_key,
    publication_id, enqueued_by) nulls not distinct
where unique_key is not null;
create index job_suspect_idx on jobs_internal.job (id) where crashes > 0;
create index job_publication_idx on jobs_internal.job (publication_id)
  where publication_id is not null;
comment on table jobs_internal.job is 'Live jobs';
comment on column jobs_internal.job.id is 'Number';
comment on column jobs_internal.job.queue_id is 'Queue';
comment on column jobs_internal.job.owner is 'Role that enqueued it and that it runs as';
comment on column jobs_internal.job.priority is '0 high, 1 normal, 2 low';
comment on column jobs_internal.job.state is 'scheduled: waits for due_at or its lane; queued: its '
  'message is in the lane (a chunk that runs it has not committed yet); running: its start is '
  'committed';
comment on column jobs_internal.job.call_template_id
  is 'How its function is called; null: a statement';
comment on column jobs_internal.job.attempt is 'Attempts charged so far';
comment on column jobs_internal.job.max_attempts is 'Attempts allowed';
comment on column jobs_internal.job.interruptions is 'Signals without a known reason that hit it';
comment on column jobs_internal.job.crashes
  is 'Crashes of the server that it may have caused: over 0 it is a suspect';
comment on column jobs_internal.job.isolated_crashes
  is 'Of these, those during its isolated run, with other jobs beside it';
comment on column jobs_internal.job.run_at is 'Not before this time, as enqueued';
comment on column jobs_internal.job.due_at is 'Scheduled: when it goes into its lane';
comment on column jobs_internal.job.created_at is 'Start of the transaction that enqueued it';
comment on column jobs_internal.job.started_at is 'Running: start of this attempt';
comment on column jobs_internal.job.timeout is 'Longest time that an attempt may take; null: none';
comment on column jobs_internal.job.lane_id is 'Lane, once it was in one';
comment on column jobs_internal.job.msg_id is 'Queued: its message';
comment on column jobs_internal.job.session_id is 'Running: its session';
comment on column jobs_internal.job.child_pid is 'Running in a child session: its pid';
comment on column jobs_internal.job.child_start is 'backend_start of the child session';
comment on column jobs_internal.job.verify
  is 'An attempt ended unseen: the post-condition is asked before anything is run again';
comment on column jobs_internal.job.crash_ran
  is 'How long it had run when the server crashed the last time';
comment on column jobs_internal.job.publication_id
  is 'Publication by which another role enqueued it; null: its owner did';
comment on column jobs_internal.job.enqueued_by
  is 'That other role: it sees the state, and may cancel';
comment on column jobs_internal.job.unique_key is 'At most one unfinished job per owner, queue and '
  'key; each enqueuer by a publication has keys of its own';
comment on column jobs_internal.job.former_key
  is 'The unique_key that it gave up for a job that it enqueued itself, for its history';
comment on column jobs_internal.job.args is 'Arguments, canonical; null: none';
comment on column jobs_internal.job.settings is 'Settings for this job alone; null: none';
comment on column jobs_internal.job.note is 'What a person wants beside the job; null: nothing';
comment on column jobs_internal.job.options
  is 'Options that the job keeps: repeatable, title, notify (jobs.options); null: none';
comment on column jobs_internal.job.error is 'Error of the last attempt';
comment on column jobs_internal.job.snoozes
  is 'Runs that ended with jobs.snooze; null: none';

create table jobs_internal.statement (
  job_id bigint primary key,
  body text not null,
  command text not null,
  top_level boolean not null,
  done_when text,
  rollback_sql text,
  path text,
  object text,
  target jsonb,
  identity jsonb
);
comment on table jobs_internal.statement is 'Statements of live jobs made by jobs.enqueue_sql';
comment on column jobs_internal.statement.job_id is 'Job';
comment on column jobs_internal.statement.body is 'The statement';
comment on column jobs_internal.statement.command
  is 'Its first words: what it does, without names and values';
comment on column jobs_internal.statement.top_level
  is 'It runs outside a transaction, in a child session';
comment on column jobs_internal.statement.done_when
  is 'Boolean expression or query that is true once it is done';
comment on column jobs_internal.statement.rollback_sql is 'Statement that undoes it, for people';
comment on column jobs_internal.statement.path
  is 'search_path of its enqueuer: it runs with that, unless its settings name another';
comment on column jobs_internal.statement.object
  is 'What it works on, as written, for titles; null: not known for sure';
comment on column jobs_internal.statement.target
  is 'What it works on, as target_of read it; null: nothing that we know';
comment on column jobs_internal.statement.identity
  is 'OIDs of what it works on, as they were before its first attempt; null: not noted';

-- By job too: who writes here has locked the job's row of statement, so that a rescue, which asks
-- for that without waiting, waits for no other session here.
create table jobs_internal.made_index (
  index oid not null,
  job_id bigint not null,
  noted_at timestamptz not null default clock_timestamp(),
  primary key (index, job_id)
);
comment on table jobs_internal.made_index
  is 'Indexes that jobs built or dropped concurrently: those that stay invalid are in jobs.health';
comment on column jobs_internal.made_index.index is 'OID of the index';
comment on column jobs_internal.made_index.job_id is 'Job';
comment on column jobs_internal.made_index.noted_at is 'When it was seen';

create table jobs_internal.job_deadline (
  job_id bigint primary key,
  at timestamptz not null
);
create index job_deadline_at_idx on jobs_internal.job_deadline (at);
comment on table jobs_internal.job_deadline is 'Deadlines that count: of jobs of which no work is '
  'kept yet';
comment on column jobs_internal.job_deadline.job_id is 'Job';
comment on column jobs_internal.job_deadline.at is 'No attempt of it begins later';

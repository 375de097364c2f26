-- Tables. Run on a fresh install only; later changes are numbered files in sql/migrations/.
--
-- A live job is a row of jobs_internal.job; a finished one is a row of jobs_internal.finished. The last attempt of a finished job is
-- part of its row (one history row for a job that succeeds at once); earlier attempts are rows of jobs_internal.attempt while the job
-- lives. History is partitioned by time, so that retention drops partitions: see 40_internal/73_history.sql.
-- No foreign key leads from a job to a hot parent: the locks that it takes would be felt by everybody (MultiXact).

create table jobs_internal.setting (
  name text primary key,
  value text not null,
  unit text not null,
  description text not null
);
comment on table jobs_internal.setting is 'Settings of this installation; jobs.configure changes them';
comment on column jobs_internal.setting.name is 'Name';
comment on column jobs_internal.setting.value is 'Value, as text';
comment on column jobs_internal.setting.unit is 'Unit of the value';
comment on column jobs_internal.setting.description is 'What it does';

insert into jobs_internal.setting (name, value, unit, description) values
  ('chunk_jobs', '100', 'jobs', 'short jobs that one transaction holds at most; no more than 40 of them with a subtransaction each'),
  ('chunk_ms', '50', 'ms', 'a chunk is committed after this time'),
  ('short_ms', '10', 'ms', 'a function whose calls take less on average may share a transaction'),
  ('claim_jobs', '1000', 'jobs', 'messages that one claim leases at most'),
  ('claim_ms', '1000', 'ms', 'known work that one claim leases at most'),
  ('lease_seconds', '30', 's', 'a claimed message that nobody works on is visible again after this time'),
  ('session_seconds', '60', 's', 'a worker session ends after this time, so that the server counts what it did'),
  ('session_jobs', '50000', 'jobs', 'a worker session ends after so many jobs'),
  ('sessions_per_owner', '8', 'sessions', 'worker sessions that the supervisor starts for one owner at most'),
  ('worker_slot_reserve', '4', 'slots', 'jobs.health and pyworker check warn when fewer background worker slots of the server are left'),
  ('timeout_margin_ms', '2000', 'ms', 'the server itself ends a job so much later than its timeout, when no supervisor does'),
  ('result_rows', '1000', 'rows', 'a set-returning function may return so many rows'),
  ('result_bytes', '1000000', 'bytes', 'a result may be so large'),
  ('log_lines', '1000', 'lines', 'jobs.log keeps so many lines of one attempt'),
  ('measure_cost', 'on', 'on/off', 'what attempts cost (WAL, buffers, temporary files) is measured: of jobs that run alone each, of others a sample'),
  ('child_queue_bytes', '1048576', 'bytes', 'messages that a child session may send before its watcher lets go of it');

create table jobs_internal.switch (
  id boolean primary key default true check (id),
  paused boolean not null default false,
  changed_by text,
  changed_at timestamptz
);
comment on table jobs_internal.switch is 'One row: the switch that stops everything (jobs.pause() without a name)';
comment on column jobs_internal.switch.id is 'Always true: there is one row';
comment on column jobs_internal.switch.paused is 'Everything is paused';
comment on column jobs_internal.switch.changed_by is 'Login that changed it last';
comment on column jobs_internal.switch.changed_at is 'When it was changed last';
insert into jobs_internal.switch default values;

create table jobs_internal.queue (
  id integer generated always as identity primary key,
  name text not null,
  paused boolean not null default false,
  accepting boolean not null default true,
  concurrency integer check (concurrency between 1 and 1000),
  timeout interval check (timeout > interval '0'),
  max_attempts integer not null default 3 check (max_attempts >= 1),
  backoff interval not null default '1 second' check (backoff between interval '0' and interval '1000 years'),
  backoff_cap interval not null default '1 hour' check (backoff_cap between interval '0' and interval '1000 years'),
  retention interval not null default '7 days' check (retention between interval '0' and interval '1000 years' or retention = 'infinity'),
  retention_rows bigint check (retention_rows >= 1),
  class_id integer not null default 1,
  batch boolean not null default true,
  created_by text not null default session_user,
  created_at timestamptz not null default pg_catalog.now(),
  dropped_at timestamptz,
  -- Makes dropped_at a column of a key, for PostgreSQL: a lock FOR KEY SHARE meets a drop, and no other change (hold_queues).
  constraint queue_dropped_key unique (id, dropped_at)
);
create unique index queue_name_key on jobs_internal.queue (name) where dropped_at is null;
comment on table jobs_internal.queue is 'Queues; a dropped one stays as long as its history does';
comment on column jobs_internal.queue.id is 'Number';
comment on column jobs_internal.queue.name is 'Name; unique among the queues that are not dropped';
comment on column jobs_internal.queue.paused is 'Its jobs do not start';
comment on column jobs_internal.queue.accepting is 'It accepts new jobs';
comment on column jobs_internal.queue.concurrency is 'Jobs that run at once at most; null: no limit';
comment on column jobs_internal.queue.timeout is 'Timeout of a job that names none; null: none';
comment on column jobs_internal.queue.max_attempts is 'Attempts of a job that names no number';
comment on column jobs_internal.queue.backoff is 'Wait before the second attempt; doubles with each further one';
comment on column jobs_internal.queue.backoff_cap is 'Longest wait between two attempts';
comment on column jobs_internal.queue.retention is 'Finished jobs are kept so long at least';
comment on column jobs_internal.queue.retention_rows is 'So many finished jobs are kept at least, then older ones go whatever their age; null: no limit';
comment on column jobs_internal.queue.class_id is 'Retention class: where its finished jobs go';
comment on column jobs_internal.queue.batch is 'Short jobs may share a transaction';
comment on column jobs_internal.queue.created_by is 'Login that made it';
comment on column jobs_internal.queue.created_at is 'When it was made';
comment on column jobs_internal.queue.dropped_at is 'When it was dropped; null: in use';
insert into jobs_internal.queue (name, concurrency) values ('default', 8);

create table jobs_internal.history_class (
  id integer generated always as identity primary key,
  keeps interval unique,
  queue_id integer unique,
  owner oid unique,
  bucket integer,
  constraint history_class_kind_check check (pg_catalog.num_nonnulls(keeps, queue_id, owner) = 1)
) with (fillfactor = 50);
comment on table jobs_internal.history_class is 'Retention classes: queues whose finished jobs share partitions. Number 1 is always there';
comment on column jobs_internal.history_class.id is 'Number';
comment on column jobs_internal.history_class.keeps is 'Longest retention of its queues, from a short list (jobs_internal.kept_in), so that 1,000 queues do not make 1,000 sets of partitions; null: the class of one queue or owner';
comment on column jobs_internal.history_class.queue_id is 'The one queue whose class it is, because its rows are limited; null: another kind of class';
comment on column jobs_internal.history_class.owner is 'The one owner whose class it is, because a quota limits its rows; its jobs of all queues go there. null: another kind of class';
comment on column jobs_internal.history_class.bucket is 'The open bucket, where finished jobs go now; null: none yet, or no queue uses the class any more';
insert into jobs_internal.history_class (keeps, bucket) values ('7 days', 1);

create table jobs_internal.history_bucket (
  id integer generated always as identity primary key,
  class_id integer not null,
  made_at timestamptz not null default pg_catalog.clock_timestamp(),
  made_by xid8 not null default pg_catalog.pg_current_xact_id(),
  awaits text[],
  opened_at timestamptz,
  left_at timestamptz,
  left_by xid8,
  closed_at timestamptz,
  rows bigint,
  expired_at timestamptz,
  constraint history_bucket_order_check check (
    (left_at is null) = (left_by is null)
    and (left_at is null or opened_at is not null)
    and (closed_at is null or left_at is not null)
    and (expired_at is null or closed_at is not null))
) with (fillfactor = 50);
create index history_bucket_class_idx on jobs_internal.history_bucket (class_id);
comment on table jobs_internal.history_bucket is 'Buckets: one stretch of time of one class, a partition of finished and of each past_ table. Made, opened, left, closed, expired, gone';
comment on column jobs_internal.history_bucket.id is 'Number: the value of bucket in its partitions, and in their names';
comment on column jobs_internal.history_bucket.class_id is 'Class';
comment on column jobs_internal.history_bucket.made_at is 'When its partitions were attached';
comment on column jobs_internal.history_bucket.made_by is 'Transaction that attached them';
comment on column jobs_internal.history_bucket.awaits is 'Virtual transactions that may not know its partitions yet: it is opened when they have ended; null: nobody has looked';
comment on column jobs_internal.history_bucket.opened_at is 'From then on finished jobs went here; null: made, not open yet';
comment on column jobs_internal.history_bucket.left_at is 'From then on they went elsewhere, but for statements that had begun before; null: open';
comment on column jobs_internal.history_bucket.left_by is 'Transaction that said so: whoever sees it writes here no more';
comment on column jobs_internal.history_bucket.closed_at is 'Nobody writes here any more; its jobs finished before. Retention counts from here; null: somebody might';
comment on column jobs_internal.history_bucket.rows is 'Jobs that finished in it, at least; counted once when it is closed, for a class whose rows are limited; null: not counted';
comment on column jobs_internal.history_bucket.expired_at is 'Retention has passed: its partitions go as soon as nobody reads them; null: kept';
insert into jobs_internal.history_bucket (class_id, opened_at) values (1, pg_catalog.clock_timestamp());

create table jobs_internal.history_use (
  bucket integer not null,
  queue_id integer not null,
  primary key (bucket, queue_id)
);
comment on table jobs_internal.history_use is 'Queues whose jobs may have finished in a bucket: the longest of their present retentions says when it goes';
comment on column jobs_internal.history_use.bucket is 'Bucket';
comment on column jobs_internal.history_use.queue_id is 'Queue, dropped or not';
insert into jobs_internal.history_use (bucket, queue_id) select 1, q.id from jobs_internal.queue as q;

create table jobs_internal.slot (
  queue_id integer not null,
  n integer not null,
  session_id bigint,
  primary key (queue_id, n)
) with (fillfactor = 50);
create index slot_session_idx on jobs_internal.slot (session_id) where session_id is not null;
comment on table jobs_internal.slot is 'One row per job that a queue may run at once; a session holds a row while it works for the queue';
comment on column jobs_internal.slot.queue_id is 'Queue';
comment on column jobs_internal.slot.n is '1 to the queue''s concurrency';
comment on column jobs_internal.slot.session_id is 'Session that holds it; null: free';
insert into jobs_internal.slot (queue_id, n) select q.id, g from jobs_internal.queue as q, pg_catalog.generate_series(1, q.concurrency) as g;

create table jobs_internal.lane (
  id integer generated always as identity primary key,
  queue_id integer not null,
  owner oid not null,
  priority smallint not null check (priority between 0 and 2),
  pgmq_queue text not null,
  avg_ms double precision,
  served_at timestamptz not null default pg_catalog.now(),
  front bigint not null default 0,
  front_at timestamptz,
  rest text not null default 'awake' check (rest in ('awake', 'dozing', 'asleep')),
  mark xid8,
  quarantine jsonb,
  refused boolean not null default false,
  unique (queue_id, owner, priority)
) with (fillfactor = 50);
comment on table jobs_internal.lane is 'Lanes: the jobs of one owner in one queue at one priority; each is one pgmq queue';
comment on column jobs_internal.lane.id is 'Number';
comment on column jobs_internal.lane.queue_id is 'Queue';
comment on column jobs_internal.lane.owner is 'Owner';
comment on column jobs_internal.lane.priority is '0 high, 1 normal, 2 low';
comment on column jobs_internal.lane.pgmq_queue is 'Name of the pgmq queue';
comment on column jobs_internal.lane.avg_ms is 'Moving average of the time that a job takes, ms; null: unknown';
comment on column jobs_internal.lane.served_at is 'Last claim; the lane that waited longest is next';
comment on column jobs_internal.lane.front is 'Up to this message there was none when somebody looked at front_at; 0: the front costs nothing';
comment on column jobs_internal.lane.front_at is 'When somebody looked';
comment on column jobs_internal.lane.rest is 'asleep: it is empty, and nobody looks until a nudge names it; dozing: on its way there';
comment on column jobs_internal.lane.mark is 'Dozing: transactions from this number on are sure to have seen that; null: nobody has looked yet';
comment on column jobs_internal.lane.quarantine is 'Why nothing of it is started: the job and session that cannot be stopped; null: in use';
comment on column jobs_internal.lane.refused is 'Its owner''s jobs were refused when a supervisor looked last: an enqueue looks itself';

create table jobs_internal.nudge (
  lane_id integer not null,
  made_by xid8 not null default pg_catalog.pg_current_xact_id(),
  primary key (lane_id, made_by)
);
comment on table jobs_internal.nudge is 'Lanes that rest and got a message: a row of the enqueuer''s own, so that none waits for another';
comment on column jobs_internal.nudge.lane_id is 'Lane';
comment on column jobs_internal.nudge.made_by is 'Transaction that left it: one row for all of its messages';

create table jobs_internal.shape (
  id integer generated always as identity primary key,
  func oid not null,
  version xid not null,
  place tid not null,
  func_owner oid not null,
  maker oid not null,
  made_at timestamptz not null default pg_catalog.clock_timestamp(),
  keys text[] not null,
  fit integer not null,
  signature text not null,
  task text not null,
  whole boolean not null,
  procedure boolean not null,
  cast_query text,
  call text not null,
  retired_by xid8,
  mark xid8
);
create index shape_func_idx on jobs_internal.shape (func, fit);
create index shape_maker_idx on jobs_internal.shape (maker, func);
comment on table jobs_internal.shape is 'How a function is called with a set of argument names; not unique on purpose: a unique index would make enqueuers wait for each other';
comment on column jobs_internal.shape.id is 'Number';
comment on column jobs_internal.shape.func is 'The function';
comment on column jobs_internal.shape.version is 'xmin of the function''s catalog row: a replaced function gets a new shape';
comment on column jobs_internal.shape.place is 'ctid of that row: a transaction may replace a function that it made or replaced itself';
comment on column jobs_internal.shape.func_owner is 'Owner of the function when the shape was made';
comment on column jobs_internal.shape.maker is 'Login that called it so first: it has so many shapes at most';
comment on column jobs_internal.shape.made_at is 'When it was made';
comment on column jobs_internal.shape.keys is 'Argument names given, sorted';
comment on column jobs_internal.shape.fit is 'Hash of keys, 0 where they do not matter (whole): by it a shape is found among a million';
comment on column jobs_internal.shape.signature is 'Qualified name with argument types, to find the function again after it was dropped and made anew';
comment on column jobs_internal.shape.task is 'Qualified name, as the views show it';
comment on column jobs_internal.shape.whole is 'Its only parameter is jsonb and gets the arguments whole';
comment on column jobs_internal.shape.procedure is 'A procedure: it runs at top level, in a child session';
comment on column jobs_internal.shape.cast_query is 'Query that casts the arguments in $1 to the declared types and gives them back as jsonb; null: nothing to cast';
comment on column jobs_internal.shape.call is 'Query that calls it with the arguments in $1 and gives its result as jsonb';
comment on column jobs_internal.shape.retired_by is 'Transaction that found no job of it: enqueues make a new one; null: in use';
comment on column jobs_internal.shape.mark is 'Retired: transactions from this number on are sure to have seen that; null: somebody may still enqueue with it';

create table jobs_internal.duration (
  shape_id integer not null,
  owner oid not null,
  runs bigint not null,
  avg_ms double precision not null,
  renames boolean not null default false,
  seen_at timestamptz not null default pg_catalog.now(),
  primary key (shape_id, owner)
) with (fillfactor = 50);
comment on table jobs_internal.duration is 'What is known of the duration of each shape, for each owner: what one says, and what its open transaction locks, is nobody else''s';
comment on column jobs_internal.duration.shape_id is 'Shape';
comment on column jobs_internal.duration.owner is 'Owner of the jobs';
comment on column jobs_internal.duration.runs is 'Runs seen';
comment on column jobs_internal.duration.avg_ms is 'Moving average, ms';
comment on column jobs_internal.duration.seen_at is 'Last run seen';
comment on column jobs_internal.duration.renames is 'A run set application_name, by which a job in a chunk is known: it runs alone';

create sequence jobs_internal.job_id_seq;

create table jobs_internal.job (
  id bigint primary key,
  queue_id integer not null,
  owner oid not null,
  priority smallint not null,
  state text not null,
  shape_id integer,
  attempt integer not null default 0,
  max_attempts integer not null,
  interruptions smallint not null default 0,
  crashes smallint not null default 0,
  strikes smallint not null default 0,
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
  constraint job_state_check check (jobs_internal.is_state(state, due_at, msg_id, session_id))
) with (fillfactor = 85, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000, autovacuum_analyze_scale_factor = 0.2);
-- By owner first: the dispatcher goes in turn by owner (first_due, move_due).
create index job_due_idx on jobs_internal.job (owner, due_at) where due_at is not null;
create unique index job_unique_key on jobs_internal.job (owner, queue_id, unique_key, publication_id, enqueued_by) nulls not distinct
where unique_key is not null;
create index job_suspect_idx on jobs_internal.job (id) where crashes > 0;
create index job_publication_idx on jobs_internal.job (publication_id) where publication_id is not null;
comment on table jobs_internal.job is 'Live jobs';
comment on column jobs_internal.job.id is 'Number';
comment on column jobs_internal.job.queue_id is 'Queue';
comment on column jobs_internal.job.owner is 'Role that enqueued it and that it runs as';
comment on column jobs_internal.job.priority is '0 high, 1 normal, 2 low';
comment on column jobs_internal.job.state is 'scheduled: waits for due_at or its lane; queued: its message is in the lane (a chunk that runs it has not committed yet); running: its start is committed';
comment on column jobs_internal.job.shape_id is 'How its function is called; null: a statement';
comment on column jobs_internal.job.attempt is 'Attempts charged so far';
comment on column jobs_internal.job.max_attempts is 'Attempts allowed';
comment on column jobs_internal.job.interruptions is 'Signals without a known reason that hit it';
comment on column jobs_internal.job.crashes is 'Crashes of the server that it may have caused: over 0 it is a suspect';
comment on column jobs_internal.job.strikes is 'Of these, those during its trial, with other jobs beside it';
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
comment on column jobs_internal.job.verify is 'An attempt ended unseen: the post-condition is asked before anything is run again';
comment on column jobs_internal.job.crash_ran is 'How long it had run when the server crashed the last time';
comment on column jobs_internal.job.publication_id is 'Publication by which another role enqueued it; null: its owner did';
comment on column jobs_internal.job.enqueued_by is 'That other role: it sees the state, and may cancel';
comment on column jobs_internal.job.unique_key is 'At most one unfinished job per owner, queue and key; each enqueuer by a publication has keys of its own';
comment on column jobs_internal.job.former_key is 'The unique_key that it gave up for a job that it enqueued itself, for its history';
comment on column jobs_internal.job.args is 'Arguments, canonical; null: none';
comment on column jobs_internal.job.settings is 'Settings for this job alone; null: none';
comment on column jobs_internal.job.note is 'What a person wants beside the job; null: nothing';
comment on column jobs_internal.job.options is 'Options that the job keeps: repeatable, title, notify (jobs.options); null: none';
comment on column jobs_internal.job.error is 'Error of the last attempt';

create table jobs_internal.statement (
  job_id bigint primary key,
  body text not null,
  command text not null,
  top_level boolean not null,
  done_when text,
  way_back text,
  path text,
  object text,
  target jsonb,
  identity jsonb
);
comment on table jobs_internal.statement is 'Statements of live jobs made by jobs.enqueue_sql';
comment on column jobs_internal.statement.job_id is 'Job';
comment on column jobs_internal.statement.body is 'The statement';
comment on column jobs_internal.statement.command is 'Its first words: what it does, without names and values';
comment on column jobs_internal.statement.top_level is 'It runs outside a transaction, in a child session';
comment on column jobs_internal.statement.done_when is 'Boolean expression or query that is true once it is done';
comment on column jobs_internal.statement.way_back is 'Statement that undoes it, for people';
comment on column jobs_internal.statement.path is 'search_path of its enqueuer: it runs with that, unless its settings name another';
comment on column jobs_internal.statement.object is 'What it works on, as written, for titles; null: not known for sure';
comment on column jobs_internal.statement.target is 'What it works on, as target_of read it; null: nothing that we know';
comment on column jobs_internal.statement.identity is 'OIDs of what it works on, as they were before its first attempt; null: not noted';

-- By job too: who writes here has locked the job's row of statement, so that a rescue, which asks for that without waiting, waits for nobody here.
create table jobs_internal.made_index (
  index oid not null,
  job_id bigint not null,
  noted_at timestamptz not null default pg_catalog.clock_timestamp(),
  primary key (index, job_id)
);
comment on table jobs_internal.made_index is 'Indexes that jobs built or dropped concurrently: those that stay invalid are in jobs.health';
comment on column jobs_internal.made_index.index is 'OID of the index';
comment on column jobs_internal.made_index.job_id is 'Job';
comment on column jobs_internal.made_index.noted_at is 'When it was seen';

-- Columns in the order of their alignment: nothing is lost between them, in the one table that may grow to millions of rows.
create table jobs_internal.finished (
  id bigint not null,
  run_at timestamptz not null,
  created_at timestamptz not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  bucket integer not null,
  queue_id integer not null,
  owner oid not null,
  shape_id integer,
  attempt integer not null,
  max_attempts integer not null,
  pid integer,
  child_pid integer,
  waited_ms integer,
  publication_id integer,
  enqueued_by oid,
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint,
  priority smallint not null,
  state text not null check (state in ('succeeded', 'failed', 'cancelled', 'in_doubt')),
  outcome text check (outcome in ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'in_doubt')),
  timeout interval,
  unique_key text,
  args jsonb,
  settings jsonb,
  note jsonb,
  options jsonb,
  result jsonb,
  error jsonb,
  dismissed_at timestamptz,
  dismissed_by text,
  primary key (id, bucket)
) partition by list (bucket);
-- To the second first, as the views show it: so that whoever orders them by it walks the index. Then exactly, as the views themselves are
-- ordered: tens of thousands finish within one second, and would be sorted each time.
create index finished_at_idx on jobs_internal.finished ((finished_at::timestamptz(0)), finished_at);
create index finished_failed_idx on jobs_internal.finished ((finished_at::timestamptz(0)), finished_at, queue_id, owner, state, dismissed_at)
where state <> 'succeeded';
comment on table jobs_internal.finished is 'Finished jobs, each with its last attempt; one partition per bucket. Numbers are unique across buckets because one sequence gives them';
comment on column jobs_internal.finished.id is 'Number of the job';
comment on column jobs_internal.finished.bucket is 'Bucket: the stretch of history that it goes with';
comment on column jobs_internal.finished.queue_id is 'Queue';
comment on column jobs_internal.finished.owner is 'Owner';
comment on column jobs_internal.finished.priority is '0 high, 1 normal, 2 low';
comment on column jobs_internal.finished.state is 'succeeded; failed: no attempt left or no retry worth it; cancelled: on request; in_doubt: ended unseen and nothing can tell how';
comment on column jobs_internal.finished.shape_id is 'How its function was called; null: a statement';
comment on column jobs_internal.finished.attempt is 'Attempts made';
comment on column jobs_internal.finished.max_attempts is 'Attempts allowed';
comment on column jobs_internal.finished.outcome is 'Outcome of the last attempt; null: never ran';
comment on column jobs_internal.finished.run_at is 'Not before this time, as enqueued';
comment on column jobs_internal.finished.created_at is 'Start of the transaction that enqueued it';
comment on column jobs_internal.finished.started_at is 'Start of the last attempt; null: never ran';
comment on column jobs_internal.finished.finished_at is 'End of the last attempt, or time of the cancel';
comment on column jobs_internal.finished.pid is 'Worker session of the last attempt';
comment on column jobs_internal.finished.child_pid is 'Child session of the last attempt';
comment on column jobs_internal.finished.publication_id is 'Publication by which another role enqueued it; null: its owner did';
comment on column jobs_internal.finished.enqueued_by is 'That other role';
comment on column jobs_internal.finished.waited_ms is 'Time that it waited in its lane for a session, ms';
comment on column jobs_internal.finished.rows is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs_internal.finished.wal_bytes is 'WAL that it wrote, bytes; this and the following are null where it was not measured';
comment on column jobs_internal.finished.buffers_hit is 'Buffers that it found in memory';
comment on column jobs_internal.finished.buffers_read is 'Buffers that it read';
comment on column jobs_internal.finished.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs_internal.finished.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs_internal.finished.timeout is 'Timeout of the job';
comment on column jobs_internal.finished.unique_key is 'Its unique key';
comment on column jobs_internal.finished.args is 'Arguments';
comment on column jobs_internal.finished.settings is 'Settings for this job alone';
comment on column jobs_internal.finished.note is 'Note';
comment on column jobs_internal.finished.options is 'Options, as of the job';
comment on column jobs_internal.finished.result is 'What the function returned; of a statement its rows and command tag';
comment on column jobs_internal.finished.error is 'Error of the last attempt';
comment on column jobs_internal.finished.dismissed_at is 'When its failure was dismissed; null: not';
comment on column jobs_internal.finished.dismissed_by is 'Login that dismissed it';

create table jobs_internal.attempt (
  job_id bigint not null,
  attempt integer not null,
  outcome text not null check (outcome in ('succeeded', 'failed', 'timed_out', 'cancelled', 'lost', 'in_doubt')),
  owner oid not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  pid integer,
  child_pid integer,
  waited_ms integer,
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint,
  result jsonb,
  error jsonb,
  primary key (job_id, attempt)
);
comment on table jobs_internal.attempt is 'Closed attempts of live jobs';
comment on column jobs_internal.attempt.job_id is 'Job';
comment on column jobs_internal.attempt.attempt is 'Number of the attempt, from 1';
comment on column jobs_internal.attempt.outcome is 'How it ended';
comment on column jobs_internal.attempt.owner is 'Owner of the job';
comment on column jobs_internal.attempt.started_at is 'Start';
comment on column jobs_internal.attempt.finished_at is 'End';
comment on column jobs_internal.attempt.pid is 'Worker session';
comment on column jobs_internal.attempt.child_pid is 'Child session';
comment on column jobs_internal.attempt.waited_ms is 'Time that it waited in its lane for a session, ms';
comment on column jobs_internal.attempt.rows is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs_internal.attempt.wal_bytes is 'WAL that it wrote, bytes; this and the following are null where it was not measured';
comment on column jobs_internal.attempt.buffers_hit is 'Buffers that it found in memory';
comment on column jobs_internal.attempt.buffers_read is 'Buffers that it read';
comment on column jobs_internal.attempt.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs_internal.attempt.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs_internal.attempt.result is 'Result';
comment on column jobs_internal.attempt.error is 'Error';

create table jobs_internal.log_line (
  job_id bigint not null,
  attempt integer not null,
  n integer not null,
  owner oid not null,
  at timestamptz not null,
  level text not null,
  message text not null,
  fields jsonb,
  primary key (job_id, attempt, n)
);
comment on table jobs_internal.log_line is 'Lines that live jobs wrote with jobs.log';
comment on column jobs_internal.log_line.job_id is 'Job';
comment on column jobs_internal.log_line.attempt is 'Attempt';
comment on column jobs_internal.log_line.n is 'Number of the line in its attempt';
comment on column jobs_internal.log_line.owner is 'Owner of the job';
comment on column jobs_internal.log_line.at is 'When it was written';
comment on column jobs_internal.log_line.level is 'debug, info, warning or error';
comment on column jobs_internal.log_line.message is 'Text';
comment on column jobs_internal.log_line.fields is 'More facts';

create table jobs_internal.past_attempt (
  job_id bigint not null,
  bucket integer not null,
  attempt integer not null,
  outcome text not null,
  owner oid not null,
  started_at timestamptz,
  finished_at timestamptz not null,
  pid integer,
  child_pid integer,
  waited_ms integer,
  rows bigint,
  wal_bytes bigint,
  buffers_hit bigint,
  buffers_read bigint,
  buffers_dirtied bigint,
  temp_bytes bigint,
  result jsonb,
  error jsonb,
  primary key (job_id, attempt, bucket)
) partition by list (bucket);
comment on table jobs_internal.past_attempt is 'Attempts of finished jobs before their last one, in the bucket of the job; jobs.retry takes them back';
comment on column jobs_internal.past_attempt.job_id is 'Job';
comment on column jobs_internal.past_attempt.bucket is 'Bucket of the job';
comment on column jobs_internal.past_attempt.attempt is 'Number of the attempt, from 1';
comment on column jobs_internal.past_attempt.outcome is 'How it ended';
comment on column jobs_internal.past_attempt.owner is 'Owner of the job';
comment on column jobs_internal.past_attempt.started_at is 'Start';
comment on column jobs_internal.past_attempt.finished_at is 'End';
comment on column jobs_internal.past_attempt.pid is 'Worker session';
comment on column jobs_internal.past_attempt.child_pid is 'Child session';
comment on column jobs_internal.past_attempt.waited_ms is 'Time that it waited in its lane for a session, ms';
comment on column jobs_internal.past_attempt.rows is 'Rows that its statement changed or returned, or its function returned as a set';
comment on column jobs_internal.past_attempt.wal_bytes is 'WAL that it wrote, bytes; this and the following are null where it was not measured';
comment on column jobs_internal.past_attempt.buffers_hit is 'Buffers that it found in memory';
comment on column jobs_internal.past_attempt.buffers_read is 'Buffers that it read';
comment on column jobs_internal.past_attempt.buffers_dirtied is 'Buffers that it dirtied';
comment on column jobs_internal.past_attempt.temp_bytes is 'Temporary files that it wrote, bytes';
comment on column jobs_internal.past_attempt.result is 'Result';
comment on column jobs_internal.past_attempt.error is 'Error';

create table jobs_internal.past_log_line (
  job_id bigint not null,
  bucket integer not null,
  attempt integer not null,
  n integer not null,
  owner oid not null,
  at timestamptz not null,
  level text not null,
  message text not null,
  fields jsonb,
  primary key (job_id, attempt, n, bucket)
) partition by list (bucket);
comment on table jobs_internal.past_log_line is 'Lines that finished jobs wrote with jobs.log, in the bucket of the job; jobs.retry takes them back';
comment on column jobs_internal.past_log_line.job_id is 'Job';
comment on column jobs_internal.past_log_line.bucket is 'Bucket of the job';
comment on column jobs_internal.past_log_line.attempt is 'Attempt';
comment on column jobs_internal.past_log_line.n is 'Number of the line in its attempt';
comment on column jobs_internal.past_log_line.owner is 'Owner of the job';
comment on column jobs_internal.past_log_line.at is 'When it was written';
comment on column jobs_internal.past_log_line.level is 'debug, info, warning or error';
comment on column jobs_internal.past_log_line.message is 'Text';
comment on column jobs_internal.past_log_line.fields is 'More facts';

create table jobs_internal.past_statement (
  job_id bigint not null,
  bucket integer not null,
  body text not null,
  command text not null,
  top_level boolean not null,
  done_when text,
  way_back text,
  path text,
  object text,
  target jsonb,
  identity jsonb,
  primary key (job_id, bucket)
) partition by list (bucket);
comment on table jobs_internal.past_statement is 'Statements of finished jobs, in the bucket of the job; jobs.retry takes them back';
comment on column jobs_internal.past_statement.job_id is 'Job';
comment on column jobs_internal.past_statement.bucket is 'Bucket of the job';
comment on column jobs_internal.past_statement.body is 'The statement';
comment on column jobs_internal.past_statement.command is 'Its first words: what it does, without names and values';
comment on column jobs_internal.past_statement.top_level is 'It ran outside a transaction, in a child session';
comment on column jobs_internal.past_statement.done_when is 'Boolean expression or query that is true once it is done';
comment on column jobs_internal.past_statement.way_back is 'Statement that undoes it, for people';
comment on column jobs_internal.past_statement.path is 'search_path of its enqueuer';
comment on column jobs_internal.past_statement.object is 'What it worked on, as written; null: not known for sure';
comment on column jobs_internal.past_statement.target is 'What it worked on, as target_of read it';
comment on column jobs_internal.past_statement.identity is 'OIDs of what it worked on, as they were before its first attempt';

-- The partitions of the first bucket, made as jobs_internal.make_bucket makes all others.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['finished', 'past_attempt', 'past_log_line', 'past_statement'] loop
    execute pg_catalog.format('create table jobs_internal.%1$I (like jobs_internal.%2$I including all)', v_table || '_1', v_table);
    execute pg_catalog.format('comment on table jobs_internal.%I is %L', v_table || '_1', 'Bucket 1 of ' || v_table);
    execute pg_catalog.format('alter table jobs_internal.%2$I attach partition jobs_internal.%1$I for values in (1)', v_table || '_1', v_table);
  end loop;
  alter table jobs_internal.finished_1 set (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_insert_scale_factor = 0.05);
end
$$;

create table jobs_internal.session (
  id bigint generated always as identity primary key,
  owner oid not null,
  pid integer not null,
  backend_start timestamptz not null,
  epoch timestamptz not null,
  postmaster timestamptz not null default pg_catalog.pg_postmaster_start_time(),
  started_at timestamptz not null default pg_catalog.clock_timestamp(),
  jobs bigint not null default 0,
  lane_id integer,
  msg_ids bigint[],
  lease timestamptz,
  last_msg_id bigint,
  swept_at timestamptz,
  job_id bigint,
  attempt integer,
  fate text check (fate in ('innocent', 'guilty')),
  nudged_at timestamptz,
  shapes integer[],
  waits_for integer,
  waits_since timestamptz,
  asked_at timestamptz
) with (fillfactor = 50);
create unique index session_pid_idx on jobs_internal.session (pid, backend_start);
comment on table jobs_internal.session is 'Worker sessions: those that live, and dead ones until a rescue has seen to their jobs';
comment on column jobs_internal.session.id is 'Number';
comment on column jobs_internal.session.owner is 'Role that it runs as';
comment on column jobs_internal.session.pid is 'Process; with backend_start its identity';
comment on column jobs_internal.session.backend_start is 'Start of the process';
comment on column jobs_internal.session.epoch is 'Epoch of the server in which it lived';
comment on column jobs_internal.session.postmaster is 'Start of the postmaster under which it lived';
comment on column jobs_internal.session.started_at is 'When it registered';
comment on column jobs_internal.session.jobs is 'Jobs done, as of its last claim';
comment on column jobs_internal.session.lane_id is 'Lane of its claim';
comment on column jobs_internal.session.msg_ids is 'Messages of its claim';
comment on column jobs_internal.session.lease is 'Token of its claim: the vt of those messages';
comment on column jobs_internal.session.last_msg_id is 'The next claim of this lane starts behind this message';
comment on column jobs_internal.session.swept_at is 'Last claim that started at the front of the lane';
comment on column jobs_internal.session.job_id is 'Job that it runs alone; null: none, or a chunk';
comment on column jobs_internal.session.attempt is 'Attempt of that job';
comment on column jobs_internal.session.shapes is 'Shapes of jobs that it has run and nothing is known of yet: only of those it may say how long they take';
comment on column jobs_internal.session.nudged_at is 'Last signal because nobody could see which job of its chunk it runs';
comment on column jobs_internal.session.waits_for is 'Queue that it found due work in, and no slot; null: it waits for none';
comment on column jobs_internal.session.waits_since is 'Since when';
comment on column jobs_internal.session.asked_at is 'Its last claim that found nothing for it, half a second old at most while it waits for a slot';
comment on column jobs_internal.session.fate is 'The server stopped under it: whether its job is to blame; null: it died, if at all, by itself';

create table jobs_internal.server (
  id boolean primary key default true check (id),
  epoch timestamptz,
  clock timestamptz,
  shapes_at timestamptz,
  trial_session bigint,
  trial_job bigint,
  trial_attempt integer,
  trial_until timestamptz
) with (fillfactor = 50);
comment on table jobs_internal.server is 'One row: the life of the server that was seen last, and the one suspect of its crashes that is on trial';
comment on column jobs_internal.server.id is 'Always true: there is one row';
comment on column jobs_internal.server.epoch is 'Start of its checkpointer: another one means that it was restarted, or crashed and came up again by itself';
comment on column jobs_internal.server.clock is 'When somebody last looked for messages that the clock hides; in the future: it was set back';
comment on column jobs_internal.server.shapes_at is 'When shapes without jobs were last swept';
comment on column jobs_internal.server.trial_session is 'Session that runs the suspect';
comment on column jobs_internal.server.trial_job is 'The suspect';
comment on column jobs_internal.server.trial_attempt is 'Its attempt';
comment on column jobs_internal.server.trial_until is 'No other suspect starts before this time, unless this one has ended';
insert into jobs_internal.server default values;

create table jobs_internal.home (
  id boolean primary key default true check (id),
  system bigint not null,
  database oid not null,
  database_name name not null,
  place oid not null,
  postmaster timestamptz not null,
  quotas boolean not null default false,
  since timestamptz not null default pg_catalog.clock_timestamp()
) with (fillfactor = 50);
comment on table jobs_internal.home is 'One row: where this installation is at home; a database in which it says something else is a copy, and nothing runs there';
comment on column jobs_internal.home.id is 'Always true: there is one row';
comment on column jobs_internal.home.system is 'The server: its system identifier';
comment on column jobs_internal.home.database is 'The database';
comment on column jobs_internal.home.quotas is 'Somebody was given a quota once: each enqueue looks whether its owner has one';
comment on column jobs_internal.home.database_name is 'Its name as of the last look, for people';
comment on column jobs_internal.home.place is 'This table: a restored one has another oid';
comment on column jobs_internal.home.postmaster is 'Start of the postmaster that was seen last: as long as it is the same, the server need not be asked who it is';
comment on column jobs_internal.home.since is 'When it became home';
insert into jobs_internal.home (system, database, database_name, place, postmaster)
select c.system_identifier, d.oid, d.datname, 'jobs_internal.home'::regclass, pg_catalog.pg_postmaster_start_time()
from pg_catalog.pg_control_system() as c
join pg_catalog.pg_database as d on d.datname = pg_catalog.current_database();

create table jobs_internal.known_role (
  role oid not null,
  name name not null,
  gone boolean not null default false
);
alter table jobs_internal.known_role replica identity full;
comment on table jobs_internal.known_role is 'Names of the roles that own jobs or their functions: what says in another cluster who they were; not unique on purpose: enqueuers would wait for each other';
comment on column jobs_internal.known_role.role is 'Role; a number from 10000 to 11999 stands for a role that this cluster lacks';
comment on column jobs_internal.known_role.name is 'Its name, as of the last tick of a supervisor';
comment on column jobs_internal.known_role.gone is 'It was dropped: another role of that name is somebody else';

create table jobs_internal.progress_message (
  job_id bigint primary key,
  attempt integer not null,
  message text not null,
  at timestamptz not null default pg_catalog.clock_timestamp()
);
comment on table jobs_internal.progress_message is 'What a running job says of its progress; written by a session of its own, so that it is seen at once';
comment on column jobs_internal.progress_message.job_id is 'Job';
comment on column jobs_internal.progress_message.attempt is 'Attempt';
comment on column jobs_internal.progress_message.message is 'Text';
comment on column jobs_internal.progress_message.at is 'When it was written';

create table jobs_internal.stop (
  job_id bigint not null,
  attempt integer not null,
  reason text not null check (reason in ('timed_out', 'cancelled')),
  requested_by text not null,
  requested_at timestamptz not null default pg_catalog.clock_timestamp(),
  presses integer not null default 0,
  pressed_at timestamptz,
  primary key (job_id, attempt)
) with (fillfactor = 50);
comment on table jobs_internal.stop is 'Reasons to stop a running attempt, committed before anybody is signalled; no foreign key, so that writing one waits for nothing';
comment on column jobs_internal.stop.job_id is 'Job';
comment on column jobs_internal.stop.attempt is 'Attempt';
comment on column jobs_internal.stop.reason is 'timed_out or cancelled';
comment on column jobs_internal.stop.requested_by is 'Login that asked for it; the supervisor for a timeout';
comment on column jobs_internal.stop.requested_at is 'When';
comment on column jobs_internal.stop.presses is 'Signals sent so far: cancel, cancel, terminate';
comment on column jobs_internal.stop.pressed_at is 'Last signal';

create table jobs_internal.supervisor (
  id bigint generated always as identity primary key,
  name text not null,
  host text not null,
  os_pid integer not null,
  version text not null,
  pid integer not null,
  backend_start timestamptz not null,
  started_at timestamptz not null default pg_catalog.clock_timestamp(),
  asleep boolean not null default false,
  mark xid8,
  serves text[]
) with (fillfactor = 50);
comment on table jobs_internal.supervisor is 'Supervisors that are connected, and dead ones until another has noticed';
comment on column jobs_internal.supervisor.id is 'Number';
comment on column jobs_internal.supervisor.name is 'Its name';
comment on column jobs_internal.supervisor.host is 'Host that it runs on';
comment on column jobs_internal.supervisor.os_pid is 'Its process there';
comment on column jobs_internal.supervisor.version is 'Version of pyworker';
comment on column jobs_internal.supervisor.pid is 'Server process of its control connection';
comment on column jobs_internal.supervisor.backend_start is 'Start of that process';
comment on column jobs_internal.supervisor.started_at is 'When it registered';
comment on column jobs_internal.supervisor.asleep is 'It waits for a NOTIFY: enqueuers should send one';
comment on column jobs_internal.supervisor.serves is 'Owners whose jobs it runs; null: every login member of jobs_runner that it can connect as';
comment on column jobs_internal.supervisor.mark is 'Asleep: transactions from this number on are sure to have seen that; null: nobody has looked yet';

create table jobs_internal.feed (
  id bigint generated always as identity primary key,
  at timestamptz not null default pg_catalog.clock_timestamp(),
  bytes integer not null,
  body jsonb not null
);
comment on table jobs_internal.feed is 'Outcomes that no supervisor has logged yet: one row per commit of a session';
comment on column jobs_internal.feed.id is 'Number';
comment on column jobs_internal.feed.at is 'When it was written';
comment on column jobs_internal.feed.bytes is 'Size of body in memory: a supervisor reads by it';
comment on column jobs_internal.feed.body is 'The outcomes of that commit';

create table jobs_internal.minute (
  queue_id integer not null,
  minute timestamptz not null,
  session_id bigint not null,
  succeeded bigint not null,
  failed bigint not null,
  primary key (queue_id, minute, session_id)
) with (fillfactor = 50);
comment on table jobs_internal.minute is 'Attempts that ended per queue, minute and session, for the rate in jobs.queues; kept for an hour';
comment on column jobs_internal.minute.queue_id is 'Queue';
comment on column jobs_internal.minute.minute is 'Start of the minute';
comment on column jobs_internal.minute.session_id is 'Session: each writes rows of its own, so that none waits for another; 0: sessions that are gone, together';
comment on column jobs_internal.minute.succeeded is 'Attempts that succeeded';
comment on column jobs_internal.minute.failed is 'Attempts that did not';

create table jobs_internal.spent (
  day date not null,
  queue_id integer not null,
  owner oid not null,
  task text not null,
  session_id bigint not null,
  attempts numeric not null,
  failed numeric not null,
  ms numeric not null,
  waited_ms numeric not null,
  measured numeric not null,
  rows numeric not null,
  wal_bytes numeric not null,
  buffers_hit numeric not null,
  buffers_read numeric not null,
  buffers_dirtied numeric not null,
  temp_bytes numeric not null,
  primary key (day, queue_id, owner, task, session_id)
) with (fillfactor = 50);
comment on table jobs_internal.spent is 'What attempts cost, per day, queue, owner and task; kept for a year';
comment on column jobs_internal.spent.day is 'Day, UTC';
comment on column jobs_internal.spent.queue_id is 'Queue';
comment on column jobs_internal.spent.owner is 'Owner';
comment on column jobs_internal.spent.task is 'Function, or the first words of a statement';
comment on column jobs_internal.spent.session_id is 'Session that writes the row; 0: sessions that are gone, together';
comment on column jobs_internal.spent.attempts is 'Attempts';
comment on column jobs_internal.spent.failed is 'Those that did not succeed';
comment on column jobs_internal.spent.ms is 'Their time, ms';
comment on column jobs_internal.spent.waited_ms is 'Time that they waited in their lane for a session, ms';
comment on column jobs_internal.spent.measured is 'Attempts that were measured: what follows are their sums';
comment on column jobs_internal.spent.rows is 'Rows; known of all';
comment on column jobs_internal.spent.wal_bytes is 'WAL, bytes';
comment on column jobs_internal.spent.buffers_hit is 'Buffers found in memory';
comment on column jobs_internal.spent.buffers_read is 'Buffers read';
comment on column jobs_internal.spent.buffers_dirtied is 'Buffers dirtied';
comment on column jobs_internal.spent.temp_bytes is 'Temporary files written, bytes';

create table jobs_internal.retry_rule (
  pattern text primary key check (pattern ~ '^([0-9A-Z]{5}|[0-9A-Z]{2}|\*)$'),
  retry boolean not null,
  why text not null
);
comment on table jobs_internal.retry_rule is 'Which errors are worth another attempt: the rule with the longest pattern that fits the SQLSTATE decides';
comment on column jobs_internal.retry_rule.pattern is 'SQLSTATE (5 characters), class (2), or * for all others';
comment on column jobs_internal.retry_rule.retry is 'Another attempt is worth it';
comment on column jobs_internal.retry_rule.why is 'Reason';
insert into jobs_internal.retry_rule (pattern, retry, why) values
  ('*', true, 'what the function raises itself (P0001) and whatever is not listed may pass the next time'),
  ('08', true, 'connection exceptions pass'),
  ('0A', false, 'a feature that is not supported stays so'),
  ('22', false, 'data exception: the same data fails again'),
  ('23', false, 'integrity constraint violation: the same rows fail again'),
  ('23P01', true, 'exclusion conflict with work that may be gone the next time'),
  ('25', false, 'invalid transaction state: the statement cannot run where it ran'),
  ('26', false, 'invalid statement name'),
  ('28', false, 'invalid authorization'),
  ('2D', false, 'invalid transaction termination'),
  ('3D', false, 'no such database'),
  ('3F', false, 'no such schema'),
  ('40', true, 'serialization failure or deadlock: made for a retry'),
  ('42', false, 'syntax error, undefined or forbidden: the same statement fails again'),
  ('44', false, 'WITH CHECK OPTION violation'),
  ('53', true, 'insufficient resources pass'),
  ('54', false, 'a program limit stays'),
  ('55', false, 'an object that is not in the state that the statement needs stays so'),
  ('55006', true, 'object in use: passes'),
  ('55P03', true, 'lock not available: passes'),
  ('57', true, 'operator intervention or timeout: passes'),
  ('58', true, 'system error outside the database: passes'),
  ('PW', false, 'refused by pyworker: the same job is refused again'),
  ('PWT01', true, 'timed out: the next attempt may be faster'),
  ('PWL01', true, 'the session was lost: the next may live'),
  ('PWL02', false, 'the server crashes whenever it runs'),
  ('XX', false, 'internal error: a person should look first');

create table jobs_internal.admitted_role (
  role oid primary key,
  admitted_by text not null,
  admitted_at timestamptz not null default pg_catalog.now()
);
comment on table jobs_internal.admitted_role is 'Powerful roles whose jobs an administrator has switched on by name';
comment on column jobs_internal.admitted_role.role is 'Role';
comment on column jobs_internal.admitted_role.admitted_by is 'Login that switched it on';
comment on column jobs_internal.admitted_role.admitted_at is 'When';

create table jobs_internal.unreached_owner (
  owner oid not null,
  supervisor_id bigint not null,
  reason text not null,
  since timestamptz not null default pg_catalog.clock_timestamp(),
  primary key (owner, supervisor_id)
);
comment on table jobs_internal.unreached_owner is 'Owners that a supervisor could not connect as when it tried last';
comment on column jobs_internal.unreached_owner.owner is 'Owner';
comment on column jobs_internal.unreached_owner.supervisor_id is 'Supervisor; what one said counts while its connection lives';
comment on column jobs_internal.unreached_owner.reason is 'What the server, or the network, said';
comment on column jobs_internal.unreached_owner.since is 'First time in a row';

create table jobs_internal.duty (
  name text primary key
);
comment on table jobs_internal.duty is 'What sessions of our own do item by item; its row is locked, with skip locked, by the one that keeps failures, and never by a tenant';
comment on column jobs_internal.duty.name is 'Duty, as in duty_failure';
insert into jobs_internal.duty (name) values
  ('dispatch'), ('history'), ('lanes'), ('mend'), ('overdue'), ('press'), ('rescue'), ('round'), ('upkeep');

create table jobs_internal.duty_failure (
  duty text not null,
  item text not null,
  queue_id integer,
  owner oid,
  error jsonb not null,
  failures integer not null default 1,
  since timestamptz not null default pg_catalog.clock_timestamp(),
  retry_at timestamptz not null,
  told boolean not null default false,
  primary key (duty, item)
) with (fillfactor = 50);
comment on table jobs_internal.duty_failure is 'Items of a supervisor''s round that failed when they were tried last: all else went on without them';
comment on column jobs_internal.duty_failure.duty is 'lanes: a lane is made; dispatch: jobs go into their lane; rescue: a dead session is seen to; history: a bucket; mend: a lane is put right; round: a whole part of a round';
comment on column jobs_internal.duty_failure.item is 'Which one: its number, or its name';
comment on column jobs_internal.duty_failure.queue_id is 'Queue whose jobs wait for it; null: none in particular';
comment on column jobs_internal.duty_failure.owner is 'Owner whose jobs wait for it; null: none in particular';
comment on column jobs_internal.duty_failure.error is 'Error of the last try';
comment on column jobs_internal.duty_failure.failures is 'Tries that failed in a row';
comment on column jobs_internal.duty_failure.since is 'First of them';
comment on column jobs_internal.duty_failure.retry_at is 'It is not tried again before; much later than that, it is not there any more';
comment on column jobs_internal.duty_failure.told is 'A supervisor has taken it for its log';

create table jobs_internal.audit (
  id bigint generated always as identity primary key,
  at timestamptz not null default pg_catalog.clock_timestamp(),
  login text not null,
  login_oid oid not null,
  action text not null,
  object text not null,
  before jsonb,
  after jsonb
);
create index audit_login_idx on jobs_internal.audit (login_oid, at);
comment on table jobs_internal.audit is 'What operators and administrators did through the functions of schema jobs; no function changes or removes a row';
comment on column jobs_internal.audit.id is 'Number';
comment on column jobs_internal.audit.at is 'When';
comment on column jobs_internal.audit.login is 'Login, by name';
comment on column jobs_internal.audit.login_oid is 'Login, by number';
comment on column jobs_internal.audit.action is 'Function that was called';
comment on column jobs_internal.audit.object is 'What it was called for';
comment on column jobs_internal.audit.before is 'How it was before; null: not there';
comment on column jobs_internal.audit.after is 'How it is now; null: gone';

create table jobs_internal.quota (
  owner oid primary key,
  pending bigint check (pending >= 0),
  running integer check (running >= 0),
  args_bytes integer check (args_bytes >= 0),
  result_bytes integer check (result_bytes >= 1000),
  per_minute integer check (per_minute >= 1),
  history_rows bigint check (history_rows >= 1),
  over_rate text not null default 'refuse' check (over_rate in ('refuse', 'wait'))
);
comment on table jobs_internal.quota is 'Limits of one owner; owners without a row have none';
comment on column jobs_internal.quota.owner is 'Owner';
comment on column jobs_internal.quota.pending is 'Unfinished jobs at most; null: no limit, as in all that follow';
comment on column jobs_internal.quota.running is 'Worker sessions at once at most';
comment on column jobs_internal.quota.args_bytes is 'What one job carries at most, bytes of text: arguments, settings, note, options, and the texts of a statement';
comment on column jobs_internal.quota.result_bytes is 'Result of one job at most, bytes of text';
comment on column jobs_internal.quota.per_minute is 'Jobs enqueued in any 60 seconds at most';
comment on column jobs_internal.quota.history_rows is 'So many finished jobs are kept at least, then older ones go, in steps of a quarter';
comment on column jobs_internal.quota.over_rate is 'What becomes of a job over per_minute: refuse (PW072), or wait until there is room';

create table jobs_internal.rate_use (
  owner oid not null,
  publication_id integer not null default 0,
  at timestamptz not null,
  jobs bigint not null
);
create index rate_use_idx on jobs_internal.rate_use (owner, at);
alter table jobs_internal.rate_use replica identity full;
comment on table jobs_internal.rate_use is 'Jobs enqueued under a limit per minute: rows of the enqueuer''s own, so that none waits for another';
comment on column jobs_internal.rate_use.owner is 'Owner of the jobs';
comment on column jobs_internal.rate_use.publication_id is 'Publication; 0: none';
comment on column jobs_internal.rate_use.at is 'Time that they count for: of the enqueue, or later where they wait';
comment on column jobs_internal.rate_use.jobs is 'How many';

create table jobs_internal.publication (
  id integer generated always as identity primary key,
  publisher oid not null,
  to_role oid not null,
  func oid not null,
  task text not null,
  signature text not null,
  queue_id integer not null,
  timeout interval,
  per_minute integer check (per_minute >= 1),
  pending bigint check (pending >= 1),
  published_at timestamptz not null default pg_catalog.now(),
  revoked_at timestamptz
);
create unique index publication_key on jobs_internal.publication (publisher, to_role, func) where revoked_at is null;
comment on table jobs_internal.publication is 'Functions that their owner lets another role enqueue, to run as the owner';
comment on column jobs_internal.publication.id is 'Number';
comment on column jobs_internal.publication.publisher is 'Owner of the function, as whom its jobs run';
comment on column jobs_internal.publication.to_role is 'Role whose members may enqueue it';
comment on column jobs_internal.publication.func is 'The function';
comment on column jobs_internal.publication.task is 'Its qualified name when it was published';
comment on column jobs_internal.publication.signature is 'Its name with argument types';
comment on column jobs_internal.publication.queue_id is 'Queue of its jobs';
comment on column jobs_internal.publication.timeout is 'Longest timeout of its jobs; null: the queue''s';
comment on column jobs_internal.publication.per_minute is 'Jobs enqueued in any 60 seconds at most; null: no limit of its own';
comment on column jobs_internal.publication.pending is 'Unfinished jobs at most; null: no limit of its own';
comment on column jobs_internal.publication.published_at is 'When it was published';
comment on column jobs_internal.publication.revoked_at is 'When it was revoked; null: it counts';

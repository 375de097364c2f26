-- Windows, batches, keys of concurrency and rates.

-- How often results were reused goes with the history of their jobs, forgotten or not.
alter table jobs_internal.reuse add column bucket integer;
update jobs_internal.reuse as u set bucket = f.bucket
from jobs_internal.finished as f where f.id = u.job_id;
delete from jobs_internal.reuse where bucket is null;
create index reuse_bucket_idx on jobs_internal.reuse (bucket);
comment on column jobs_internal.reuse.bucket
  is 'Bucket in which that job is finished: its counts go with it';

comment on column jobs_internal.duty_failure.duty is 'lanes: a lane is made; dispatch: jobs go '
  'into their lane; rescue: jobs of a dead session; overdue: a timeout; '
  'signal: a job is signalled; history: a bucket; repair: a lane; upkeep: the tables; '
  'follow: the jobs of an owner that wait for others; deadline: a job is cancelled for it; '
  'schedule: it is fired; batch: the batches of an owner; keys: places of its keys; '
  'round: a whole part of a round';

create table jobs_internal.batch (
  id bigint generated always as identity primary key,
  owner oid not null,
  name text not null,
  queue text not null,
  priority smallint not null,
  timeout interval,
  max_attempts integer,
  settings jsonb,
  note jsonb,
  options jsonb,
  bytes bigint not null,
  created_at timestamptz not null default now(),
  closed_at timestamptz,
  called boolean not null default false,
  ends integer not null default 0,
  finished_at timestamptz,
  retry_at timestamptz,
  failures integer not null default 0,
  error jsonb
);
-- called is part of a key, so that to change it excludes who adds (for key share): docs/batches.md.
create unique index batch_called_key on jobs_internal.batch (id, called);
create index batch_retry_idx on jobs_internal.batch (retry_at) where retry_at is not null;
create index batch_unfinished_idx on jobs_internal.batch (id) where not called;
comment on table jobs_internal.batch is 'Batches of jobs';
comment on column jobs_internal.batch.id is 'Number';
comment on column jobs_internal.batch.owner is 'Role that made it, and that its callbacks run as';
comment on column jobs_internal.batch.name is 'What its owner calls it';
comment on column jobs_internal.batch.queue is 'Queue of its callbacks, by name';
comment on column jobs_internal.batch.priority is 'Priority of its callbacks';
comment on column jobs_internal.batch.timeout is 'Timeout of its callbacks; null: the queue''s';
comment on column jobs_internal.batch.max_attempts
  is 'Attempts of its callbacks; null: the queue''s';
comment on column jobs_internal.batch.settings is 'Settings of its callbacks';
comment on column jobs_internal.batch.note is 'Note of its callbacks';
comment on column jobs_internal.batch.options is 'Options of its callbacks';
comment on column jobs_internal.batch.bytes is 'Bytes that the largest of its callbacks carries';
comment on column jobs_internal.batch.created_at is 'When it was made';
comment on column jobs_internal.batch.closed_at is 'When it was closed; null: jobs may be added';
comment on column jobs_internal.batch.called is 'All its jobs have ended, and the callbacks of this '
  'end are enqueued';
comment on column jobs_internal.batch.ends is 'How often that has come: more than once only after '
  'jobs.retry_batch';
comment on column jobs_internal.batch.finished_at is 'When that came; null: not yet';
comment on column jobs_internal.batch.retry_at is 'When a round looks again: a transaction that may '
  'add to it was open, or its callbacks could not be enqueued';
comment on column jobs_internal.batch.failures is 'How often they could not be enqueued';
comment on column jobs_internal.batch.error is 'Why not, the last time';

create table jobs_internal.batch_callback (
  batch_id bigint not null references jobs_internal.batch on delete cascade,
  kind text not null,
  call_template_id integer not null,
  args jsonb,
  primary key (batch_id, kind)
);
create index batch_callback_template_idx on jobs_internal.batch_callback (call_template_id);
comment on table jobs_internal.batch_callback is 'What batches call when they have ended';
comment on column jobs_internal.batch_callback.batch_id is 'Batch';
comment on column jobs_internal.batch_callback.kind is 'finish, success or failure';
comment on column jobs_internal.batch_callback.call_template_id is 'How its function is called';
comment on column jobs_internal.batch_callback.args is 'Arguments, as of a job';

create table jobs_internal.batch_call (
  batch_id bigint not null,
  n integer not null,
  kind text not null,
  job_id bigint not null,
  primary key (batch_id, n, kind)
);
create index batch_call_job_idx on jobs_internal.batch_call (job_id);
comment on table jobs_internal.batch_call is 'Callbacks that were enqueued: one of a kind for each '
  'end of a batch';
comment on column jobs_internal.batch_call.batch_id is 'Batch';
comment on column jobs_internal.batch_call.n is 'Which end of it';
comment on column jobs_internal.batch_call.kind is 'finish, success or failure';
comment on column jobs_internal.batch_call.job_id is 'Job';

create table jobs_internal.batch_count (
  batch_id bigint primary key,
  total bigint not null default 0,
  succeeded bigint not null default 0,
  failed bigint not null default 0,
  cancelled bigint not null default 0,
  in_doubt bigint not null default 0,
  first_end_at timestamptz,
  first_ended bigint,
  changed_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
comment on table jobs_internal.batch_count is 'Sums of what was folded of batch_delta';
comment on column jobs_internal.batch_count.batch_id is 'Batch';
comment on column jobs_internal.batch_count.total is 'Jobs that were added';
comment on column jobs_internal.batch_count.succeeded is 'Those that succeeded';
comment on column jobs_internal.batch_count.failed is 'Those that failed';
comment on column jobs_internal.batch_count.cancelled is 'Those that were cancelled';
comment on column jobs_internal.batch_count.in_doubt is 'Those in doubt, which have not ended';
comment on column jobs_internal.batch_count.first_end_at is 'When the first ends were folded';
comment on column jobs_internal.batch_count.first_ended is 'How many those were';
comment on column jobs_internal.batch_count.changed_at is 'When it was folded last';

create table jobs_internal.batch_jobs (
  batch_id bigint not null,
  first_job bigint not null,
  last_job bigint not null,
  primary key (batch_id, first_job)
);
comment on table jobs_internal.batch_jobs is 'Between which numbers jobs of a batch are: those that '
  'have its option';
comment on column jobs_internal.batch_jobs.batch_id is 'Batch';
comment on column jobs_internal.batch_jobs.first_job is 'The first';
comment on column jobs_internal.batch_jobs.last_job is 'The last';

create table jobs_internal.batch_delta (
  id bigint generated always as identity primary key,
  owner oid not null,
  batch_id bigint not null,
  total bigint not null default 0,
  succeeded bigint not null default 0,
  failed bigint not null default 0,
  cancelled bigint not null default 0,
  in_doubt bigint not null default 0,
  first_job bigint,
  last_job bigint
);
create index batch_delta_owner_idx on jobs_internal.batch_delta (owner, batch_id, id);
comment on table jobs_internal.batch_delta is 'What changed in batches, until it is folded: rows '
  'are only added and deleted';
comment on column jobs_internal.batch_delta.id is 'Number';
comment on column jobs_internal.batch_delta.owner is 'Owner of the batch';
comment on column jobs_internal.batch_delta.batch_id is 'Batch';
comment on column jobs_internal.batch_delta.total is 'Jobs that were added';
comment on column jobs_internal.batch_delta.succeeded is 'That succeeded; less than zero: no more so';
comment on column jobs_internal.batch_delta.failed is 'That failed, likewise';
comment on column jobs_internal.batch_delta.cancelled is 'That were cancelled, likewise';
comment on column jobs_internal.batch_delta.in_doubt is 'That ended in doubt, likewise';
comment on column jobs_internal.batch_delta.first_job is 'The first job that was added';
comment on column jobs_internal.batch_delta.last_job is 'The last of them';

insert into jobs_internal.duty (name) values ('batch');

-- Keys of concurrency.

create table jobs_internal.key_limit (
  owner oid not null,
  key text not null,
  max integer not null check (max between 0 and 1000),
  primary key (owner, key)
);
comment on table jobs_internal.key_limit is 'How many jobs of a key run at once (set_concurrency); '
  'without a row it is one';
comment on column jobs_internal.key_limit.owner is 'Owner';
comment on column jobs_internal.key_limit.key is 'Key';
comment on column jobs_internal.key_limit.max is 'Jobs at once; 0: none is begun';

create table jobs_internal.key_held (
  owner oid not null,
  key text not null,
  n integer not null,
  job_id bigint not null,
  primary key (owner, key, n),
  unique (job_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05,
  autovacuum_vacuum_threshold = 1000);
comment on table jobs_internal.key_held is 'Places that are held, by jobs in their lane or running';
comment on column jobs_internal.key_held.owner is 'Owner';
comment on column jobs_internal.key_held.key is 'Key';
comment on column jobs_internal.key_held.n is 'Place, from 1';
comment on column jobs_internal.key_held.job_id is 'Job that holds it';

create table jobs_internal.key_wait (
  owner oid not null,
  key text not null,
  priority smallint not null,
  job_id bigint not null,
  waits_since timestamptz not null default clock_timestamp(),
  primary key (job_id)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);
create index key_wait_turn_idx on jobs_internal.key_wait (owner, key, priority, job_id);
comment on table jobs_internal.key_wait is 'Due jobs that wait for a place of their key: they have '
  'due_at = infinity and no message';
comment on column jobs_internal.key_wait.owner is 'Owner';
comment on column jobs_internal.key_wait.key is 'Key';
comment on column jobs_internal.key_wait.priority is 'Priority of the job';
comment on column jobs_internal.key_wait.job_id is 'Job';
comment on column jobs_internal.key_wait.waits_since is 'Since when';

create table jobs_internal.key_event (
  id bigint generated always as identity primary key,
  owner oid not null,
  key text not null
);
create index key_event_owner_idx on jobs_internal.key_event (owner, id);
comment on table jobs_internal.key_event is 'Keys that are to be looked at: a place may be free, '
  'and a job may wait for it. Rows are only added and deleted';
comment on column jobs_internal.key_event.id is 'Number';
comment on column jobs_internal.key_event.owner is 'Owner';
comment on column jobs_internal.key_event.key is 'Key';

create table jobs_internal.key_turn (
  owner oid primary key
);
comment on table jobs_internal.key_turn is 'Owners of keys: a row is locked by the one transaction '
  'that gives places of their keys';
comment on column jobs_internal.key_turn.owner is 'Owner';

insert into jobs_internal.duty (name) values ('keys');
-- Maintenance windows.
create table jobs_internal.run_window (
  name text primary key,
  expression text not null,
  timetable jobs_internal.timetable not null,
  timezone text not null,
  duration interval not null,
  on_close text not null check (on_close in ('finish', 'stop', 'park')),
  created_by text not null default session_user,
  created_at timestamptz not null default now()
);
comment on table jobs_internal.run_window is 'Maintenance windows';
comment on column jobs_internal.run_window.name is 'Name';
comment on column jobs_internal.run_window.expression is 'When it opens, as it was written';
comment on column jobs_internal.run_window.timetable is 'When it opens, as it was read';
comment on column jobs_internal.run_window.timezone is 'Time zone in which that is meant';
comment on column jobs_internal.run_window.duration is 'How long it is open then: elapsed time';
comment on column jobs_internal.run_window.on_close
  is 'What becomes of its jobs when it closes: finish, stop, park';
comment on column jobs_internal.run_window.created_by is 'Login that made it';
comment on column jobs_internal.run_window.created_at is 'When it was made';

create table jobs_internal.window_state (
  name text primary key references jobs_internal.run_window on delete cascade,
  opened_at timestamptz, closes_at timestamptz, next_opens_at timestamptz
) with (fillfactor = 50);
comment on table jobs_internal.window_state is 'Maintenance windows: the present opening and the '
  'next one, moved by the rounds of supervisors';
comment on column jobs_internal.window_state.name is 'Window';
comment on column jobs_internal.window_state.opened_at is 'When it was opened; null: it is closed';
comment on column jobs_internal.window_state.closes_at
  is 'No job starts from then on, whether a round has closed it or not; null: it is closed';
comment on column jobs_internal.window_state.next_opens_at
  is 'When it opens next by its schedule; null: never';

create table jobs_internal.window_wait (
  job_id bigint primary key,
  name text not null, closes_at timestamptz not null default '-infinity', needs interval
);
create index window_wait_name_idx on jobs_internal.window_wait (name, closes_at);
create index window_wait_needs_idx on jobs_internal.window_wait (name, needs)
  where needs is not null;
comment on table jobs_internal.window_wait is 'Jobs that wait for a window, outside of their lane';
comment on column jobs_internal.window_wait.job_id is 'Job';
comment on column jobs_internal.window_wait.name is 'Window, which may have been dropped since';
comment on column jobs_internal.window_wait.closes_at is 'Closing of the opening that it does not '
  'fit: it is looked at again in another one; -infinity: the window was closed';
comment on column jobs_internal.window_wait.needs
  is 'How long it was expected to run, where it does not fit; null: not known';

create table jobs_internal.task_run (
  id bigint generated always as identity primary key, owner oid not null,
  task text not null, ms double precision not null
);
create index task_run_task_idx on jobs_internal.task_run (owner, task, id);
comment on table jobs_internal.task_run is 'How long the last runs of jobs took that have a '
  'window, by owner and task: twenty of each; rows are only added and deleted';
comment on column jobs_internal.task_run.id is 'Number: the later the run, the higher';
comment on column jobs_internal.task_run.owner is 'Owner of the jobs';
comment on column jobs_internal.task_run.task is 'Task, as in jobs.job';
comment on column jobs_internal.task_run.ms is 'How long it ran, ms';

alter table jobs_internal.queue add column window_name text;
comment on column jobs_internal.queue.window_name
  is 'Maintenance window in which its jobs start; null: at any time';

alter table jobs_internal.stop_request drop constraint stop_request_reason_check,
  add constraint stop_request_reason_check
  check (reason in ('timed_out', 'cancelled', 'window_closed'));
comment on column jobs_internal.stop_request.reason is 'timed_out, cancelled or window_closed';
comment on column jobs_internal.stop_request.requested_by
  is 'Login that asked for it; the supervisor for a timeout, or a window';
comment on column jobs_internal.schedule_run.outcome is 'fired, queued (its job is enqueued when '
  'the one before has ended), skipped, coalesced, missed, paused, outside window';

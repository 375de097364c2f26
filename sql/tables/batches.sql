-- Batches: docs/batches.md. Rows of batch_delta are only added and deleted: who enqueues a job of a
-- batch, or ends one, waits for no other.

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
comment on column jobs_internal.batch.called
  is 'All its jobs have ended, and the callbacks of this '
  'end are enqueued';
comment on column jobs_internal.batch.ends is 'How often that has come: more than once only after '
  'jobs.retry_batch';
comment on column jobs_internal.batch.finished_at is 'When that came; null: not yet';
comment on column jobs_internal.batch.retry_at
  is 'When a round looks again: a transaction that may '
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
comment on table jobs_internal.batch_jobs
  is 'Between which numbers jobs of a batch are: those that '
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
comment on column jobs_internal.batch_delta.succeeded
  is 'That succeeded; less than zero: no more so';
comment on column jobs_internal.batch_delta.failed is 'That failed, likewise';
comment on column jobs_internal.batch_delta.cancelled is 'That were cancelled, likewise';
comment on column jobs_internal.batch_delta.in_doubt is 'That ended in doubt, likewise';
comment on column jobs_internal.batch_delta.first_job is 'The first job that was added';
comment on column jobs_internal.batch_delta.last_job is 'The last of them';

insert into jobs_internal.duty (name) values ('batch');

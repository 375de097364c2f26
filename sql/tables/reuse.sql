-- Results that are reused: option reuse_for. Rows are only added and deleted: who ends a job, or
-- reuses its result, waits for no other.

create table jobs_internal.fresh_result (
  job_id bigint primary key,
  bucket integer not null,
  owner oid not null,
  queue_id integer not null,
  key text not null,
  finished_at timestamptz not null
);
create index fresh_result_key_idx
  on jobs_internal.fresh_result (owner, queue_id, key, finished_at);
create index fresh_result_bucket_idx on jobs_internal.fresh_result (bucket);
comment on table jobs_internal.fresh_result is 'Jobs with the option reuse_for that succeeded, and '
  'were not forgotten';
comment on column jobs_internal.fresh_result.job_id is 'Job';
comment on column jobs_internal.fresh_result.bucket is 'Bucket in which it is finished';
comment on column jobs_internal.fresh_result.owner is 'Owner';
comment on column jobs_internal.fresh_result.queue_id is 'Queue';
comment on column jobs_internal.fresh_result.key
  is 'Its unique_key: given, or made of its task and arguments';
comment on column jobs_internal.fresh_result.finished_at is 'When it succeeded';

create table jobs_internal.reuse (
  id bigint generated always as identity primary key,
  job_id bigint not null,
  times bigint not null default 1,
  bucket integer
);
create index reuse_job_idx on jobs_internal.reuse (job_id);
create index reuse_bucket_idx on jobs_internal.reuse (bucket);
comment on table jobs_internal.reuse is 'How often the result of a job was reused: the sum of its '
  'rows';
comment on column jobs_internal.reuse.id is 'Number';
comment on column jobs_internal.reuse.job_id is 'Job';
comment on column jobs_internal.reuse.times is 'So often';
comment on column jobs_internal.reuse.bucket
  is 'Bucket in which that job is finished: its counts go with it';

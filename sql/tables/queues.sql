-- Queues, and the slots that limit how many of their jobs run at once.

create table jobs_internal.queue (
  id integer generated always as identity primary key,
  name text not null,
  paused boolean not null default false,
  accepting boolean not null default true,
  concurrency integer check (concurrency between 1 and 1000),
  timeout interval check (timeout > interval '0'),
  max_attempts integer not null default 3 check (max_attempts >= 1),
  backoff interval not null default '1 second' check (backoff between interval '0' and interval
      '1000 years'),
  backoff_cap interval not null default
    '1 hour' check (backoff_cap between interval '0' and interval '1000 years'),
  retention interval not null default '7 days' check (retention between interval '0' and interval
      '1000 years' or retention = 'infinity'),
  retention_rows bigint check (retention_rows >= 1),
  class_id integer not null default 1,
  share_commits boolean not null default true,
  created_by text not null default session_user,
  created_at timestamptz not null default now(),
  dropped_at timestamptz,
  dropped_by xid8,
  horizon_xid xid8,
  removed_at timestamptz,
  window_name text,
  rate_limit integer check (rate_limit >= 1),
  rate_period interval check (rate_period > interval '0'),
  rate_by text,
  -- Makes dropped_at a column of a key, for PostgreSQL: a lock FOR KEY SHARE meets a drop, and no
  -- other change (hold_queues).
  constraint queue_dropped_key unique (id, dropped_at)
);
create unique index queue_name_key on jobs_internal.queue (name) where dropped_at is null;
comment on table jobs_internal.queue is 'Queues; a dropped one stays as long as its history does';
comment on column jobs_internal.queue.id is 'Number';
comment on column jobs_internal.queue.name is 'Name; unique among the queues that are not dropped';
comment on column jobs_internal.queue.paused is 'Its jobs do not start';
comment on column jobs_internal.queue.accepting is 'It accepts new jobs';
comment on column jobs_internal.queue.concurrency
  is 'Jobs that run at once at most; null: no limit';
comment on column jobs_internal.queue.timeout is 'Timeout of a job that names none; null: none';
comment on column jobs_internal.queue.max_attempts is 'Attempts of a job that names no number';
comment on column jobs_internal.queue.backoff
  is 'Wait before the second attempt; doubles with each further one';
comment on column jobs_internal.queue.backoff_cap is 'Longest wait between two attempts';
comment on column jobs_internal.queue.retention is 'Finished jobs are kept so long at least';
comment on column jobs_internal.queue.retention_rows is 'So many finished jobs are kept at least, '
  'then older ones go whatever their age; null: no limit';
comment on column jobs_internal.queue.class_id is 'Retention class: where its finished jobs go';
comment on column jobs_internal.queue.share_commits is 'Short jobs may share a transaction';
comment on column jobs_internal.queue.created_by is 'Login that made it';
comment on column jobs_internal.queue.created_at is 'When it was made';
comment on column jobs_internal.queue.dropped_at
  is 'When it was dropped: it accepts no job any more; null: in use';
comment on column jobs_internal.queue.dropped_by is 'Transaction that dropped it';
comment on column jobs_internal.queue.horizon_xid
  is 'Dropped: transactions from this number on are sure '
  'to have seen that; null: not looked yet';
comment on column jobs_internal.queue.removed_at
  is 'When its lanes were removed, after its last job; null: jobs of it may be there';
comment on column jobs_internal.queue.window_name
  is 'Maintenance window in which its jobs start; null: at any time';
comment on column jobs_internal.queue.rate_limit
  is 'So many of its jobs start in a rate_period; null: no limit';
comment on column jobs_internal.queue.rate_period is 'Period of rate_limit; null: no limit';
comment on column jobs_internal.queue.rate_by
  is 'Argument of its jobs each value of which has a rate_limit of its own; null: they share one';
insert into jobs_internal.queue (name, concurrency) values ('default', 16);

create table jobs_internal.slot (
  queue_id integer not null,
  n integer not null,
  session_id bigint,
  primary key (queue_id, n)
) with (fillfactor = 50);
create index slot_session_idx on jobs_internal.slot (session_id) where session_id is not null;
comment on table jobs_internal.slot is 'One row per job that a queue may run at once; a session '
  'holds a row while it works for the queue';
comment on column jobs_internal.slot.queue_id is 'Queue';
comment on column jobs_internal.slot.n is '1 to the queue''s concurrency';
comment on column jobs_internal.slot.session_id is 'Session that holds it; null: free';
insert into jobs_internal.slot (queue_id, n) select q.id, g from jobs_internal.queue as q,
  generate_series(1, q.concurrency) as g;

create table jobs_internal.rate_bucket (
  queue_id integer primary key
);
comment on table jobs_internal.rate_bucket is 'Queues that have, or had, a rate_limit. A row is '
  'locked while starts are taken, never changed: what was taken says the sequence rate_<queue>, '
  'the time at which all starts are free again and who took last (engine/claim/rates.sql)';
comment on column jobs_internal.rate_bucket.queue_id is 'Queue';

create table jobs_internal.rate_return (
  id bigint generated always as identity primary key,
  queue_id integer not null,
  starts integer not null
);
comment on table jobs_internal.rate_return is 'Starts that were taken with a claim and not made, '
  'until a supervisor''s round gives them back. Rows are only added and deleted';
comment on column jobs_internal.rate_return.id is 'Number';
comment on column jobs_internal.rate_return.queue_id is 'Queue';
comment on column jobs_internal.rate_return.starts is 'So many';

create table jobs_internal.rate_value (
  queue_id integer not null,
  owner oid not null,
  value text not null,
  next_at timestamptz not null default '-infinity',
  primary key (queue_id, owner, value)
) with (fillfactor = 50);
comment on table jobs_internal.rate_value is 'Queues with rate_by: when the next job of a value of '
  'that argument may start. A row that says a time long ago may be missing';
comment on column jobs_internal.rate_value.queue_id is 'Queue';
comment on column jobs_internal.rate_value.owner is 'Owner of the jobs';
comment on column jobs_internal.rate_value.value is 'Value, behind =; empty: jobs that have none';
comment on column jobs_internal.rate_value.next_at is 'Time of the next start that is free';

create table jobs_internal.rate_wait (
  job_id bigint primary key,
  queue_id integer not null,
  at timestamptz not null
);
create index rate_wait_queue_idx on jobs_internal.rate_wait (queue_id);
comment on table jobs_internal.rate_wait is 'Jobs of queues with rate_by that have left their lane '
  'until their time, or have come back to it';
comment on column jobs_internal.rate_wait.job_id is 'Job';
comment on column jobs_internal.rate_wait.queue_id is 'Queue';
comment on column jobs_internal.rate_wait.at is 'Its time: a start that no other job gets';

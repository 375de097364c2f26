-- Turns of lanes, and rates of queues.

-- Rates of queues.
alter table jobs_internal.queue add column rate_limit integer check (rate_limit >= 1),
  add column rate_period interval check (rate_period > interval '0'),
  add column rate_by text;
comment on column jobs_internal.queue.rate_limit
  is 'So many of its jobs start in a rate_period; null: no limit';
comment on column jobs_internal.queue.rate_period is 'Period of rate_limit; null: no limit';
comment on column jobs_internal.queue.rate_by
  is 'Argument of its jobs each value of which has a rate_limit of its own; null: they share one';

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

alter type jobs_internal.claim add attribute start_at timestamptz;
alter type jobs_internal.worker_state add attribute start_at timestamptz;
comment on column jobs_internal.session.waits_for
  is 'Queue that it found due work in, and no slot, or no start of its rate_limit; null: it waits '
  'for none';

comment on column jobs_internal.key_held.n is 'Place, from 1; below 0: it stands behind the job of '
  'place 1, and behind those whose number is greater';

-- Turns of priorities.
alter table jobs_internal.lane add column turn_start double precision,
  add column turn_end double precision;
comment on column jobs_internal.lane.turn_start
  is 'How far the virtual clock of its owner had come at the last turn that this row counts, ms; '
  'null: another lane of its priority counts, or there was none';
comment on column jobs_internal.lane.turn_end
  is 'Where on that clock the time ends that its priority has leased, ms; '
  'null: it starts ahead of the others';
alter table jobs_internal.session add column owed double precision[];
comment on column jobs_internal.session.owed
  is 'Virtual ms of high, normal and low jobs that it has leased and not yet charged to the turn '
  'of that priority; null: none';

-- A job with thousands of children, or parents, does not make the others likely to have as many:
-- by what a sample says, all rows of a parent would be looked for by their child.
alter table jobs_internal.dependency
  alter column parent set (n_distinct = -0.5), alter column child set (n_distinct = -0.5);
analyze jobs_internal.dependency;

-- those that wait for another one to end (wake_beside)
create index operation_beside_idx on jobs_internal.operation (((held ->> 'job')::bigint))
  where held ->> 'why' = 'beside';

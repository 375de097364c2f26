-- Turns of lanes, and rates of queues.

-- Rates of queues.
alter table jobs_internal.queue add column rate_limit integer check (rate_limit >= 1),
  add column rate_period interval check (rate_period > interval '0');
comment on column jobs_internal.queue.rate_limit
  is 'So many of its jobs start in a rate_period; null: no limit';
comment on column jobs_internal.queue.rate_period is 'Period of rate_limit; null: no limit';

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

alter type jobs_internal.claim add attribute start_at timestamptz;
alter type jobs_internal.worker_state add attribute start_at timestamptz;
comment on column jobs_internal.session.waits_for
  is 'Queue that it found due work in, and no slot, or no start of its rate_limit; null: it waits '
  'for none';

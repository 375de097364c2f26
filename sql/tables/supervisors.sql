-- Supervisors, the outbox of outcomes for their logs, their duties and what failed of these.

create table jobs_internal.supervisor (
  id bigint generated always as identity primary key,
  name text not null,
  host text not null,
  os_pid integer not null,
  version text not null,
  pid integer not null,
  backend_start timestamptz not null,
  started_at timestamptz not null default clock_timestamp(),
  asleep boolean not null default false,
  horizon_xid xid8,
  serves text[]
) with (fillfactor = 50);
comment on table jobs_internal.supervisor
  is 'Supervisors that are connected, and dead ones until another has noticed';
comment on column jobs_internal.supervisor.id is 'Number';
comment on column jobs_internal.supervisor.name is 'Its name';
comment on column jobs_internal.supervisor.host is 'Host that it runs on';
comment on column jobs_internal.supervisor.os_pid is 'Its process there';
comment on column jobs_internal.supervisor.version is 'Version of pyworker';
comment on column jobs_internal.supervisor.pid is 'Server process of its control connection';
comment on column jobs_internal.supervisor.backend_start is 'Start of that process';
comment on column jobs_internal.supervisor.started_at is 'When it registered';
comment on column jobs_internal.supervisor.asleep
  is 'It waits for a NOTIFY: enqueuers should send one';
comment on column jobs_internal.supervisor.serves
  is 'Owners whose jobs it runs; null: every login member of jobs_runner that it can connect as';
comment on column jobs_internal.supervisor.horizon_xid
  is 'Asleep: transactions from this number on are sure to have seen that; '
  'null: not looked yet';

create table jobs_internal.outbox (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  bytes integer not null,
  body jsonb not null
);
comment on table jobs_internal.outbox
  is 'Outcomes that no supervisor has logged yet: one row per commit of a session';
comment on column jobs_internal.outbox.id is 'Number';
comment on column jobs_internal.outbox.at is 'When it was written';
comment on column jobs_internal.outbox.bytes is 'Size of body in memory: a supervisor reads by it';
comment on column jobs_internal.outbox.body is 'The outcomes of that commit';

create table jobs_internal.duty (
  name text primary key
);
comment on table jobs_internal.duty is 'What sessions of our own do item by item; its row is '
  'locked, with skip locked, by the one that keeps failures, and never by a tenant';
comment on column jobs_internal.duty.name is 'Duty, as in duty_failure';
insert into jobs_internal.duty (name) values
  ('dispatch'), ('history'), ('lanes'), ('overdue'), ('repair'), ('rescue'), ('round'),
    ('signal'), ('upkeep');

create table jobs_internal.duty_failure (
  duty text not null,
  item text not null,
  queue_id integer,
  owner oid,
  error jsonb not null,
  failures integer not null default 1,
  since timestamptz not null default clock_timestamp(),
  retry_at timestamptz not null,
  logged boolean not null default false,
  primary key (duty, item)
) with (fillfactor = 50);
comment on table jobs_internal.duty_failure is 'Items of a supervisor''s round that failed when '
  'they were tried last: all else went on without them';
comment on column jobs_internal.duty_failure.duty is 'lanes: a lane is made; dispatch: jobs go '
  'into their lane; rescue: jobs of a dead session; overdue: a timeout; '
  'signal: a job is signalled; history: a bucket; repair: a lane; upkeep: the tables; '
  'follow: the jobs of an owner that wait for others; deadline: a job is cancelled for it; '
  'schedule: it is fired; batch: the batches of an owner; keys: places of its keys; '
  'round: a whole part of a round';
comment on column jobs_internal.duty_failure.item is 'Which one: its number, or its name';
comment on column jobs_internal.duty_failure.queue_id
  is 'Queue whose jobs wait for it; null: none in particular';
comment on column jobs_internal.duty_failure.owner
  is 'Owner whose jobs wait for it; null: none in particular';
comment on column jobs_internal.duty_failure.error is 'Error of the last try';
comment on column jobs_internal.duty_failure.failures is 'Tries that failed in a row';
comment on column jobs_internal.duty_failure.since is 'First of them';
comment on column jobs_internal.duty_failure.retry_at
  is 'It is not tried again before; much later than that, it is not there any more';
comment on column jobs_internal.duty_failure.logged is 'A supervisor has taken it for its log';

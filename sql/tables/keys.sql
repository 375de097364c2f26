-- Keys of concurrency: jobs that wait for a place of their key, and jobs that hold one. The
-- protocol: docs/limits.md.

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
comment on column jobs_internal.key_held.n is 'Place, from 1; below 0: it stands behind the job of '
  'place 1, and behind those whose number is greater';
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

-- Marks in time, and what pg_stat_statements counted, to compare before and after.

create table jobs_internal.mark (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  kind text not null,
  name text not null,
  owner oid not null,
  set_by text not null,
  job_id bigint,
  note jsonb
);
create index mark_owner_idx on jobs_internal.mark (owner, id);
comment on table jobs_internal.mark is 'Marks: when something was changed. The latest thousand of '
  'each owner are kept, for 90 days';
comment on column jobs_internal.mark.id is 'Number of the mark';
comment on column jobs_internal.mark.at
  is 'When it was set; of an operation: its start, or its end';
comment on column jobs_internal.mark.kind is 'deploy, operation_start, operation_end, or any other';
comment on column jobs_internal.mark.name is 'What was changed';
comment on column jobs_internal.mark.owner is 'Role that set it; of an operation: owner of the job';
comment on column jobs_internal.mark.set_by is 'Login that set it; of an operation: its owner';
comment on column jobs_internal.mark.job_id is 'Job of the operation; null: set by jobs.mark';
comment on column jobs_internal.mark.note is 'Note';

-- The costliest statements of each five minutes.
create table jobs_internal.statement_look (
  id boolean primary key default true check (id),
  looked_at timestamptz
);
comment on table jobs_internal.statement_look is 'One row: when pg_stat_statements was read last; '
  'who reads it locks the row';
comment on column jobs_internal.statement_look.id is 'Always true: there is one row';
comment on column jobs_internal.statement_look.looked_at is 'The last time; null: never';
insert into jobs_internal.statement_look default values;

create table jobs_internal.statement_count (
  role oid not null,
  query_id bigint not null,
  calls bigint not null,
  total_ms double precision not null,
  stats_since timestamptz,
  primary key (role, query_id)
);
comment on table jobs_internal.statement_count is 'What pg_stat_statements said at the last look';
comment on column jobs_internal.statement_count.role is 'Role that ran the statement';
comment on column jobs_internal.statement_count.query_id is 'Query id';
comment on column jobs_internal.statement_count.calls is 'Calls, count';
comment on column jobs_internal.statement_count.total_ms is 'Their time, ms';
comment on column jobs_internal.statement_count.stats_since
  is 'Since when it counts; null: the server does not say';

create table jobs_internal.statement_snapshot (
  at timestamptz not null,
  since timestamptz not null,
  role oid not null,
  query_id bigint not null,
  calls bigint not null,
  total_ms double precision not null,
  primary key (at, role, query_id)
);
comment on table jobs_internal.statement_snapshot is 'The 200 statements of each five minutes that '
  'took most time; kept for 7 days';
comment on column jobs_internal.statement_snapshot.at is 'End of that time';
comment on column jobs_internal.statement_snapshot.since is 'Its beginning';
comment on column jobs_internal.statement_snapshot.role is 'Role that ran the statement';
comment on column jobs_internal.statement_snapshot.query_id is 'Query id';
comment on column jobs_internal.statement_snapshot.calls is 'Calls in that time, count';
comment on column jobs_internal.statement_snapshot.total_ms is 'Their time, ms';

create table jobs_internal.statement_text (
  role oid not null,
  query_id bigint not null,
  query text not null,
  seen_at timestamptz not null,
  primary key (query_id, role)
);
comment on table jobs_internal.statement_text is 'Texts of the statements of statement_snapshot';
comment on column jobs_internal.statement_text.role is 'Role that ran the statement';
comment on column jobs_internal.statement_text.query_id is 'Query id';
comment on column jobs_internal.statement_text.query
  is 'Its text, without its constants, cut at 500 characters';
comment on column jobs_internal.statement_text.seen_at is 'When it was among the 200 last';

insert into jobs_internal.setting (name, value, unit, description) values
  ('statement_snapshots', 'on', 'on/off', 'where pg_stat_statements is installed, the costliest '
    'statements are noted every five minutes, for jobs.compare');

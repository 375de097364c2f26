-- What pg_stat_statements counted, as differences: of this database, the costliest statements of
-- each five minutes, for a week (engine/marks/statements.sql).

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

-- What attempts keep of errors, and which errors are worth another attempt.

-- The error object that attempts keep. Absent parts are left out.
create or replace function jobs_internal.error_object(
  p_sqlstate text,
  p_message text,
  p_detail text default null,
  p_hint text default null,
  p_context text default null,
  p_constraint text default null,
  p_table text default null
)
returns jsonb
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object(
    'sqlstate', p_sqlstate,
    'message', left(p_message, 8000),
    'detail', nullif(left(p_detail, 8000), ''),
    'hint', nullif(left(p_hint, 8000), ''),
    -- The lines of the worker itself, at the end, say nothing about the job.
    'context', nullif(left(regexp_replace(p_context,
      E'\n?((PL/pgSQL function jobs_internal\\.run_statement[^\n]*\n)?'
      'SQL statement "explain \\(analyze, buffers, wal,'
      '|SQL statement "select pg_catalog\\.array_agg\\(jobs_internal\\.end_in_a_row'
      '|PL/pgSQL function jobs_internal\\.(run_in_savepoint|run_without_savepoint|run_call|run_sql|'
      'run_explain'
      ')\\().*$', ''), 8000), '')
  ) || jsonb_strip_nulls(jsonb_build_object(
    'constraint', nullif(p_constraint, ''), 'table', nullif(p_table, '')));
end;

-- Whether an error is worth another attempt.
create or replace function jobs_internal.worth_retry(p_sqlstate text)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((
    select r.retry
    from jobs_internal.retry_rule as r
    where r.pattern in (p_sqlstate, left(p_sqlstate, 2), '*')
    order by length(r.pattern) desc
    limit 1), false);
end;

-- Which job the calling session runs. The worker keeps it in the setting pyworker.job: '<job>/<attempt> <start, ms since 1970>'. A session
-- could set it itself: what is no such text counts as none, and what is allowed by it concerns only jobs of the session's own login.

-- Purpose: the job that this session runs; null elsewhere.
create or replace function jobs_internal.current_job()
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select (pg_catalog.regexp_match(pg_catalog.current_setting('pyworker.job', true), '^([0-9]{1,18})/'))[1]::bigint;
end;
comment on function jobs_internal.current_job() is 'The job that this session runs; null elsewhere';

-- Purpose: the attempt of it.
create or replace function jobs_internal.current_attempt()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select (pg_catalog.regexp_match(pg_catalog.current_setting('pyworker.job', true), '^[0-9]{1,18}/([0-9]{1,9})( |$)'))[1]::integer;
end;
comment on function jobs_internal.current_attempt() is 'The attempt that this session runs; null elsewhere';

-- Purpose: a function of pg_background, wherever the extension was installed: its qualified name.
create or replace function jobs_internal.background(p_function text)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.format('%s.%I', e.extnamespace::regnamespace, 'pg_background_' || p_function)
  from pg_catalog.pg_extension as e
  where e.extname = 'pg_background';
end;
comment on function jobs_internal.background(text) is 'Qualified name of a function of pg_background';

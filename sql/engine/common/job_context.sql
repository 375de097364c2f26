-- Which job the calling session runs. The worker keeps it in the setting pyworker.job:
-- '<job>/<attempt> <start, ms since 1970>'. A session could set it itself: what is no such text
-- counts as none, and what is allowed by it concerns only jobs of the session's own login.

-- The job that this session runs; null elsewhere.
create or replace function jobs_internal.current_job()
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select (regexp_match(current_setting('pyworker.job', true), '^([0-9]{1,18})/'))[1]::bigint;
end;

-- The attempt of it.
create or replace function jobs_internal.current_attempt()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select (regexp_match(current_setting('pyworker.job', true), '^[0-9]{1,18}/([0-9]{1,9})( |$)'))[
      1]::integer;
end;

-- Checks of jobs.health: what the server and its settings do to jobs.

-- Snapshots behind which dead rows stay: claims read past them all.
create or replace function jobs_internal.health_old_snapshots(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when s.age > interval '1 hour' then 'warning' else 'ok' end,
    case when s.age is null then 'none'
      else format('the oldest is %s old', date_trunc('second', s.age)) end,
    case when s.age > interval '1 hour'
      then 'dead rows cannot be removed behind it: see pg_stat_activity.backend_xmin' end
  from (
    select max(clock_timestamp() - a.xact_start) from pg_stat_get_activity(null) as a
    where a.backend_xmin is not null
      and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
  ) as s (age);
end;

-- Commits that wait for a standby: such a one is not seen yet, not even as a job that runs.
create or replace function jobs_internal.health_commits(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when c.waiting > 0 and c.age > interval '10 seconds' then 'critical' else 'ok' end,
    case when c.waiting = 0 then 'none waits for a standby'
      else format('%s for a synchronous standby (SyncRep), the longest for %s',
        jobs_internal.counted(c.waiting, 'waits', 'wait'), date_trunc('second', c.age)) end,
    case when c.waiting > 0
      then 'bring the standby back, or change synchronous_standby_names (now: '
        || current_setting('synchronous_standby_names') || ') and reload' end
  from (
    select count(*), max(clock_timestamp() - a.query_start) from pg_stat_get_activity(null) as a
    where a.wait_event = 'SyncRep'
      and a.datid = (select d.oid from pg_database as d where d.datname = current_database())
  ) as c (waiting, age);
end;

-- Whether what statements at top level cost can be measured. Not to know it is no trouble.
create or replace function jobs_internal.health_costs(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select 'ok', case when c.unknown is null
    then 'statements at top level are measured, by pg_stat_statements'
    else 'of statements at top level WAL and buffers are not known: '
      || regexp_replace(c.unknown, '^it ran at top level, and ', '') end, null::text
  from (select case when jobs_internal.statement_statistics() is null
      or jobs_internal.measures_no_cost() then jobs_internal.why_child_costs_are_unknown() end)
    as c (unknown);
end;

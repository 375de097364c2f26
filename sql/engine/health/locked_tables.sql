-- A check of jobs.health: a table of ours that is locked as a whole.

-- Tables of ours that another process holds in a mode that lets no session write to them, and for
-- how long its transaction has been open: a text, null when there is none. Reads no table of ours,
-- so that it has an answer while one is locked.
create or replace function jobs_internal.locked_tables(p_for interval)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select string_agg(format('%s by process %s of role %s (%s, its transaction is %s old)',
        l.relation::regclass, l.pid, pg_get_userbyid(a.usesysid), l.mode,
        date_trunc('second', clock_timestamp() - a.xact_start)), '; ' order by a.xact_start, l.pid)
  from pg_locks as l
  join pg_class as c on c.oid = l.relation
  join pg_stat_get_activity(l.pid) as a on true
  where l.database = (select d.oid from pg_database as d where d.datname = current_database())
    and l.granted and l.pid <> pg_backend_pid()
    and l.mode in ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    and c.relkind in ('r', 'p')
    and c.relnamespace in (select n.oid from pg_namespace as n
      where n.nspname in ('jobs_internal', 'pgmq'))
    and a.xact_start < clock_timestamp() - p_for;
end;

-- A person's transaction that has one for longer than a round of a supervisor takes.
create or replace function jobs_internal.health_locked_tables(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when t.said is null then 'ok' else 'critical' end,
    coalesce('jobs wait for what is locked: ' || t.said, 'none'),
    case when t.said is not null
      then 'end that transaction: select pg_terminate_backend(pid);' end
  from jobs_internal.locked_tables(interval '5 seconds') as t (said);
end;

-- Checks of jobs.health: whether this installation runs jobs at all.

-- A copy of another installation runs nothing.
create or replace function jobs_internal.health_installation(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when c.found is null then 'ok' else 'critical' end,
    coalesce(c.found, 'no copy of another installation'),
    case when c.found is not null then 'select jobs.reconcile();  where its jobs are to run here; '
      'see docs/operations.md: Backup, restore, copies' end
  from (select case when not jobs_internal.is_original() and not jobs_internal.is_unused()
      then 'this is ' || jobs_internal.copy_of() || ': nothing runs here' end) as c (found);
end;

-- An operator paused everything: who, and since when.
create or replace function jobs_internal.health_switch(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when s.paused then 'warning' else 'ok' end,
    case when s.paused then format('EVERYTHING IS PAUSED by %s since %s', s.changed_by,
        s.changed_at::timestamptz(0))
      else 'not paused' end,
    case when s.paused then 'select jobs.resume();' end
  from jobs_internal.switch as s;
end;

-- Queues that are paused.
create or replace function jobs_internal.health_queues(out status text, out detail text,
    out remedy text)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case when q.names is null then 'ok' else 'warning' end,
    coalesce('paused: ' || q.names, 'none is paused'),
    case when q.names is not null then 'select jobs.resume(queue);' end
  from (select string_agg(q.name, ', ' order by q.name) from jobs_internal.queue as q
    where q.paused and q.dropped_at is null) as q (names);
end;

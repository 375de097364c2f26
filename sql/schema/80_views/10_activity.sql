-- What runs now, for the views: sessions that the caller may see, with native progress, waits and blockers.
-- A definer function, because the statistics of other roles' sessions are hidden from ordinary roles.

create or replace function jobs_internal.activity()
returns table (
  session_id bigint,
  owner oid,
  pid integer,
  child_pid integer,
  job_id bigint,
  attempt integer,
  started_at timestamptz,
  done numeric,
  total numeric,
  message text,
  wait_event text,
  blocked_by integer[],
  session_started_at timestamptz,
  jobs bigint,
  lane_id integer
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with live as materialized (
    select l.*
    from (select o.* from jobs_internal.live() as o union all select c.* from jobs_internal.left_children() as c) as l
    where l.owner = jobs_internal.viewer() or jobs_internal.may('jobs_reader') or jobs_internal.may('jobs_operator') or jobs_internal.may('jobs_supervisor')
  ), native as (
    select p.pid, p.phase,
      case when p.blocks_total > 0 then p.blocks_done when p.tuples_total > 0 then p.tuples_done when p.lockers_total > 0 then p.lockers_done end::numeric as done,
      case when p.blocks_total > 0 then p.blocks_total when p.tuples_total > 0 then p.tuples_total when p.lockers_total > 0 then p.lockers_total end::numeric as total
    from pg_catalog.pg_stat_progress_create_index as p
    union all
    select p.pid, p.phase, p.heap_blks_scanned, p.heap_blks_total from pg_catalog.pg_stat_progress_vacuum as p
    union all
    select p.pid, p.phase, p.sample_blks_scanned, p.sample_blks_total from pg_catalog.pg_stat_progress_analyze as p
    union all
    select p.pid, p.phase, p.heap_blks_scanned, p.heap_blks_total from pg_catalog.pg_stat_progress_cluster as p
    union all
    select p.pid, 'copying', p.bytes_processed, nullif(p.bytes_total, 0) from pg_catalog.pg_stat_progress_copy as p
  )
  select
    l.session_id, l.owner, l.pid, l.child_pid, l.job_id, l.attempt, l.started_at,
    coalesce(l.done, n.done), coalesce(l.total, n.total),
    coalesce(case when l.owner = jobs_internal.viewer() or jobs_internal.may('jobs_operator') then m.message end, n.phase),
    case when a.wait_event_type is null then null else a.wait_event_type || ':' || a.wait_event end,
    case when l.job_id is not null then nullif(pg_catalog.pg_blocking_pids(coalesce(l.child_pid, l.pid)), '{}') end,
    l.session_started_at, l.jobs, l.lane_id
  from live as l
  left join pg_catalog.pg_stat_get_activity(null) as a on a.pid = coalesce(l.child_pid, l.pid)
  left join native as n on n.pid = coalesce(l.child_pid, l.pid)
  left join jobs_internal.progress_message as m on m.job_id = l.job_id and m.attempt = l.attempt
$$;
comment on function jobs_internal.activity() is
'Worker sessions that the caller may see, with what they run, native progress, waits and blockers; pid is null where only a child session lives';

-- What runs now: sessions that the caller may see, with native progress, waits and blockers. A
-- definer function, because the statistics of other roles' sessions are hidden from ordinary roles.

-- Worker sessions that the caller may see, with what they run, native progress, waits and blockers;
-- pid is null where only a child session lives.
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
  lane_id integer,
  first_done numeric,
  first_at timestamptz
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  with live as materialized (
    select l.*
    from (select o.* from jobs_internal.active_sessions() as o union all select c.*
        from jobs_internal.orphaned_children() as c) as l
    where l.owner = jobs_internal.viewer() or jobs_internal.caller_is('jobs_reader')
      or jobs_internal.caller_is('jobs_operator') or jobs_internal.caller_is('jobs_supervisor')
  ), native as (
    select r.pid, r.row ->> 'phase' as phase, c.done, c.total
    from (
      select p.pid, to_jsonb(p) || '{"view": "create_index"}' as row
      from pg_stat_progress_create_index as p
      union all
      select p.pid, to_jsonb(p) || '{"view": "vacuum"}' from pg_stat_progress_vacuum as p
      union all
      select p.pid, to_jsonb(p) || '{"view": "analyze"}' from pg_stat_progress_analyze as p
      union all
      select p.pid, to_jsonb(p) || '{"view": "cluster"}' from pg_stat_progress_cluster as p
      union all
      select p.pid, to_jsonb(p) || '{"view": "copy", "phase": "copying"}'
      from pg_stat_progress_copy as p
    ) as r
    cross join lateral jobs_internal.phase_counts(r.row) as c
  )
  select
    l.session_id, l.owner, l.pid, l.child_pid, l.job_id, l.attempt, l.started_at,
    coalesce(l.done, n.done), coalesce(l.total, n.total),
    coalesce(case when l.owner = jobs_internal.viewer() or jobs_internal.caller_is('jobs_operator')
        then m.message end, n.phase),
    case when a.wait_event_type is null then null else a.wait_event_type || ':' || a.wait_event end,
    case when l.job_id is not null then (select array_agg(distinct b.pid order by b.pid)
      -- who blocks in several ways is named once
      from unnest(pg_blocking_pids(coalesce(l.child_pid, l.pid))) as b(pid)) end,
    l.session_started_at, l.jobs, l.lane_id,
    f.done, l.started_at + f.ms * interval '1 ms'
  from live as l
  left join pg_stat_get_activity(null) as a on a.pid = coalesce(l.child_pid, l.pid)
  left join native as n on n.pid = coalesce(l.child_pid, l.pid)
  left join lateral (
    select m[1]::numeric as done, m[2]::bigint as ms
    from regexp_match(a.application_name,
        '^pw [0-9/]+ [0-9]+ [0-9./]+ ([0-9]{1,19}[.]?[0-9]{0,2})@([0-9]{1,13})$') as m
  ) as f on l.done is not null
  left join jobs_internal.progress_message as m on m.job_id = l.job_id and m.attempt = l.attempt
$$;

-- When a job ends if it goes on like this. Reckoned from the attempt's first report, p_first_done
-- at p_first_at: an attempt that goes on where an earlier one ended did not do that part. With one
-- report only, the attempt is reckoned from zero at its start where p_fresh says that nothing ran
-- before it; else nothing is known. Without such a mark (the server's own progress) it began with
-- zero. A job may say what it likes: 1e10 seconds are no error.
create or replace function jobs_internal.eta(
  p_started_at timestamptz, p_done numeric, p_total numeric, p_first_done numeric,
    p_first_at timestamptz, p_fresh boolean
)
returns timestamptz
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_total > 0 and p_done > b.done
    then (clock_timestamp() + make_interval(secs => least(1e10,
      greatest(extract(epoch from clock_timestamp() - b.at), 0)
        * (greatest(p_total - p_done, 0) / (p_done - b.done)))::double precision))::timestamptz(0)
  end
  from (
    select case when from_zero then 0 else p_first_done end as done, case when from_zero
      then p_started_at else p_first_at end as at
    from (select p_first_at is null or (p_fresh and p_done <= p_first_done) as from_zero) as k
  ) as b;
end;

-- Supervisors whose control connection lives, with the time of its last call: a free heartbeat.
-- Null where its session does not report what it does (track_activities is off).
create or replace function jobs_internal.live_supervisors()
returns table (
  id bigint, name text, host text, os_pid integer, version text, pid integer,
    started_at timestamptz, last_seen timestamptz, asleep boolean
)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.id, s.name, s.host, s.os_pid, s.version, s.pid, s.started_at,
    case when a.state <> 'disabled' then greatest(a.query_start, a.state_change) end, s.asleep
  from jobs_internal.supervisor as s
  join pg_stat_activity as a on a.pid = s.pid and a.backend_start = s.backend_start
    and a.datname = current_database()
$$;

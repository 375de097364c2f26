-- Checks of jobs.health: worker sessions, and the slots that they need.

-- Sessions whose process is gone. With no supervisor to rescue what they hold, it would wait for
-- ever.
create or replace function jobs_internal.health_dead_sessions(out status text, out detail text,
    out remedy text)
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_dead bigint[] := array(select s.id from jobs_internal.session as s
      where not jobs_internal.alive(s.pid, s.backend_start));
  v_count bigint;
  v_holding bigint;
  v_with_child bigint;
begin
  if v_dead <> '{}' then
    -- What we know of the processes may be older than those rows: one that has just opened, or has
    -- left, is not dead.
    perform pg_stat_clear_snapshot();
  end if;
  v_with_child := (select count(*) from jobs_internal.orphaned_children());
  select count(*), count(*) filter (where s.job_id is not null or s.msg_ids is not null)
  into v_count, v_holding
  from jobs_internal.session as s
  where s.id = any (v_dead) and not jobs_internal.alive(s.pid, s.backend_start)
    and s.id not in (select c.session_id from jobs_internal.orphaned_children() as c);
  status := case when v_count = 0 then 'ok'
    when v_holding > 0 and jobs_internal.awake_supervisors() = 0 then 'critical'
    else 'warning' end;
  detail := jobs_internal.counted(v_count, 'waits for a rescue', 'wait for a rescue')
    || case when v_with_child > 0 then '; '
      || jobs_internal.counted(v_with_child, 'more has a child session that goes on alone',
          'more have child sessions that go on alone') || ': see jobs.running' else '' end;
  remedy := case when v_count > 0
    then 'a supervisor sees to them, or the next jobs.start() of their owner' end;
end
$$;

-- Background processes that the server may still start. A role that may run jobs may also launch
-- sessions that are none of ours: where slots are few, the detail says whose they are.
create or replace function jobs_internal.health_free_worker_slots(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when s.free <= 0 then 'critical' when s.few then 'warning' else 'ok' end,
    format('%s of %s %s free', s.free, current_setting('max_worker_processes'),
        case when s.free = 1 then 'is' else 'are' end)
      || coalesce('; launched by hand: ' || case when s.few then (
        select string_agg(format('%s (%s)', pg_get_userbyid(o.role), o.n), ', ' order by o.n desc)
        from (
          select a.usesysid, count(*)
          from pg_stat_get_activity(null) as a
          where a.backend_type like 'pg\_background%'
            and not exists (
              select from jobs_internal.session as s
              left join jobs_internal.job as j on j.id = s.job_id
              where s.pid = a.pid and s.backend_start = a.backend_start or j.child_pid = a.pid
                and j.child_start = a.backend_start)
          group by a.usesysid
        ) as o (role, n)) end, ''),
    case when s.few
      then 'raise max_worker_processes (restart), or lower concurrency and sessions_per_owner' end
  from (select f.free, f.free < jobs_internal.setting('worker_slot_reserve')::bigint
    from jobs_internal.free_worker_slots() as f (free)) as s (free, few);
end;

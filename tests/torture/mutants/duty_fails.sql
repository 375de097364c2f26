-- A supervisor's signals fail with an error of their own while an attempt is overdue.

-- Replaces jobs_internal.send_stop_signals, md5 1857f45c92ca67920ff130d50974cf8b.
create or replace function jobs_internal.send_stop_signals(p_job bigint default null)
returns setof jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_age interval;
  v_signal text;
  v_pid integer;
begin
  perform 1 / (select (count(*) = 0)::integer from jobs_internal.stop_request
      where reason = 'timed_out');
  delete from jobs_internal.stop_request as o
  where o.ctid = any (array(
    select x.ctid from jobs_internal.stop_request as x
    where not exists (select from jobs_internal.job as j
        where j.id = x.job_id and x.attempt >= case j.state when 'running' then j.attempt
          else j.attempt + 1 end)
      and x.requested_at < clock_timestamp() - interval '5 seconds'
    for update skip locked));
  for v in
    select x.job_id, x.attempt, x.reason, x.signals_sent, x.signalled_at, x.requested_at,
      l.session_id, l.pid, l.alone, j.child_pid, j.child_start, j.lane_id,
      pg_get_userbyid(j.owner) as owner, j.owner as owner_id,
      j.state = 'running' and jobs_internal.is_watched(j.id) as watches
    from jobs_internal.stop_request as x
    cross join lateral (
      select o.id, o.owner, o.state, o.lane_id, o.child_pid, o.child_start
      from jobs_internal.job as o
      where o.id = x.job_id
      offset 0
    ) as j
    left join jobs_internal.active_sessions() as l on l.job_id = x.job_id and l.attempt = x.attempt
    where (p_job is null or x.job_id = p_job)
      and (l.pid is not null or (j.child_pid is not null
            and jobs_internal.alive(j.child_pid, j.child_start)))
  loop
    v_age := clock_timestamp() - v.requested_at;
    -- Its child is being launched, or not noted yet: a signal that hits its watcher now would leave
    -- it to run to its end unseen.
    continue when v.watches and v.child_pid is null
      and v_age between interval '0' and interval '2 seconds';
    v_signal := case
      when v.signals_sent = 0 then 'cancel'
      when v.signals_sent = 1 and v_age > interval '1 second' then 'cancel'
      when v.signals_sent >= 2 and v_age > interval '3 seconds'
        and v.signalled_at < clock_timestamp() - interval '2 seconds' then 'terminate'
    end;
    if v_age > interval '10 seconds' and v.lane_id is not null then
      update jobs_internal.lane
      set quarantine = jsonb_build_object('job_id', v.job_id, 'attempt', v.attempt, 'pid',
          coalesce(v.child_pid, v.pid), 'since', clock_timestamp())
      where id = (select l.id from jobs_internal.lane as l where l.id = v.lane_id
          and l.quarantine is null for no key update skip locked);
    end if;
    continue when v_signal is null;
    v_pid := case when v.child_pid is not null and jobs_internal.alive(v.child_pid, v.child_start)
      then v.child_pid else v.pid end;
    continue when v_pid is null;  -- its child has just ended, and its watcher before it
    if v_pid = v.pid then
      -- The session may have gone on since we looked. With its row locked it cannot start another
      -- job alone before our signal is there: a signal that ends it while that one is being
      -- started, or written down, would be charged to it.
      perform from jobs_internal.session as s
      where s.id = v.session_id and case when v.alone then s.job_id = v.job_id
        and s.attempt = v.attempt else s.job_id is null end
      for update skip locked;
      continue when not found;
    end if;
    update jobs_internal.stop_request
    set signals_sent = signals_sent + 1, signalled_at = clock_timestamp()
    where ctid = (select x.ctid from jobs_internal.stop_request as x
      where x.job_id = v.job_id and x.attempt = v.attempt
        and x.signals_sent = v.signals_sent for update skip locked);
    continue when not found;
    continue when not jobs_internal.signal(v_pid, v_signal = 'terminate', v.job_id::text,
        case when p_job is null then v.owner_id end);
    return next jsonb_build_object('job_id', v.job_id, 'attempt', v.attempt, 'owner', v.owner,
        'pid', v_pid, 'signal', v_signal, 'reason', v.reason);
  end loop;
  perform jobs_internal.lift_quarantine();
end
$$;

-- Attempts over their timeout, and lanes in quarantine.

-- Note a reason to stop for every attempt that is overdue. Returns how many were noted. A session
-- that is overdue may be writing the same row itself (signal_late_child), under the lock of its own
-- row and in a transaction that may stay open: so that row is locked first. Where it is locked, the
-- reason is written all the same, and not waited for for long (the tick's lock timeout).
-- Locks: duty (skip locked: one supervisor at a time), session (key share, skip locked). Writes:
--   stop_request.
create or replace function jobs_internal.note_overdue()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_count integer := 0;
  v_until timestamptz := clock_timestamp() + interval '0.3 seconds';
begin
  for v in
    select l.job_id, l.attempt, l.session_id, l.owner, j.queue_id
    from jobs_internal.active_sessions() as l
    cross join lateral (
      select o.queue_id, o.timeout from jobs_internal.job as o
      where o.id = l.job_id
        and l.attempt = case o.state when 'running' then o.attempt else o.attempt + 1 end
      offset 0
    ) as j
    where j.timeout is not null and l.started_at + j.timeout <= clock_timestamp()
      and not exists (select from jobs_internal.stop_request as x where x.job_id = l.job_id
          and x.attempt = l.attempt)
    union all
    -- A watcher that died leaves a child: its time is over all the same.
    select j.id, j.attempt, s.id, j.owner, j.queue_id
    from jobs_internal.session as s
    cross join lateral (
      select o.id, o.attempt, o.owner, o.queue_id, o.child_pid, o.timeout, o.started_at
      from jobs_internal.job as o
      where o.id = s.job_id and o.attempt = s.attempt and o.session_id = s.id
        and o.state = 'running'
      offset 0
    ) as j
    where j.child_pid is not null and j.timeout is not null
      and j.started_at + j.timeout <= clock_timestamp()
      and not exists (select from jobs_internal.stop_request as x where x.job_id = j.id
          and x.attempt = j.attempt)
      and not jobs_internal.alive(s.pid, s.backend_start)
    order by 1, 2
  loop
    exit when v_count = 0 and not jobs_internal.takes_duty('overdue');
    perform from jobs_internal.session as s where s.id = v.session_id for key share skip locked;
    if found then
      insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
        values (v.job_id, v.attempt, 'timed_out', session_user)
      on conflict do nothing;
      v_count := v_count + 1;
    elsif not jobs_internal.is_put_off('overdue', v.job_id::text)
      and jobs_internal.has_room(v_until) then
      begin
        insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)
          values (v.job_id, v.attempt, 'timed_out', session_user)
        on conflict do nothing;
        v_count := v_count + 1;
      exception
        when lock_not_available then  -- the tick's own limit
          perform jobs_internal.note_failure('overdue', v.job_id::text,
              jobs_internal.error_object(sqlstate, sqlerrm), v.queue_id, v.owner);
      end;
    end if;
  end loop;
  return v_count;
end
$$;

-- Give back the lanes whose unstoppable job is over. p_owner: only those of this owner, whose
-- transaction may stay open; null: all.
-- Locks: lane (skip locked; only where there is one to give back).
create or replace function jobs_internal.lift_quarantine(p_owner oid default null)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.lane as l where l.quarantine is not null) then
    return;
  end if;
  update jobs_internal.lane as l set quarantine = null
  where l.id in (
    select o.id from jobs_internal.lane as o
    where o.quarantine is not null and (p_owner is null or o.owner = p_owner)
      and not exists (select from jobs_internal.stop_request as x
          join jobs_internal.job as j on j.id = x.job_id
        where x.job_id = (o.quarantine ->> 'job_id')::bigint
          and x.attempt = (o.quarantine ->> 'attempt')::integer
          and x.attempt >= case j.state when 'running' then j.attempt else j.attempt + 1 end)
    for no key update skip locked);
end
$$;

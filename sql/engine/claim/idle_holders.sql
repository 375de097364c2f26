-- Sessions by hand that keep a slot from other owners and run nothing: they are ended.

-- End sessions that keep a slot that others wait for, for the time of a lease, and run nothing:
-- opened by hand, they have left a transaction open in which they claimed, or opened a chunk, or
-- have begun a job and sit there. A worker session is never idle between its first and its last
-- statement, and commits a claim at once. Their jobs come back as those of any session that died.
-- Whose claim is not committed, the lock of the slot says; an operator's is none. Returns how many
-- were signalled. Locks: session (skip locked).
create or replace function jobs_internal.end_idle_holders()
returns integer
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_before timestamptz := clock_timestamp()
    - make_interval(secs => jobs_internal.setting('lease_seconds')::double precision);
  v_count integer := 0;
begin
  if not exists (select from jobs_internal.session as w where w.waits_for is not null
      and w.waits_since < v_before) then
    return 0;
  end if;
  for v in
    select a.pid, a.usesysid, s.id
    from jobs_internal.slot as t
    join jobs_internal.session as s on s.id = t.session_id
    join pg_stat_get_activity(null) as a on a.pid = s.pid and a.backend_start = s.backend_start
    where a.state like 'idle%' and a.state_change < v_before
      and exists (select from jobs_internal.waiters(t.queue_id) as w where w.owner <> s.owner)
      and not exists (select from jobs_internal.job as j where j.id = s.job_id
          and jobs_internal.alive(j.child_pid, j.child_start))
    union all
    select a.pid, a.usesysid, null
    from jobs_internal.slot as t
    join pg_locks as l on l.locktype = 'transactionid' and l.granted and l.mode = 'ExclusiveLock'
      and l.transactionid = t.xmax
    join pg_stat_get_activity(null) as a on a.pid = l.pid
    where t.xmax <> '0' and a.xact_start < v_before
      and exists (select from jobs_internal.waiters(t.queue_id) as w where w.owner <> a.usesysid)
      and exists (select from jobs_internal.lane as o where o.queue_id = t.queue_id
          and o.owner = a.usesysid)
      and (exists (select from jobs_internal.session as s where s.pid = a.pid
            and s.backend_start = a.backend_start)
        or not pg_has_role(a.usesysid, 'jobs_operator', 'member'))
  loop
    if v.id is not null then
      perform from jobs_internal.session as s where s.id = v.id for update skip locked;
      continue when not found;
      perform pg_stat_clear_snapshot();
      continue when not exists (select from pg_stat_get_activity(v.pid) as a
          where a.state like 'idle%' and a.state_change < v_before);
    end if;
    v_count := v_count + jobs_internal.signal(v.pid, true, 'process ' || v.pid,
        v.usesysid)::integer;
  end loop;
  return v_count;
end
$$;

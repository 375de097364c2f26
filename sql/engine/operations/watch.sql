-- What a worker session looks at once a second while it watches a child session that runs a long
-- operation: how far it is, whether it must give way, and whether it has waited for too long.

-- Look at the operation that the calling session watches. Returns: true: cancel the child now (the
-- reason is noted, and to be committed before). Writes: operation; see note_progress.
-- Planned once, with all that it calls: most watchers look a few times, and would plan each
-- statement anew in each.
create or replace function jobs_internal.look_at_operation(p_session bigint, p_job bigint,
    p_attempt integer, p_pid integer)
returns boolean
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_session jobs_internal.session := jobs_internal.my_session(p_session);
  v_manners record;
  v_operation jobs_internal.operation;
  v_way jsonb;
begin
  -- of no other process than its own child
  if v_session.job_id is distinct from p_job or not exists (
    select from jobs_internal.job as j
    where j.id = p_job and j.attempt = p_attempt and j.session_id = p_session
      and j.child_pid = p_pid)
  then
    return false;
  end if;
  select m.* into v_manners from jobs_internal.manners(p_job) as m;
  if v_manners.kind is null then
    return false;
  end if;
  perform pg_stat_clear_snapshot();
  perform jobs_internal.note_progress(p_job, p_attempt, p_pid);
  select o.* into v_operation from jobs_internal.operation as o where o.job_id = p_job;
  if v_operation.gives_way is not null then
    -- the signal may have met it between two statements of its own: it is sent again
    return true;
  end if;
  v_way := case
    when v_manners.yields and jobs_internal.may_yield(p_pid, v_operation)
      then jobs_internal.way_of_waiters(p_pid) end;
  if v_way is not null and v_operation.yields >= 10 then
    update jobs_internal.operation as o
    set output = coalesce(o.output, '{}') || '{"yields": "it gave way ten times, and runs to its '
      'end now"}'
    where o.job_id = p_job and o.output ->> 'yields' is null;
    v_way := null;
  end if;
  if v_manners.kind in ('create index concurrently', 'reindex concurrently') then
    v_way := coalesce(v_way, jobs_internal.look_for_deadlocks(p_pid, v_operation,
        v_manners.on_deadlock_risk));
  end if;
  if v_way is null and v_manners.wait_ms is not null then
    v_way := jobs_internal.waited_too_long(p_pid, v_operation, v_manners.wait_ms);
  end if;
  if v_way is null then
    return false;
  end if;
  update jobs_internal.operation as o
  set gives_way = v_way || jsonb_build_object('attempt', p_attempt)
  where o.job_id = p_job;
  return true;
end
$$;

-- Whether an operation may give way now: not while VACUUM cuts the end off the table, which ends by
-- itself, nor where the table is so old that it must be vacuumed.
create or replace function jobs_internal.may_yield(p_pid integer,
    p_operation jobs_internal.operation)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select not exists (select from pg_stat_progress_vacuum as p where p.pid = p_pid
      and p.phase = 'truncating heap')
    and not (p_operation.kind = 'vacuum' and exists (
      select from pg_class as c
      where c.oid = any (p_operation.relations) and c.relfrozenxid <> '0'
        and age(c.relfrozenxid) > current_setting('vacuum_failsafe_age')::bigint / 2));
end;

-- The sessions that have waited for a second, at SHARE or stronger, for a relation that a child
-- holds: {why, pids, detail}; null: none.
create or replace function jobs_internal.way_of_waiters(p_pid integer)
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object('why', 'yield', 'pids', jsonb_agg(distinct w.pid),
    'detail', string_agg(distinct format('pid %s waits for %s on %s', w.pid, w.mode,
        w.relation::regclass), ', '))
  from pg_locks as h
  join pg_locks as w on w.locktype = 'relation' and w.database = h.database
    and w.relation = h.relation and not w.granted and w.pid <> h.pid
  where h.pid = p_pid and h.granted and h.locktype = 'relation'
    and h.database = (select d.oid from pg_database as d where d.datname = current_database())
    and jobs_internal.lock_strength(w.mode) >= 5
    and jobs_internal.modes_conflict(h.mode, w.mode)
    and w.waitstart < clock_timestamp() - interval '1 second'
  having count(*) > 0;
end;

-- Whether a concurrent build has waited for transactions of others for longer than it may in its
-- present phase: {why, pids, detail}; null: it has not. The server does not say when a phase
-- began; the lock that it waits for says since when, and a phase may wait for several in turn, so
-- the time is kept with the phase (note_progress, which this look has called before).
create or replace function jobs_internal.waited_too_long(p_pid integer,
    p_operation jobs_internal.operation, p_wait_ms bigint)
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object('why', 'wait_timeout', 'pids', to_jsonb(pg_blocking_pids(p_pid)),
    'detail', format('It was in its phase "%s" for %s ms.', h.phase,
      (extract(epoch from clock_timestamp() - h.started_at) * 1000)::bigint))
  from jobs_internal.phase as h
  where h.job_id = p_operation.job_id and h.attempt = p_operation.attempt
    and h.phase = p_operation.phase and h.finished_at is null and jobs_internal.is_wait(h.phase)
    and clock_timestamp() > h.started_at + p_wait_ms * interval '1 ms'
  order by h.n desc limit 1;
end;

-- Why the calling session lets its child give way in this attempt: {why, pids, detail}; null: it
-- does not.
create or replace function jobs_internal.way_given(p_job bigint, p_attempt integer)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select o.gives_way from jobs_internal.operation as o
  where o.job_id = p_job and o.owner = jobs_internal.caller()
    and (o.gives_way ->> 'attempt')::integer = p_attempt;
end;

-- The result of an attempt whose watcher has cancelled its child, for that reason. A wait that was
-- too long is a failure; who gave way is put off.
create or replace function jobs_internal.gave_way(p_result jobs_internal.attempt_result,
    p_way jsonb)
returns jobs_internal.attempt_result
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_pids text := (select string_agg(e, ', ') from jsonb_array_elements_text(
        case when jsonb_typeof(p_way -> 'pids') = 'array' then p_way -> 'pids' else '[]' end)
      as e);
begin
  p_result.outcome := case p_way ->> 'why' when 'wait_timeout' then 'failed' else 'held' end;
  p_result.error := case p_way ->> 'why'
    when 'wait_timeout' then jobs_internal.error_object('PWT02',
        format('it waited for longer than wait_timeout for the transactions of others (pid %s)',
          coalesce(nullif(v_pids, '0'), 'unknown')),
        p_way ->> 'detail', 'jobs.blockers(id) says what they are. A retry helps when they are '
        'gone; wait_for_snapshots waits for them before it builds.')
    when 'yield' then jobs_internal.error_object('PWY01',
        format('it gave way to pid %s, which waited for its lock', v_pids), p_way ->> 'detail',
        'It comes back by itself, and no attempt is charged.')
    else jobs_internal.error_object('PWY02',
        format('it stepped aside: pid %s would have made it the victim of a deadlock', v_pids),
        p_way ->> 'detail', 'It comes back by itself, and no attempt is charged.') end;
  return p_result;
end
$$;

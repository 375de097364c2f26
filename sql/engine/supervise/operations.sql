-- Operations that run now: noted in a supervisor's round, where no worker session watches them, and
-- looked at by the views, which note nothing.

-- All operations that run now, with the process that runs each; alone: the worker session itself.
create or replace function jobs_internal.operations_now()
returns table (job_id bigint, attempt integer, owner oid, pid integer, alone boolean,
    started_at timestamptz)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
  select l.job_id, l.attempt, l.owner, coalesce(l.child_pid, l.pid), l.child_pid is null,
    l.started_at
  from (select s.job_id, s.attempt, s.owner, s.pid, s.child_pid, s.started_at
      from jobs_internal.active_sessions() as s
      where s.job_id is not null
    union all
    select c.job_id, c.attempt, c.owner, c.pid, c.child_pid, c.started_at
      from jobs_internal.orphaned_children() as c) as l
  where exists (select from jobs_internal.operation as o where o.job_id = l.job_id
      and o.ended_at is null)
$$;

-- Note how far the operations are that no worker session watches: those in the worker session's own
-- transaction, and those whose watcher died. Part of a round. Writes: operation, phase. Locks:
-- operation (skip locked).
create or replace function jobs_internal.note_operations()
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
begin
  if not exists (select from jobs_internal.operation as o
    where o.ended_at is null
      and coalesce(o.looked_at < clock_timestamp() - interval '1.5 seconds', true))
  then
    return;  -- all are watched
  end if;
  for v in select n.* from jobs_internal.operations_now() as n loop
    perform from jobs_internal.operation as o
    where o.job_id = v.job_id and o.attempt = v.attempt
      and coalesce(o.looked_at + interval '1 second', v.started_at)
        < clock_timestamp() - interval '0.5 seconds'
    for no key update skip locked;
    if found then
      begin
        perform jobs_internal.note_progress(v.job_id, v.attempt, v.pid);
      exception
        when query_canceled then
          raise;
        when others then
          null;  -- of one operation: the others go on
      end;
    end if;
  end loop;
end
$$;

-- The sessions that wait for a lock, each with those that it waits for: {pid: [pids]}.
create or replace function jobs_internal.lock_waiters()
returns jsonb
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(jsonb_object_agg(a.pid, to_jsonb(pg_blocking_pids(a.pid))), '{}')
  from pg_stat_get_activity(null) as a
  where a.wait_event_type = 'Lock';
end;

-- The percent that a view shows. Between two phases, or two tables, the server shows for a moment
-- nothing of what was there: what a view reckons of that, which keeps nothing, may be less than
-- what it showed before. So it shows what was noted, carried on to now, and reckons by itself only
-- where no session notes anything. p_live: what it reckons.
create or replace function jobs_internal.percent_of(p_operation jobs_internal.operation,
    p_live numeric, p_started timestamptz, p_now timestamptz)
returns numeric
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_operation.looked_at > p_now - interval '10 seconds'
      then jobs_internal.carried_percent(p_operation, p_now)
    when p_operation.looked_at is not null or p_started <= p_now - interval '2 seconds'
      then p_live end;
end;

-- The operations that run now and that the caller may see, how far each is, which sessions it waits
-- for and which wait for it. It looks, and notes nothing.
create or replace function jobs_internal.live_operations()
returns table (
  job_id bigint,
  attempt integer,
  pid integer,
  phase text,
  done numeric,
  total numeric,
  unit text,
  percent numeric,
  eta timestamptz,
  progress_source text,
  expected_seconds double precision,
  blocked_by integer[],
  blocking integer[],
  waits_for text
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 5  -- or the plans of the views would be worth a compilation
as $$
declare
  v record;
  v_now timestamptz := clock_timestamp();
  v_look jsonb;
  v_waiters jsonb;
begin
  for v in
    select n.*, o as operation, a.wait_event_type = 'Lock' as waits
    from jobs_internal.operations_now() as n
    join jobs_internal.operation as o on o.job_id = n.job_id
    left join pg_stat_get_activity(n.pid) as a on true
    where n.owner = jobs_internal.viewer() or jobs_internal.caller_is('jobs_reader')
      or jobs_internal.caller_is('jobs_operator') or jobs_internal.caller_is('jobs_supervisor')
  loop
    v_look := jobs_internal.look(v.operation, v.pid,
        jobs_internal.progress_row(v.pid, (v.operation).kind), coalesce(v.waits, false),
        v.started_at, v_now);
    v_waiters := coalesce(v_waiters, jobs_internal.lock_waiters());
    job_id := v.job_id;
    attempt := v.attempt;
    pid := v.pid;
    phase := v_look ->> 'phase';
    done := (v_look ->> 'done')::numeric;
    total := (v_look ->> 'total')::numeric;
    unit := v_look ->> 'unit';
    percent := jobs_internal.percent_of(v.operation, (v_look ->> 'percent')::numeric,
        v.started_at, v_now);
    eta := (v_now + (v_look ->> 'left')::double precision * interval '1 second')::timestamptz(0);
    progress_source := v_look ->> 'source';
    expected_seconds := (v_look ->> 'expected')::double precision;
    blocked_by := case when v.waits then array(select distinct b
        from unnest(pg_blocking_pids(v.pid)) as b order by b) end;
    blocking := (select array_agg(w.key::integer order by w.key::integer)
      from jsonb_each(v_waiters) as w where w.value @> to_jsonb(v.pid));
    waits_for := case when v.waits then (
      select string_agg(case when b.pid is not null then format('pid %s (%s: %s)', b.pid, b.owner,
          b.why) else concat_ws(' of ', b.why, b.owner) end, ', ' order by b.pid)
      from jobs_internal.blockers_of(v.job_id, v.pid, v.alone) as b
      where b.via is null) end;
    return next;
  end loop;
end
$$;

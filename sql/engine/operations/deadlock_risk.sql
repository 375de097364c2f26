-- Sessions that will make a concurrent build the victim of a deadlock. Such a one waits, itself or
-- through others, for a relation that the build holds, and has what the build will wait for at its
-- end: a snapshot, or a lock of the table. When the build comes there, each waits for the other,
-- and the server ends the build, since its wait is the younger one: all of its work is lost.
--
-- Only waits for what is held count: a session that stands behind another in the queue of a lock,
-- and does not conflict with who holds it, is let past by the server. A waiter asks at a time t,
-- and the build enters its last wait at e. Where e comes before t + deadlock_timeout, the server
-- ends the waiter; later, the build, deadlock_timeout after e. So who gives up before twice
-- deadlock_timeout has passed kills no build, and one look a second is in time.

-- Whether a process runs a statement of ours that gives up its wait for a lock in time.
create or replace function jobs_internal.gives_up_in_time(p_pid integer)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.operation as o
    join jobs_internal.operation_kinds() as k on k.kind = o.kind and k.polite
    join jobs_internal.job as j on j.id = o.job_id and j.state = 'running'
    left join jobs_internal.session as s on s.id = j.session_id
    where o.ended_at is null and p_pid in (j.child_pid, s.pid)
      -- a time of its own may be any
      and not exists (select from jsonb_object_keys(coalesce(j.settings, '{}')) as k
        where lower(k collate "C") = 'lock_timeout'));
end;

-- The sessions that will end the build of a process: each with the waiter next to the build through
-- which it waits (next: itself, mostly), since when that one waits and for what, and why it is a
-- danger: snapshot or lock. p_kind: of the operation; p_since: when its phase began, as far as that
-- is known. A lazy VACUUM that waits for its lock shows a snapshot that counts for nothing. Reads
-- pg_locks twice where a session waits for a lock at all.
create or replace function jobs_internal.deadlock_risks(p_pid integer, p_kind text,
    p_since timestamptz)
returns table (pid integer, owner oid, why text, next integer, since timestamptz, waits_for text)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 1
as $$
#variable_conflict use_column
declare
  v_database oid := (select d.oid from pg_database as d where d.datname = current_database());
  v_strong text[] := array['ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock',
      'ExclusiveLock', 'AccessExclusiveLock'];
  v_held oid[];
  v_last_wait timestamptz;
begin
  if not exists (select from pg_stat_get_activity(null) as a
      where a.wait_event_type = 'Lock' and a.datid = v_database and a.pid <> p_pid) then
    return;
  end if;
  v_held := array(select l.relation from pg_locks as l where l.pid = p_pid and l.granted
      and l.locktype = 'relation' and l.database = v_database and l.mode = any (v_strong));
  -- CREATE waits for locks no more then, and for no snapshot that is younger; it may have waited
  -- for others before
  v_last_wait := (select least(min(w.waitstart), p_since) from pg_stat_progress_create_index as p
    join pg_locks as w on w.pid = p.pid and not w.granted
    where p.pid = p_pid and p.phase = 'waiting for old snapshots'
      and p_kind = 'create index concurrently'
    having count(*) > 0);
  return query
  with recursive locks as materialized (
    select l.*, concat_ws(' ', l.locktype, l.database, coalesce(l.relation, 0), l.page, l.tuple,
        l.virtualxid, l.transactionid, l.classid, l.objid, l.objsubid) as tag
    from pg_locks as l
  ), next_to as materialized (
    select w.pid, w.relation, w.mode, coalesce(w.waitstart, clock_timestamp()) as since
    from locks as w
    where not w.granted and w.locktype = 'relation' and w.database = v_database
      and w.relation = any (v_held) and w.mode = any (v_strong) and w.pid <> p_pid
  ), edges as materialized (
    select distinct w.pid as waiter, h.pid as holder
    from locks as w
    join locks as h on h.tag = w.tag and h.granted and h.pid <> w.pid
      and jobs_internal.modes_conflict(h.mode, w.mode)
    where not w.granted and w.pid <> p_pid
      and exists (select from next_to)
  ), reached (pid, next) as (
    select n.pid, n.pid from next_to as n
    union
    select e.waiter, r.next from reached as r join edges as e on e.holder = r.pid
  )
  select distinct on (r.pid, r.next) r.pid, a.usesysid,
    case when a.backend_xmin is not null then 'snapshot' else 'lock' end, r.next, n.since,
    format('%s on %s', n.mode, n.relation::regclass)
  from reached as r
  join next_to as n on n.pid = r.next
  join pg_stat_get_activity(null) as a on a.pid = r.pid
  where a.backend_type <> 'autovacuum worker' and a.datid = v_database
    and (v_last_wait is null or (a.backend_xmin is not null and a.xact_start < v_last_wait))
    and (a.backend_xmin is not null or exists (
      select from locks as h
      where h.pid = r.pid and h.granted and h.locktype = 'relation' and h.database = v_database
        and h.relation = any (v_held)
        and (p_kind <> 'create index concurrently'
          or h.mode = 'RowExclusiveLock' or h.mode = any (v_strong))))
    and not (a.query ~* '^(\s|--[^\n]*\n|/[*].*?[*]/)*vacuum\y' and exists (
      select from locks as w
      where w.pid = r.pid and not w.granted and w.locktype = 'relation'
        and w.mode = 'ShareUpdateExclusiveLock'))
    and not jobs_internal.gives_up_in_time(r.pid) and not jobs_internal.gives_up_in_time(r.next)
  order by r.pid, r.next, n.since;
end
$$;

-- Why a session that waits for a build may not be cancelled for it; null: it may. p_owner: of the
-- build. Never one of a superuser, a walsender, or a process of the server's own.
create or replace function jobs_internal.why_not_cancelled(p_owner oid, p_pid integer)
returns text
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when a.usesysid is null or a.backend_type in ('walsender', 'autovacuum worker')
      then format('it is a process of the server (%s)', a.backend_type)
    when r.rolsuper is not false then 'it is a superuser''s'
    when jobs_internal.setting('deadlock_risk_cancels') <> 'any'
      and not pg_has_role(p_owner, r.oid, 'member')
      then format('%s is no member of %s', pg_get_userbyid(p_owner), r.rolname) end
  from pg_stat_get_activity(p_pid) as a
  left join pg_roles as r on r.oid = a.usesysid;
end;

-- Cancel a session that waits for a relation, if it still does, and since then. True: it was told.
create or replace function jobs_internal.cancel_waiter(p_pid integer, p_since timestamptz)
returns boolean
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(bool_or(pg_cancel_backend(w.pid)), false)
  from pg_locks as w
  where w.pid = p_pid and not w.granted and w.locktype = 'relation' and w.waitstart = p_since;
end;

-- Look for deadlocks that a build runs into: keep what is found, for jobs.operations, jobs.health
-- and the log, and do what its option on_deadlock_risk says. p_operation: its row. A waiter is
-- cancelled, and stepped aside for, once it has waited for deadlock_timeout: one that gives up
-- sooner is no danger. Where the next look might come after twice that, this one waits for the
-- moment, for half a second at most.
-- Returns: {why, pids, detail}, if it must give way; else null. Writes: operation.
create or replace function jobs_internal.look_for_deadlocks(p_pid integer,
    p_operation jobs_internal.operation, p_manner text)
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_limit interval := jobs_internal.deadlock_timeout();
  v_found jsonb;
  v_new jsonb;
  v_wait interval;
  v_way jsonb;
  v record;
begin
  select jsonb_agg(to_jsonb(f) - 'n' || jsonb_build_object('owner', pg_get_userbyid(f.owner))
    order by f.since, f.pid)
  into v_found
  from (
    select r.*, row_number() over (order by r.since, r.pid) as n
    from jobs_internal.deadlock_risks(p_pid, p_operation.kind, (
      select h.started_at from jobs_internal.phase as h
      where h.job_id = p_operation.job_id and h.attempt = p_operation.attempt
        and h.phase = p_operation.phase and h.finished_at is null
      order by h.n desc limit 1)) as r
  ) as f
  where f.n <= 20;
  if v_found is null and p_operation.deadlock_risk is null then
    return null;
  end if;
  select jsonb_agg(e) into v_new
  from jsonb_array_elements(v_found) as e
  where not exists (
    select from jsonb_array_elements(p_operation.deadlock_risk) as o
    where (o -> 'pid', o -> 'since') = (e -> 'pid', e -> 'since'));
  if p_manner <> 'warn' then
    v_wait := (select v_limit - max(s.waited) from (
        select clock_timestamp() - (e ->> 'since')::timestamptz as waited
        from jsonb_array_elements(v_found) as e) as s
      where s.waited < v_limit and s.waited + interval '1.1 seconds' > 2 * v_limit);
    if v_wait is not null then
      perform pg_sleep_for(least(v_wait, interval '0.5 seconds'));
    end if;
  end if;
  if p_manner = 'step_aside' then
    select jsonb_build_object('why', 'step_aside', 'pids', jsonb_agg(distinct e -> 'pid'),
      'detail', string_agg(distinct format('pid %s waits for %s', e ->> 'next',
          e ->> 'waits_for'), ', '))
    into v_way
    from jsonb_array_elements(v_found) as e
    where clock_timestamp() - (e ->> 'since')::timestamptz >= v_limit
    having count(*) > 0;
    if v_way is not null and p_operation.step_asides >= 10 then
      v_way := null;
      update jobs_internal.operation as o
      set output = coalesce(o.output, '{}') || '{"step_asides": "it stepped aside ten times, and '
        'runs to its end now"}'
      where o.job_id = p_operation.job_id and o.output ->> 'step_asides' is null;
    end if;
  elsif p_manner = 'cancel_waiter' then
    for v in
      select (e ->> 'next')::integer as next, (e ->> 'since')::timestamptz as since,
        jobs_internal.why_not_cancelled(p_operation.owner, (e ->> 'next')::integer) as why_not
      from jsonb_array_elements(v_found) as e
      where clock_timestamp() - (e ->> 'since')::timestamptz >= v_limit
      group by 1, 2
    loop
      if v.why_not is not null then
        select jsonb_agg(case when (e ->> 'next')::integer = v.next
            then e || jsonb_build_object('not_cancelled', v.why_not) else e end)
        into v_found
        from jsonb_array_elements(v_found) as e;
      elsif jobs_internal.cancel_waiter(v.next, v.since) then
        v_new := coalesce(v_new, '[]') || (
          select jsonb_agg(e || '{"action": "cancelled"}') from jsonb_array_elements(v_found) as e
          where (e ->> 'next')::integer = v.next);
        update jobs_internal.operation as o
        set output = coalesce(o.output, '{}') || jsonb_build_object('cancelled_waiters',
            case when jsonb_array_length(o.output -> 'cancelled_waiters') >= 20
              then o.output -> 'cancelled_waiters'
              else coalesce(o.output -> 'cancelled_waiters', '[]') || jsonb_build_object('pid',
                v.next, 'at', clock_timestamp()) end)
        where o.job_id = p_operation.job_id;
      end if;
    end loop;
  end if;
  update jobs_internal.operation as o
  set deadlock_risk = v_found,
    risks_to_log = nullif(coalesce(o.risks_to_log, '[]') || coalesce(v_new, '[]'), '[]')
  where o.job_id = p_operation.job_id
    and (v_new is not null or o.deadlock_risk is distinct from v_found);
  if v_new is not null then
    perform jobs_internal.wake(null);
  end if;
  return v_way;
end
$$;

-- The risks that no supervisor has logged yet: once each. Locks: operation (skip locked). Writes:
-- operation.
create or replace function jobs_internal.unlogged_risks()
returns jsonb
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_risks jsonb := '[]';
  v record;
begin
  for v in
    select o.job_id, o.owner, o.risks_to_log from jobs_internal.operation as o
    where o.risks_to_log is not null
    for no key update skip locked
  loop
    update jobs_internal.operation as o set risks_to_log = null where o.job_id = v.job_id;
    v_risks := v_risks || coalesce((
      select jsonb_agg(jsonb_build_object('job_id', v.job_id, 'owner', pg_get_userbyid(v.owner),
        'pid', e -> 'next', 'reason', format('pid %s of role %s has a %s that the build will wait '
          'for, and waits for it%s: pid %s waits for %s', e ->> 'pid',
          e ->> 'owner', e ->> 'why',
          case when e -> 'pid' = e -> 'next' then '' else ' through others' end, e ->> 'next',
          e ->> 'waits_for'),
        'action', e ->> 'action',
        'hint', format('select pg_cancel_backend(%s); saves the build', e ->> 'next')))
      from jsonb_array_elements(v.risks_to_log) as e), '[]');
  end loop;
  return v_risks;
end
$$;

-- A check of jobs.health: builds that another session is about to kill.
create or replace function jobs_internal.health_deadlock_risks(out status text, out detail text,
    out remedy text)
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select case when d.jobs > 0 then 'warning' else 'ok' end,
    case when d.jobs > 0 then format('a session waits for a build, and will make it the victim of '
        'a deadlock: %s', left(d.said, 300)) else 'none' end,
    case when d.jobs > 0 then left(d.cures, 300) || '  See docs/long-operations.md: A build that '
      'another session would kill' end
  from (
    select count(distinct o.job_id),
      string_agg(distinct format('job %s by pid %s', o.job_id, e ->> 'next'), ', '),
      string_agg(distinct format('select pg_cancel_backend(%s);', e ->> 'next'), ' ')
    from jobs_internal.operation as o
    cross join lateral jsonb_array_elements(o.deadlock_risk) as e
    join jobs_internal.job as j on j.id = o.job_id and j.state = 'running'
    where o.ended_at is null and o.deadlock_risk is not null
      and (jobs_internal.caller_is('jobs_reader') or jobs_internal.caller_is('jobs_operator')
        or jobs_internal.caller_is('jobs_supervisor') or o.owner = jobs_internal.viewer())
  ) as d (jobs, said, cures);
end;

-- Who keeps a running job waiting, and what would end that. pg_blocking_pids knows the locks; what
-- it does not say is found here: the snapshots that a build will wait for next, prepared
-- transactions by name, sessions that wait for an advisory lock under a snapshot, standbys. All of
-- it reads what the server shows of its locks and sessions, and takes no lock.

-- A lock in words, as the one who waits for it sees it.
create or replace function jobs_internal.lock_words(p_locktype text, p_mode text, p_relation oid,
    p_classid oid, p_objid oid, p_objsubid smallint)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when p_locktype in ('virtualxid', 'transactionid') then 'the end of its transaction'
    when p_locktype = 'relation' then format('%s on %s', p_mode, p_relation::regclass)
    when p_locktype = 'tuple' then format('a row of %s', p_relation::regclass)
    when p_locktype = 'advisory' then 'advisory lock ' || case p_objsubid
        -- one number, which stands in two halves
        when 1 then ((p_classid::bigint << 32) | p_objid::bigint)::text
        else format('%s, %s', p_classid, p_objid) end
    when p_relation is not null then format('%s (%s) of %s', p_mode, p_locktype,
      p_relation::regclass)
    else format('%s (%s)', p_mode, p_locktype) end;
end;

-- Whether the login that asks may end a session: as pg_terminate_backend would let it. p_role: the
-- session's; null: a process of the server's own.
create or replace function jobs_internal.may_end(p_role oid, p_backend_type text)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select case
    when (select r.rolsuper from pg_roles as r where r.rolname = session_user) then true
    when p_role is null then p_backend_type = 'autovacuum worker' and exists (
      -- from PostgreSQL 18 on
      select from pg_roles as r
      where r.rolname = 'pg_signal_autovacuum_worker' and pg_has_role(session_user, r.oid, 'usage'))
    else not (select r.rolsuper from pg_roles as r where r.oid = p_role)
      and (pg_has_role(session_user, p_role, 'usage')
        or pg_has_role(session_user, 'pg_signal_backend', 'usage'))
  end;
end;

-- Whether the login that asks may read what a session of a role runs: as in pg_stat_activity, and
-- administrators.
create or replace function jobs_internal.may_read_query(p_role oid)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(pg_has_role(session_user, p_role, 'usage'), false)
    or pg_has_role(session_user, 'pg_read_all_stats', 'usage')
    or jobs_internal.caller_is('jobs_owner');
end;

-- The processes that a process waits for, those that these wait for, and so on: pid, and through
-- which it is in the way (via; null: directly). pid 0: a prepared transaction. Each process is
-- asked once, so it costs little where hundreds wait in a row.
create or replace function jobs_internal.blocker_chain(p_pid integer)
returns table (pid integer, via integer)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 5
as $$
declare
  v_seen integer[] := array[p_pid];
  v_front integer[] := array[p_pid];
  v_next integer[];
  v_via integer[];
begin
  for v_depth in 1 .. 8 loop
    select array_agg(f.pid order by f.via, f.pid), array_agg(f.via order by f.via, f.pid)
    into v_next, v_via
    from (
      select b.pid, min(w.pid) as via
      from unnest(v_front) as w(pid)
      cross join unnest(pg_blocking_pids(w.pid)) as b(pid)
      where b.pid <> all (v_seen)
      -- two that wait may wait for two prepared transactions
      group by b.pid, case when b.pid = 0 then w.pid end
    ) as f;
    exit when v_next is null;
    return query
      select n.pid, nullif(n.via, p_pid) from unnest(v_next, v_via) as n(pid, via);
    v_front := array_remove(v_next, 0);
    v_seen := v_seen || v_front;
  end loop;
end
$$;

-- The sessions that a build must wait for in its present phase, beside the one that the server
-- names now: those that were there when it began to wait. pid: null: a prepared transaction, gid.
-- p_phase, p_relation: of its progress; p_since: when the phase began, as far as it is known.
create or replace function jobs_internal.still_to_come(p_pid integer, p_phase text,
    p_relation oid, p_since timestamptz)
returns table (pid integer, xid xid, why text)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with activity as (
    select a.* from pg_stat_get_activity(null) as a
    where a.datid = (select d.oid from pg_database as d where d.datname = current_database())
      and a.pid <> p_pid and a.leader_pid is distinct from p_pid
      and a.backend_type <> 'autovacuum worker'
      and a.xact_start < coalesce(p_since, (select min(w.waitstart) from pg_locks as w
          where w.pid = p_pid and not w.granted))
  ), holders as (
    select l.pid, l.virtualtransaction from pg_locks as l
    where p_phase like 'waiting for writers%' or p_phase like 'waiting for readers%'
    group by l.pid, l.virtualtransaction
    having bool_or(l.locktype = 'relation' and l.relation = p_relation and l.granted
        and l.database = (select d.oid from pg_database as d where d.datname = current_database())
        and jobs_internal.modes_conflict(l.mode, case when p_phase like 'waiting for writers%'
            then 'ShareLock' else 'AccessExclusiveLock' end))
  )
  select a.pid, null::xid, 'snapshot'
  from activity as a
  where p_phase = 'waiting for old snapshots' and a.backend_xmin is not null
    -- a lazy VACUUM's snapshot holds up nothing
    and not exists (select from pg_stat_progress_vacuum as v where v.pid = a.pid)
  union all
  select a.pid, null, 'lock' from holders as h join activity as a on a.pid = h.pid
  union all
  select null, t.transactionid, 'prepared transaction'
  from holders as h
  join pg_locks as t on t.locktype = 'transactionid' and t.pid is null
    and t.virtualtransaction = h.virtualtransaction
  where h.pid is null;
end;

-- The prepared transactions that a process waits for: of such a one the server gives the number 0.
-- Its locks stand under the session that prepared it, and so does that of its number.
create or replace function jobs_internal.prepared_blockers(p_pid integer)
returns table (xid xid)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with locks as materialized (select l.* from pg_locks as l),
  waits as (select w.* from locks as w where w.pid = p_pid and not w.granted)
  select w.transactionid from waits as w
  where w.locktype = 'transactionid'
  union
  select t.transactionid
  from waits as w
  join locks as h on h.pid is null and h.granted and h.locktype = w.locktype
    and (h.database, h.relation, h.page, h.tuple, h.virtualxid, h.classid, h.objid, h.objsubid)
      is not distinct from (w.database, w.relation, w.page, w.tuple, w.virtualxid, w.classid,
        w.objid, w.objsubid)
    and jobs_internal.modes_conflict(h.mode, w.mode)
  join locks as t on t.locktype = 'transactionid' and t.pid is null
    and t.virtualtransaction = h.virtualtransaction;
end;

-- Who keeps a job waiting; the caller has seen to it that the login may see the job. p_pid: the
-- process that runs it; p_alone: a worker session, without a child.
create or replace function jobs_internal.blockers_of(p_job bigint, p_pid integer,
    p_alone boolean)
returns table (
  pid integer, owner text, application_name text, state text, xact_age interval, query text,
  waits_for text, why text, may_end boolean, remedy text, via integer
)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
rows 5
as $$
#variable_conflict use_column
begin
  return query
  with chain as materialized (
    select c.pid, c.via, coalesce(c.via, p_pid) as waiter
    from jobs_internal.blocker_chain(p_pid) as c
  ), waits as materialized (
    select w.pid, w.locktype, w.waitstart,
      jobs_internal.lock_words(w.locktype, w.mode, w.relation, w.classid, w.objid, w.objsubid)
        as words
    from pg_locks as w
    where not w.granted and w.pid in (select p_pid union all select c.pid from chain as c)
  ), progress as materialized (
    select p.phase, p.relid, (
      select min(h.started_at) from jobs_internal.phase as h
      where h.job_id = p_job and h.phase = p.phase and h.finished_at is null) as since
    from pg_stat_progress_create_index as p where p.pid = p_pid limit 1
  ), found as (
    select c.pid, null::xid as xid, c.via, w.words, case
        when w.locktype <> 'virtualxid' then 'lock'
        when c.via is null and exists (select from progress as p
          where p.phase = 'waiting for old snapshots') then 'snapshot'
        -- it waits for a transaction that has locked what it works on, or for its snapshot
        when exists (select from pg_locks as h
          join pg_locks as m on m.locktype = 'relation' and m.pid = c.waiter and m.granted
            and m.relation = h.relation and m.database = h.database
            and jobs_internal.lock_strength(m.mode) >= 4
          where h.pid = c.pid and h.locktype = 'relation' and h.granted) then 'lock'
        else 'snapshot' end as why
    from chain as c
    left join waits as w on w.pid = c.waiter
    where c.pid <> 0
    union all
    select null, x.xid, c.via, w.words, 'prepared transaction'
    from chain as c
    left join waits as w on w.pid = c.waiter
    cross join lateral jobs_internal.prepared_blockers(c.waiter) as x
    where c.pid = 0
    union
    select s.pid, s.xid, null, 'the end of its transaction', s.why
    from progress as p
    cross join lateral jobs_internal.still_to_come(p_pid, p.phase, p.relid, p.since) as s
    where not exists (select from chain as c where c.pid = s.pid and c.via is null)
    union
    -- it has not begun: the transactions that wait_for_snapshots waits for
    select t.pid, t.xid, null, 'the end of its transaction', t.why
    from jobs_internal.awaited_before_start(p_job) as t
    where p_alone
  )
  select f.pid, pg_get_userbyid(a.usesysid)::text, a.application_name, a.state,
    clock_timestamp() - a.xact_start,
    case when jobs_internal.may_read_query(a.usesysid) then a.query end,
    f.words,
    case when f.why = 'snapshot' and a.wait_event_type = 'Lock' and a.wait_event = 'advisory'
      then 'advisory lock under a snapshot' else f.why end,
    coalesce(j.id is not null, false) or jobs_internal.may_end(a.usesysid, a.backend_type),
    case when j.id is not null then format('select jobs.cancel(%s);', j.id)
      else format('select pg_terminate_backend(%s);', f.pid) end,
    f.via
  from found as f
  join pg_stat_get_activity(null) as a on a.pid = f.pid
  left join lateral (
    -- a job of ours that the login controls is cancelled: of its session another would run it again
    select l.job_id as id from jobs_internal.active_sessions() as l
    where f.pid in (l.pid, l.child_pid) and l.job_id is not null
      and (l.owner = jobs_internal.viewer() or jobs_internal.caller_is('jobs_operator'))
    limit 1
  ) as j on true
  union all
  select null::integer, x.owner::text, null, 'prepared', clock_timestamp() - x.prepared,
    null, f.words, 'prepared transaction',
    x.owner = session_user
      or (select r.rolsuper from pg_roles as r where r.rolname = session_user),
    format('rollback prepared %L;', x.gid), f.via
  from found as f
  join pg_prepared_xacts as x on x.transaction = f.xid
  union all
  select null, null, null, null, null, null,
    'a synchronous standby: ' || current_setting('synchronous_standby_names'), 'standby', false,
    'bring the standby back, or change synchronous_standby_names and reload',
    nullif(a.pid, p_pid)
  from pg_stat_get_activity(null) as a
  where a.wait_event = 'SyncRep' and a.pid in (select p_pid union all select c.pid from chain as c);
end
$$;

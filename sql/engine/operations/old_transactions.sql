-- Old transactions, for which a concurrent build would wait at its end, when it has most to lose.
-- With the option wait_for_snapshots a job waits for them before it begins.

-- How old a transaction must be to be waited for. Younger ones end meanwhile, mostly.
create or replace function jobs_internal.old_age()
returns interval
language sql immutable
set search_path = pg_catalog, pg_temp
begin atomic
  select interval '60 seconds';
end;

-- The transactions of this database that an operation would wait for, and that are old already: of
-- sessions with a snapshot, and those that have locked a relation of its. CREATE INDEX CONCURRENTLY
-- waits for writers, others wait for readers too; DROP INDEX and DETACH for no snapshot. Of a
-- session that runs a statement the snapshot is taken to be the statement's. Autovacuum and lazy
-- VACUUM hold up nothing.
-- Returns: pid; null: a prepared transaction, xid; why: snapshot, lock, prepared transaction;
-- since.
create or replace function jobs_internal.old_transactions(p_kind text, p_relations oid[])
returns table (pid integer, xid xid, why text, since timestamptz)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  with holders as materialized (
    select l.pid, l.virtualtransaction
    from pg_locks as l
    where l.locktype = 'relation' and l.granted and l.relation = any (p_relations)
      and l.database = (select d.oid from pg_database as d where d.datname = current_database())
      and (p_kind <> 'create index concurrently'
        or l.mode not in ('AccessShareLock', 'RowShareLock'))
    group by l.pid, l.virtualtransaction
  ), found as (
    select a.pid, h.pid is not null as holds, a.backend_xmin is not null as has_snapshot,
      a.xact_start, case when a.state = 'active' then a.query_start else a.xact_start end as taken
    from pg_stat_get_activity(null) as a
    left join holders as h on h.pid = a.pid
    where a.datid = (select d.oid from pg_database as d where d.datname = current_database())
      and a.pid <> pg_backend_pid() and a.backend_type <> 'autovacuum worker'
      and a.xact_start < clock_timestamp() - jobs_internal.old_age()
      and not exists (select from pg_stat_progress_vacuum as v where v.pid = a.pid)
  )
  select f.pid, null::xid, case when f.holds then 'lock' else 'snapshot' end,
    case when f.holds then f.xact_start else f.taken end
  from found as f
  where f.holds or f.has_snapshot
    and p_kind not in ('drop index concurrently', 'detach partition concurrently')
    and f.taken < clock_timestamp() - jobs_internal.old_age()
  union all
  select null, x.transaction, 'prepared transaction', x.prepared
  from holders as h
  join pg_locks as t on t.locktype = 'transactionid' and t.pid is null
    and t.virtualtransaction = h.virtualtransaction
  join pg_prepared_xacts as x on x.transaction = t.transactionid
  where h.pid is null and x.prepared < clock_timestamp() - jobs_internal.old_age();
end;

-- The same of a job with that option, but for its own session; no row where it has none.
create or replace function jobs_internal.awaited_before_start(p_job bigint)
returns table (pid integer, xid xid, why text, since timestamptz)
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select t.pid, t.xid, t.why, t.since
  from jobs_internal.operation as o
  join jobs_internal.operation_kinds() as k on k.kind = o.kind and k.waits
  join jobs_internal.job as j on j.id = o.job_id and (j.options ->> 'wait_for_snapshots')::boolean
  cross join lateral jobs_internal.old_transactions(o.kind, o.relations) as t
  left join jobs_internal.session as s on s.id = j.session_id
  where o.job_id = p_job and t.pid is distinct from s.pid;
end;

-- The same in words, of a job of the calling login; null: none is to be waited for.
create or replace function jobs_internal.say_awaited(p_job bigint)
returns text
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if not exists (select from jobs_internal.operation as o where o.job_id = p_job
      and o.owner = jobs_internal.caller()) then
    return null;
  end if;
  perform pg_stat_clear_snapshot();
  return (
    select left(string_agg(format('%s (%s, since %s)', coalesce('pid ' || t.pid,
            'prepared transaction ' || x.gid), t.why, t.since::timestamptz(0)), ', '
          order by t.since), 900)
    from jobs_internal.awaited_before_start(p_job) as t
    left join pg_prepared_xacts as x on x.transaction = t.xid);
end
$$;

-- Wait until no old transaction would hold the operation up. Commits between two looks: others that
-- wait for snapshots wait for this one for as long as a nap at most. The job runs meanwhile: it
-- holds its session and its slot.
-- p_result: with an outcome, if the attempt was stopped, or its time was over, while it waited.
create or replace procedure jobs_internal.wait_for_old_transactions(
  p_session bigint,
  p_item jobs_internal.work_item,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_started timestamptz := pg_catalog.clock_timestamp();
  v_ways text;
  v_said text;
  v_nap double precision := 0.05;
begin
  loop
    v_ways := jobs_internal.say_awaited(p_item.job_id);
    exit when v_ways is null;
    call jobs_internal.nap_before_start(p_session, p_item, v_started,
      pg_catalog.format('before it begins, it waits for old transactions: %s', v_ways),
      pg_catalog.format('It waited for old transactions: %s.', v_ways), v_said, v_nap, p_result);
    exit when p_result.outcome is not null;
  end loop;
  if v_said is not null then
    perform jobs_internal.say_wait(p_session, p_item.job_id, p_item.attempt, null);
    commit;
  end if;
end
$$;

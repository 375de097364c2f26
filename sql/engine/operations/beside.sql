-- Operations that must not run side by side: their locks exclude each other on one relation,
-- also of different owners. The row of a running job holds that, so a rescue frees it with the job.

-- Whether a concurrent build takes snapshots for which others of its kind wait: of an index with
-- an expression or a condition, and of one whose columns cannot be read for sure.
create or replace function jobs_internal.holds_snapshots(p_job bigint, p_relations oid[])
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce(bool_or(case s.target ->> 'kind'
      when 'create_index' then s.target ->> 'columns' is null
      when 'reindex' then exists (select from pg_index as i
        where i.indrelid = any (p_relations) and (i.indexprs is not null or i.indpred is not null))
      else false end), false)
  from jobs_internal.statement as s
  where s.job_id = p_job;
end;

-- The job that keeps an operation from starting now; null: none. A concurrent build of which it is
-- not known what it builds on runs beside no other of its owner.
create or replace function jobs_internal.operation_beside(p_job bigint)
returns bigint
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select other.job_id
  from jobs_internal.operation as mine
  join jobs_internal.operation as other on other.job_id <> mine.job_id and other.ended_at is null
  join jobs_internal.job as j on j.id = other.job_id and j.state = 'running'
  join jobs_internal.operation_kinds() as k on k.kind = mine.kind
  join jobs_internal.operation_kinds() as ok on ok.kind = other.kind
  where mine.job_id = p_job
    and (mine.relations && other.relations
        and jobs_internal.modes_conflict(mine.lock_mode, other.lock_mode)
      or k.waits and ok.waits and (
        mine.owner = other.owner and (coalesce(cardinality(mine.relations), 0) = 0
          or coalesce(cardinality(other.relations), 0) = 0)
        or jobs_internal.holds_snapshots(mine.job_id, mine.relations)
        and jobs_internal.holds_snapshots(other.job_id, other.relations)
        -- of another owner only a build that is there
        and (mine.owner = other.owner
          or jobs_internal.alive(j.child_pid, j.child_start))))
  order by other.job_id
  limit 1;
end;

-- An operation of the calling session's owner is about to start: it may, or another is in its way.
-- Holds the row of operation_start to the commit of the start, so that two that start in the same
-- moment see each other. A start takes a millisecond or two; where another session has held it for
-- two seconds, which takes a transaction that is left open, it starts all the same: what is lost
-- then is that two starts of the same moment see each other.
-- Returns: null: it may; else how long until it is looked at again. Writes: operation, phase.
-- Locks: operation_start (skip locked).
create or replace function jobs_internal.start_operation(p_job bigint, p_attempt integer)
returns interval
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_other bigint;
begin
  if not exists (select from jobs_internal.operation as o where o.job_id = p_job
      and o.owner = jobs_internal.caller()) then
    return null;
  end if;
  for v_try in 1 .. 200 loop
    perform from jobs_internal.operation_start for update skip locked;
    exit when found;
    perform pg_sleep(0.01);
  end loop;
  v_other := jobs_internal.operation_beside(p_job);
  if v_other is not null then
    update jobs_internal.operation as o
    set held = jsonb_build_object('why', 'beside', 'job', v_other, 'at', clock_timestamp())
    where o.job_id = p_job and ((o.held ->> 'job')::bigint is distinct from v_other
      or o.held ->> 'why' <> 'beside');
    -- The end of the other one wakes it (wake_beside); it looks all the same, should that not have
    -- seen it. Each look is a session that starts, or a claim: the longer it has waited, the fewer.
    return (select least(interval '30 seconds', greatest(interval '2 seconds',
          (clock_timestamp() - (o.held ->> 'at')::timestamptz) / 2))
      from jobs_internal.operation as o where o.job_id = p_job);
  end if;
  update jobs_internal.phase as h set finished_at = o.looked_at
  from jobs_internal.operation as o
  where o.job_id = p_job and h.job_id = p_job and h.finished_at is null;
  update jobs_internal.operation as o
  set started_at = coalesce(o.started_at, clock_timestamp()), attempt = p_attempt, phase = null,
    -- an attempt that was put off, and begins anew, does not go back
    percent = case when o.attempt = p_attempt then o.percent end,
    progress_source = null, looked_at = null, weights = null, place = null,
    last_progress = null, deadlock_risk = null, gives_way = null,
    held = null
  where o.job_id = p_job;
  return null;
end
$$;

-- Jobs have left the state running: those that waited for one of them, as the other operation on
-- their relation, look again at once. A message that a session has claimed is left alone.
-- Locks: messages (skip locked).
create or replace function jobs_internal.wake_beside(p_jobs bigint[])
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v record;
  v_woken bigint;
begin
  for v in
    select j.msg_id, j.lane_id, j.owner
    from jobs_internal.operation as o
    join jobs_internal.job as j on j.id = o.job_id and j.state = 'queued'
    where (o.held ->> 'job')::bigint = any (p_jobs) and o.held ->> 'why' = 'beside'
  loop
    execute format('update pgmq.%1$I as m set vt = clock_timestamp() where m.msg_id = ('
      'select n.msg_id from pgmq.%1$I as n where n.msg_id = $1 and n.vt > clock_timestamp()'
      ' and not exists (select from jobs_internal.session as s where s.owner = $2'
      '  and s.lease = n.vt) for update skip locked) returning m.msg_id',
      'q_pyworker_' || v.lane_id) into v_woken using v.msg_id, v.owner;
    if v_woken is not null then
      perform jobs_internal.wake(v.lane_id);
    end if;
  end loop;
end
$$;

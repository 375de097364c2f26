-- Opening a chunk: messages are locked, their jobs read, and how each runs is decided.

-- Whether something in this database may be checked at the commit only: then each job needs a
-- commit of its own. Each deferrable constraint has a trigger that is, for the check (one that is
-- not enforced has no check), and pg_trigger is a small part of pg_constraint, which holds each
-- column that is not null. To ask takes as long as it is large, so sessions ask once a second.
create or replace function jobs_internal.has_deferrable_constraints()
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (select from pg_trigger as t where t.tgdeferrable);
end;

-- Lock the next messages of a claim and read their jobs, in the transaction that will run them.
-- p_msg_ids: the messages to try, in order; p_lease: the token of the claim; p_defers: what
--   has_deferrable_constraints() says, if the caller has asked.
-- Returns: the items to run now, in order: either jobs that may share a transaction, or one that
--   may not. A message that carries another token or is locked by another session is not ours any
--   more and is left out. Items with mode 'gone' are stale messages, to be deleted; jobs whose
--   deadline has passed are cancelled here, and those that a window keeps from starting, or that
--   stand behind others of their key, go back to wait: all these are among them.
-- Locks: messages (skip locked; held to the commit: that lock is what makes a job run once).
create or replace function jobs_internal.open_chunk(
  p_lane integer,
  p_msg_ids bigint[],
  p_lease timestamptz,
  p_short_ms double precision,
  p_defers boolean default null
)
returns jobs_internal.work_item[]
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
  v_items jobs_internal.work_item[];
  v_msg_ids bigint[];
  v_read_cts integer[];
  v_job_ids bigint[];
  v_queued timestamptz[];
  v_constraints boolean := coalesce(p_defers, jobs_internal.has_deferrable_constraints());
  v_i integer;
  v_owner oid := jobs_internal.caller();
begin
  perform jobs_internal.assert_my_lane(p_lane);
  if cardinality(p_msg_ids) = 1 then  -- cheaper to plan, as it is each time
    execute format(
      'select array[q.msg_id], array[q.read_ct], array[(q.message ->> ''job'')::bigint], '
      'array[q.enqueued_at] from pgmq.%I as q'
      ' where q.msg_id = $1 and q.vt = $2 for update skip locked', 'q_pyworker_' || p_lane)
    into v_msg_ids, v_read_cts, v_job_ids, v_queued using p_msg_ids[1], p_lease;
  else
    execute format(
      'select array_agg(m.msg_id), array_agg(m.read_ct), array_agg((m.message ->> '
      '''job'')::bigint), array_agg(m.enqueued_at) from ('
      '  select q.msg_id, q.read_ct, q.message, q.enqueued_at from pgmq.%I as q where q.msg_id = '
      'any ($1) and q.vt = $2 order by q.msg_id for update skip locked'
      ') as m', 'q_pyworker_' || p_lane)
    into v_msg_ids, v_read_cts, v_job_ids, v_queued using p_msg_ids, p_lease;
  end if;
  -- LATERAL with OFFSET 0: jobs, and what belongs to them, are looked up one by one by their keys,
  -- whatever the planner believes of tables that grew or shrank a thousandfold since they were
  -- analyzed.
  select array_agg(i::jobs_internal.work_item order by i.msg_id) into v_items
  from (
    select m.msg_id, m.job_id, j.attempt + 1 as attempt, j.call_template_id, t.call,
      case when pg_column_size(j.args) <= 8000 then j.args end as args,
      case when pg_column_size(s.body) <= 8000 then s.body end as statement,
      jobs_internal.run_mode(
        is_queued => j.id is not null,
        is_cancelled => x.job_id is not null,
        -- CASE, as AND goes on after a null, and nearly all options are null
        is_late => case when j.options ? 'deadline' and j.verify is not true
          then jobs_internal.is_late(j.id) end,
        is_shut => case when j.options ? 'window' or q.window_name is not null
            then jobs_internal.is_shut(j.id) end
          or case when j.options ? 'concurrency_key'
            then jobs_internal.stands_behind(j.id, v_job_ids) end,
        is_top_level => coalesce(t.procedure, s.top_level),
        is_statement => j.call_template_id is null,
        is_current => p.oid is not null,
        avg_ms => d.avg_ms,
        short_ms => p_short_ms,
        renames => d.renames,
        args_bytes => pg_column_size(j.args),
        has_settings => j.settings is not null,
        is_published => j.publication_id is not null,
        may_have_run => m.read_ct > 1 or j.verify or j.interruptions > 0 or j.crashes > 0
          or case when j.options ? 'window' or q.window_name is not null
            then jobs_internal.window_closes_soon(j.options ->> 'window', q.window_name) end,
        shares_commits => q.share_commits) as mode,
      (extract(epoch from j.timeout) * 1000)::bigint as timeout_ms, j.settings, s.done_when,
      coalesce(j.verify, false) as verify,
      coalesce(d.avg_ms <= abs(p_short_ms), false) as quick,
      v_constraints as constraints, m.queued_at, s.command as task, s.path,
      t.chunk_call
    from unnest(v_msg_ids, v_read_cts, v_job_ids, v_queued) as m(msg_id, read_ct, job_id, queued_at)
    left join lateral (
      select o.id, o.owner, o.queue_id, o.call_template_id, o.attempt, o.args, o.settings,
        o.timeout, o.verify, o.interruptions, o.crashes, o.publication_id, o.options
      from jobs_internal.job as o
      where o.id = m.job_id and o.msg_id = m.msg_id and o.state = 'queued' and o.owner = v_owner
      offset 0
    ) as j on true
    left join lateral (select o.paused, o.share_commits, o.window_name
        from jobs_internal.queue as o
        where o.id = j.queue_id offset 0) as q on true
    left join lateral (
      select o.task, o.call, o.chunk_call, o.procedure, o.func, o.version, o.func_ctid, o.func_owner
      from jobs_internal.call_template as o where o.id = j.call_template_id offset 0
    ) as t on true
    left join lateral (
      select o.avg_ms, o.renames from jobs_internal.call_stats as o
      where o.call_template_id = j.call_template_id
        and o.owner = j.owner offset 0
    ) as d on true
    left join lateral (
      select o.oid from pg_proc as o
      where o.oid = t.func and o.xmin = t.version and o.ctid = t.func_ctid
        and o.proowner = t.func_owner
        -- a schema may be renamed, and another have its name
        and starts_with(t.task, o.pronamespace::regnamespace::text || '.')
      offset 0
    ) as p on true
    left join lateral (
      select o.body, o.top_level, o.done_when, o.command, o.path from jobs_internal.statement as o
      where o.job_id = j.id and j.call_template_id is null offset 0
    ) as s on true
    left join lateral (
      select o.job_id from jobs_internal.stop_request as o where o.job_id = j.id
        and o.attempt = j.attempt + 1
        and o.reason = 'cancelled' offset 0
    ) as x on true
    where not coalesce(q.paused, false) and not (select w.paused from jobs_internal.switch as w)
      and (q.window_name is null or jobs_internal.window_is_open(q.window_name))
  ) as i;
  if v_items is null then
    return '{}';
  end if;
  -- Everything up to the first job that may not share; it alone when it stands first, or when each
  -- job needs a transaction of its own.
  for v_i in 1 .. cardinality(v_items) loop
    if v_items[v_i].mode in ('alone', 'child', 'late', 'shut') or (v_constraints and v_i > 1) then
      if v_items[v_i].mode = 'late' then
        perform jobs_internal.cancel_late(v_items[v_i].job_id);
        v_items[v_i].mode := 'gone';
      elsif v_items[v_i].mode = 'shut' then
        perform jobs_internal.leave_lane(p_lane, v_items[v_i].job_id);
        v_items[v_i].mode := 'gone';
      else
        return v_items[1:greatest(v_i - 1, 1)];
      end if;
    end if;
  end loop;
  return v_items;
end
$$;

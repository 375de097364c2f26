-- A worker session runs one job that shares its transaction with no other.

-- Start a job, run it, and write how it ended. Commits: the start; at top level, what its child
-- session needs (top_level.sql); the end, of a function together with what it did.
-- p_state.stats: null when no attempt has ended. p_state.abandons: the session was signalled while
--   it watched a child session, which goes on: it leaves, and a rescue finds the child.
create or replace procedure jobs_internal.work_alone(
  p_item jobs_internal.work_item,
  inout p_state jobs_internal.worker_state
)
language plpgsql
as $$
declare
  v_item jobs_internal.work_item;
  v_result jobs_internal.attempt_result;
  v_child boolean := p_item.mode = 'child';  -- what it did is done
  v_ended jobs_internal.attempt_result;
begin
  p_state.stats := null;
  v_item := jobs_internal.begin_alone(p_state.session_id, p_state.lane_id, p_item,
    -- what its names mean now: operations on one table do not start side by side
    case when p_item.call_template_id is null then jobs_internal.objects_of(p_item.job_id,
        jobs_internal.path_for(p_item.settings, p_item.path, p_state.path)) end);
  commit;
  p_state.claim_open := false;
  p_state.chunk_size := 1;
  p_state.one_by_one := false;
  p_state.give_back := p_state.give_back or v_item.msg_id <> p_state.msg_ids[p_state.next];
  p_state.next := pg_catalog.array_position(p_state.msg_ids, v_item.msg_id) + 1;
  -- After a job of unknown duration claims start small again, so that nothing waits behind the next
  -- one.
  p_state.claim_limit := case when v_item.quick then least(p_state.claim_limit * 2, 1000)
    else 1 end;
  if v_item.mode = 'held' then
    p_state.held_until := pg_catalog.clock_timestamp() + interval '1.5 seconds';
  end if;
  if v_item.mode in ('gone', 'held') then
    return;
  end if;
  if p_item.mode = 'alone' and v_item.statement is not null then
    call jobs_internal.measure_operation(v_item, coalesce(v_item.path, p_state.path), false,
        p_state.baseline, v_result);
  end if;
  if p_item.mode = 'alone' and v_result.outcome is null then
    v_result := jobs_internal.run_alone(v_item, p_state.session_id, p_state.path, p_state.margin_ms,
        p_state.baseline, p_state.measure_cost);
    if v_result.outcome = 'failed' and v_item.statement is not null
      and v_result.error ->> 'sqlstate' in ('25001', '2D000') then
      -- It refused to run in a transaction, before it did anything: found out, it goes to a child
      -- session.
      v_item.done_when := jobs_internal.mark_top_level(v_item.job_id);
      v_item.verify := p_item.verify;
      commit;
      v_result := null;
      v_child := true;
    end if;
  end if;
  if v_result.outcome is null then
    call jobs_internal.run_top_level(p_state.session_id, v_item, p_state.path, p_state.margin_ms,
        p_state.baseline, v_result);
  end if;
  p_state.abandons := v_result.outcome = 'left';
  if p_state.abandons then
    commit;
    return;
  end if;
  p_state.leave := v_result.outcome in ('interrupted', 'no_slot');
  if v_result.outcome = 'no_slot'
    or (coalesce(v_result.error ->> 'sqlstate' in ('3F000', '42883', '42725', '42809'), false)
      and not jobs_internal.call_templates_are_current(array[v_item.call_template_id]))
  then
    -- No worker slot for its child; or its function was renamed or moved just before the call, and
    -- is found again when it starts anew.
    perform jobs_internal.requeue_uncharged(p_state.session_id, v_item.job_id, v_item.attempt);
    commit;
    return;
  end if;
  call jobs_internal.write_end(p_state.session_id, p_state.lane_id, v_child, p_state.baseline,
      v_result, p_state.leave);
  if v_result.outcome = 'succeeded' and v_item.statement is not null and not v_child
    and not p_state.leave then
    -- not before its locks are gone; of a child session it was done before the end
    call jobs_internal.measure_operation(v_item, coalesce(v_item.path, p_state.path), true,
        p_state.baseline, v_ended);
  end if;
  if v_result.outcome is not null then
    p_state.in_a_row := false;
    p_state.needs_savepoint := null;
    p_state.jobs := p_state.jobs + 1;
    p_state.stats := jobs_internal.run_stats_of(p_state.lane_id, array[v_result]);
    p_state.last_ms := coalesce(extract(epoch from v_result.finished_at - v_result.started_at)
      * 1000, 0);
    -- the job may have swallowed the signal
    p_state.leave := p_state.leave or p_state.last_ms > 100 and jobs_internal.shutting_down();
  end if;
end
$$;

-- Run a job whose start is committed, in the worker session's own transaction.
create or replace function jobs_internal.run_alone(
  p_item jobs_internal.work_item,
  p_session bigint,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measure boolean
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_result jobs_internal.attempt_result;
begin
  return jobs_internal.run_in_savepoint(p_item, p_session, p_path, p_margin_ms, p_baseline,
      p_measure);
exception
  -- A signal that came a moment before or after the job's own part: what it did is undone with this
  -- block.
  when query_canceled then
    v_result := jobs_internal.interrupted_result(p_item, pg_catalog.clock_timestamp(), null);
    perform jobs_internal.reset_session(p_baseline);
    return v_result;
end
$$;

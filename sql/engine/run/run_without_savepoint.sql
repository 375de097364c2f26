-- Running one job of a chunk where that is safe: without a savepoint.
--
-- It runs as the owner, in a session that was authenticated as the owner, so it is invoker. It sets
-- the owner's search_path for the duration of the job, and leaves ours.

-- Run one short function job of a chunk without a subtransaction of its own, and say how it ended:
-- an error is the caller's affair. Leaves the session reset, and its search_path ours. What
-- run_in_savepoint does for the jobs that never come here is left out: statements, settings,
-- post-conditions, fences.
create or replace function jobs_internal.run_without_savepoint(
  p_item jobs_internal.work_item,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measure boolean
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_call text := case when p_measure then jobs_internal.measured(p_item.call) else p_item.call end;
  v_began timestamptz := jobs_internal.begin_in_a_row(1, p_item.job_id, p_item.attempt,
      p_item.timeout_ms, null, p_path, p_margin_ms, null);
  v_value jsonb;
  v_plan json;
  v_result jobs_internal.attempt_result;
begin
  if p_measure then
    execute v_call into v_plan using p_item.args;
    if current_user operator(pg_catalog.<>) session_user then
      set role none;  -- what follows is for the owner only
    end if;
    v_value := jobs_internal.saved_result();
  else
    execute v_call into v_value using p_item.args;
  end if;
  v_result := jobs_internal.end_in_a_row(p_item.job_id, p_item.attempt, p_item.call_template_id,
      p_item.queued_at, p_item.call, v_began, v_value, p_baseline, 'pg_catalog, pg_temp');
  if p_measure then
    v_result := jobs_internal.with_cost(v_result, v_plan);
  end if;
  if v_result.last then
    -- that was for the others of its statement
    perform pg_catalog.set_config('pyworker.chunk_over', '', false);
  end if;
  return v_result;
end
$$;

-- A worker session runs a chunk, and takes from that how much it opens and claims next.

-- Run a chunk that was just opened, and write how its jobs ended: one commit for all of them. Where
-- one of them, or its function, is not what it was when the chunk began, all are undone, and then
-- run one by one, where each answers for itself.
-- p_trusted: functions that may run without subtransactions.
create or replace procedure jobs_internal.work_chunk(
  p_items jobs_internal.work_item[],
  p_trusted integer[],
  inout p_state jobs_internal.worker_state
)
language plpgsql
as $$
declare
  v_run jobs_internal.chunk_run;
  v_results jobs_internal.attempt_result[];
  v_last jobs_internal.attempt_result;
  v_next integer;
begin
  v_run := jobs_internal.run_chunk(p_items,
      not p_items[1].constraints and not exists (select from unnest(p_items) as i
        where i.mode = 'chunk' and i.call_template_id <> all (p_trusted)),
      40, p_state.chunk_ms, p_state.path, p_state.margin_ms, p_state.baseline, p_state.measured,
      p_state.backend);
  v_results := v_run.attempt_results;
  p_state.in_a_row := v_run.plain;
  p_state.needs_savepoint := v_run.needs_savepoint;
  if p_state.measure_cost then
    p_state.measured := p_state.measured || v_run.call_template_ids;
  end if;
  if jobs_internal.call_templates_are_current(v_run.call_template_ids)
    and jobs_internal.finish_chunk(p_state.session_id, p_state.lane_id, v_run.msg_ids, v_results)
  then
    commit;
  else
    rollback;
    perform jobs_internal.reset_session(p_state.baseline);
    commit;
    p_state.one_by_one := true;
    p_state.stats := '{}';
    p_state.last_ms := 0;
    return;
  end if;
  p_state.one_by_one := false;
  p_state.leave := v_run.leave;
  p_state.claim_limit := least(p_state.claim_limit * 4, 1000);
  v_next := pg_catalog.array_position(p_state.msg_ids,
      v_run.msg_ids[pg_catalog.cardinality(v_run.msg_ids)]) + 1;
  -- What was locked by others for a moment was passed over: what still carries our token goes back
  -- at the next claim.
  p_state.give_back := p_state.give_back
    or v_next - p_state.next > pg_catalog.cardinality(v_run.msg_ids);
  p_state.next := v_next;
  -- No more is opened than is run: that depends on the subtransactions, and on the time that jobs
  -- take.
  p_state.chunk_size := case
    when not v_run.plain then least(p_state.chunk_size * 4, 40)
    when pg_catalog.cardinality(v_run.msg_ids) < pg_catalog.cardinality(p_items)
      then greatest(pg_catalog.cardinality(v_run.msg_ids), 20)
    else least(p_state.chunk_size * 2, p_state.chunk_jobs) end;
  p_state.jobs := p_state.jobs + pg_catalog.cardinality(v_results);
  p_state.stats := jobs_internal.run_stats_of(p_state.lane_id, v_results);
  v_last := v_results[pg_catalog.cardinality(v_results)];
  p_state.last_ms := coalesce(extract(epoch from v_last.finished_at - v_last.started_at) * 1000, 0);
  -- a job may have swallowed the signal
  p_state.leave := p_state.leave or p_state.last_ms > 100 and jobs_internal.shutting_down();
end
$$;

-- Running a top-level statement: in a child session, watched from here.
--
-- States and commits: the child is launched (start_child), and noted with its job by pid and start
-- (note_started_child): commit; watched, with a commit after each look, so that no snapshot is held
-- between two looks (watch_child); then its end is read, and what it means (child_result). The
-- caller commits that.

-- Run one top-level statement in a child session and watch it. Commits as it goes.
create or replace procedure jobs_internal.run_child(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_child jobs_internal.child_state;
begin
  p_result := null;
  p_result.job_id := p_item.job_id;
  p_result.attempt := p_item.attempt;
  p_result.call_template_id := p_item.call_template_id;
  p_result.queued_at := p_item.queued_at;
  p_result.task := p_item.task;
  p_result.started_at := pg_catalog.clock_timestamp();
  v_child.path := coalesce(p_item.path, p_path);
  call jobs_internal.start_child(p_item, p_margin_ms, p_result, v_child);
  perform jobs_internal.reset_session(p_baseline);
  perform pg_catalog.set_config('application_name',
      'pw ' || jobs_internal.attempt_name(p_result), false);
  if v_child.lost then
    call jobs_internal.find_lost_child(p_session, p_result, v_child);
  elsif p_result.outcome is null then
    call jobs_internal.note_started_child(p_session, p_item, v_child);
  end if;
  commit;
  if p_result.outcome is null then
    p_result.child_pid := v_child.pid;
    call jobs_internal.watch_child(p_session, p_item, p_margin_ms, p_result, v_child);
  end if;
  if p_result.outcome is null then
    p_result := jobs_internal.child_result(p_item, p_margin_ms, p_baseline, v_child, p_result);
  end if;
  p_result.finished_at := coalesce(p_result.finished_at, pg_catalog.clock_timestamp());
  if p_result.outcome operator(pg_catalog.=) 'succeeded' and v_child.figures is not null then
    begin
      p_result := jobs_internal.with_child_cost(p_result, v_child.figures,
          jobs_internal.child_figures(v_child.statement));
    exception
      when query_canceled then
        null;  -- it has ended: what it cost is worth no more
    end;
  end if;
end
$$;

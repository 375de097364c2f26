-- A child session without an error has succeeded, though FATAL ended it.

-- Replaces jobs_internal.child_result, md5 8272ba3d67c697b8955e71cd4328cb1c.
create or replace function jobs_internal.child_result(
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_child jobs_internal.child_state,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_report jobs_internal.child_report;
begin
  p_child.stop_reason := jobs_internal.stop_reason(p_item.job_id, p_item.attempt);
  if not p_child.let_go then
    select o.* into v_report from jobs_internal.child_outcome(p_child.pid, p_child.cookie) as o;
    if p_child.columns is not null and v_report.completed and not v_report.has_error
      and v_report.command_tag <> '' then
      p_child.sent := jobs_internal.read_call(p_child.pid, p_child.cookie, p_child.columns);
    else
      perform jobs_internal.detach_child(p_child.pid, p_child.cookie);
    end if;
  end if;
  p_result.finished_at := pg_catalog.clock_timestamp();
  if v_report.completed and v_report.has_error then
    return jobs_internal.child_error(p_item, p_margin_ms, p_baseline, p_child, v_report, p_result);
  end if;
  -- "Completed without error" is also what a session killed by FATAL reports; an empty command tag
  -- gives it away. A post-condition outranks both.
  if p_child.has_sent or v_report.completed then
    p_result.outcome := 'succeeded';
    p_result.result := coalesce(p_child.sent,
        pg_catalog.jsonb_build_object('command_tag', v_report.command_tag));
  end if;
  if p_item.done_when is not null then
    p_result := jobs_internal.child_verdict(p_item, p_baseline, p_child, p_result);
  elsif p_result.outcome is not null and p_item.statement is not null then
    -- A statement of which nothing shows what it did, or which cannot be read for sure: the result
    -- says so.
    p_result.result := p_result.result
      operator(pg_catalog.||) coalesce(jobs_internal.unverified(p_item.job_id), '{}');
  end if;
  if p_result.outcome is null then
    p_result := jobs_internal.child_unseen(p_item, p_child, p_result);
  end if;
  return p_result;
end
$$;

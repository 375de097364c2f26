-- An interrupted job counts as cancelled, whether anybody asked for that or not.

-- Replaces jobs_internal.interrupted_result, md5 1f3a313fdb0bfc1fe8cc79d3956ccaea.
create or replace function jobs_internal.interrupted_result(
  p_item jobs_internal.work_item,
  p_started_at timestamptz,
  p_context text,
  p_message text default null
)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ending jobs_internal.attempt_result;
begin
  v_ending.job_id := p_item.job_id;
  v_ending.attempt := p_item.attempt;
  v_ending.started_at := p_started_at;
  v_ending.finished_at := clock_timestamp();
  v_ending.call_template_id := p_item.call_template_id;
  v_ending.queued_at := p_item.queued_at;
  v_ending.task := p_item.task;
  v_ending.outcome := 'cancelled';
  v_ending.error := jobs_internal.stop_error(v_ending.outcome, p_item.timeout_ms * interval '1 ms',
    case v_ending.outcome when 'timed_out' then 'The supervisor cancelled its session.' end,
      p_context);
  if v_ending.outcome = 'interrupted' and p_message is not null then
    v_ending.error := jobs_internal.error_object('57014', p_message, null, null, p_context);
  end if;
  return v_ending;
end
$$;

-- An interrupted job counts as cancelled, whether anybody asked for that or not.

-- Replaces jobs_internal.interrupted_result, md5 955bc22be2827169b521a7d830cce739.
create or replace function jobs_internal.interrupted_result(
  p_item jobs_internal.work_item,
  p_started_at timestamptz,
  p_context text,
  p_message text default null,
  p_reason text default null
)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_result jobs_internal.attempt_result;
begin
  v_result.job_id := p_item.job_id;
  v_result.attempt := p_item.attempt;
  v_result.started_at := p_started_at;
  v_result.finished_at := clock_timestamp();
  v_result.call_template_id := p_item.call_template_id;
  v_result.queued_at := p_item.queued_at;
  v_result.task := p_item.task;
  v_result.outcome := 'cancelled';
  v_result.error := jobs_internal.stop_error(v_result.outcome, p_item.timeout_ms * interval '1 ms',
    case v_result.outcome when 'timed_out' then 'The supervisor cancelled its session.' end,
      p_context);
  if v_result.outcome = 'interrupted' and p_message is not null then
    v_result.error := jobs_internal.error_object('57014', p_message, null, null, p_context);
  end if;
  return v_result;
end
$$;

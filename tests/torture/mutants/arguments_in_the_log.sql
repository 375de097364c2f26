-- The arguments of each job go to the server's log.

-- Replaces jobs_internal.begin_attempt, md5 bab76915bc60f8013bfcc8edb5bf289b.
create or replace function jobs_internal.begin_attempt(p_item jobs_internal.work_item,
    p_margin_ms bigint)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_result jobs_internal.attempt_result;
  v_name text;
  v_void text;
begin
  raise log 'runs %', p_item.args;
  v_result.job_id := p_item.job_id;
  v_result.attempt := p_item.attempt;
  v_result.call_template_id := p_item.call_template_id;
  v_result.queued_at := p_item.queued_at;
  v_result.task := p_item.task;
  v_result.started_at := pg_catalog.clock_timestamp();
  v_name := p_item.job_id || '/' || p_item.attempt || ' '
    || (extract(epoch from v_result.started_at) * 1000)::bigint;
  v_void := pg_catalog.set_config('pyworker.job', v_name, false);
  v_void := pg_catalog.set_config('application_name', 'pw ' || v_name, false);
  if p_item.timeout_ms is not null then
    -- A backstop of the server's own, should no supervisor live. 0 first: only that arms it again
    -- inside a transaction.
    v_void := pg_catalog.set_config('transaction_timeout', '0', false);
    v_void := pg_catalog.set_config('transaction_timeout',
        least(p_item.timeout_ms + p_margin_ms, 2147483647)::text, false);
  end if;
  return v_result;
end
$$;

-- Running one job of a chunk where that is safe: without a savepoint.
--
-- It runs as the owner, in a session that was authenticated as the owner, so it is invoker. It sets
-- the owner's search_path for the duration of the job, and leaves ours.

-- Run one short function job of a chunk without a subtransaction of its own, and say how it ended:
-- an error is the caller's affair. Leaves the session reset, and its search_path ours. What
-- run_in_savepoint does for the jobs that never come here is left out: statements, settings,
-- post-conditions, fences. What both do stands here once more: a call of a function for it would be
-- felt by each job.
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
  v_result jobs_internal.attempt_result;
  v_value jsonb;
  v_plan json;
  v_name text;
  v_void text;
begin
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
    v_void := pg_catalog.set_config('transaction_timeout', '0', false);
    v_void := pg_catalog.set_config('transaction_timeout',
        least(p_item.timeout_ms + p_margin_ms, 2147483647)::text, false);
  end if;
  if p_measure then
    v_name := jobs_internal.measured(p_item.call);
    v_void := pg_catalog.set_config('search_path', p_path, false);
    execute v_name into v_plan using p_item.args;
  else
    v_void := pg_catalog.set_config('search_path', p_path, false);
    execute p_item.call into v_value using p_item.args;
  end if;
  if current_user operator(pg_catalog.<>) session_user then
    set role none;  -- what follows is for the owner only
  end if;
  if p_measure then
    v_value := jobs_internal.saved_result();
    v_result := jobs_internal.with_cost(v_result, v_plan);
  end if;
  if v_value is not null then
    if pg_catalog.pg_column_size(v_value) operator(pg_catalog.>) 500
      and pg_catalog.octet_length(v_value::pg_catalog.text)
        operator(pg_catalog.>) jobs_internal.result_limit() then
      raise exception using errcode = 'PW040',
        message = 'the result is larger than the setting result_bytes, or the quota of its owner';
    end if;
    if pg_catalog.starts_with(p_item.call, 'select jobs_internal.limit_rows(') then
      v_result.rows := pg_catalog.jsonb_array_length(v_value);
    end if;
  end if;
  v_result.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0;
  if v_result.last then
    v_result.last := exists (select from pg_catalog.pg_class as c
        where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
    if v_result.last then
      set constraints all immediate;
    end if;
  end if;
  v_result.outcome := 'succeeded';
  v_result.result := v_value;
  v_result.finished_at := pg_catalog.clock_timestamp();
  if pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
    v_result.logs := jobs_internal.collect_log();
  end if;
  if not pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'pw ') then
    v_result.last := true;
    v_void := jobs_internal.reset_session(p_baseline);
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  else
    v_void := jobs_internal.reset_session(p_baseline);
  end if;
  return v_result;
end
$$;

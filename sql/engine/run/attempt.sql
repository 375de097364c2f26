-- The beginning and the end of an attempt in the worker session's own transaction, and the call or
-- the statement in between: the parts of run_in_savepoint, which catches what they raise. All but
-- the first run, and are compiled, with the job's own search_path: every name in them is full,
-- those of types too.

-- An attempt begins: it is known by the session's name, and its server-side time limit runs.
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

-- Call the function of a job: its result, how many rows that has, and what it cost. Errors: PW040.
create or replace function jobs_internal.run_call(p_item jobs_internal.work_item,
    p_result jobs_internal.attempt_result, p_measure boolean)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_value pg_catalog.jsonb;
  v_plan pg_catalog.json;
begin
  if p_measure then
    execute jobs_internal.measured(p_item.call) into v_plan using p_item.args;
  else
    execute p_item.call into v_value using p_item.args;
  end if;
  if current_user operator(pg_catalog.<>) session_user then
    set role none;  -- what follows is for the owner only
  end if;
  if p_measure then
    v_value := jobs_internal.saved_result();
    p_result := jobs_internal.with_cost(p_result, v_plan);
  end if;
  if pg_catalog.starts_with(p_item.call, 'select jobs_internal.limit_rows(') then
    p_result.rows := pg_catalog.jsonb_array_length(v_value);
  end if;
  if v_value is not null and pg_catalog.pg_column_size(v_value) operator(pg_catalog.>) 500
    and pg_catalog.octet_length(v_value::pg_catalog.text)
      operator(pg_catalog.>) jobs_internal.result_limit() then
    raise exception using errcode = 'PW040',
      message = 'the result is larger than the setting result_bytes, or the quota of its owner',
      detail = pg_catalog.format('It has %s bytes.',
          pg_catalog.octet_length(v_value::pg_catalog.text)),
      hint = 'Write large results into a table. A retry cannot help.';
  end if;
  p_result.result := v_value;
  return p_result;
end
$$;

-- Run the statement of a job: how many rows it changed or returned, what it cost, and, of EXPLAIN,
-- what it says.
create or replace function jobs_internal.run_sql(p_item jobs_internal.work_item,
    p_result jobs_internal.attempt_result, p_measure boolean)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_plan pg_catalog.json;
  v_explains boolean := p_item.task operator(pg_catalog.=) 'explain';
  v_void pg_catalog.text;
begin
  -- Its strings are read as they were when it was checked.
  v_void := pg_catalog.set_config('standard_conforming_strings', 'on', false);
  if p_measure then
    execute jobs_internal.measured(case when v_explains
        then 'select jobs_internal.run_explain($1)' else 'select jobs_internal.run_statement($1)'
        end, true) into v_plan using p_item.statement;
    set role none;  -- what follows is for the owner only
    p_result.rows := pg_catalog.current_setting('pyworker.result')::pg_catalog.int8;
    p_result := jobs_internal.with_cost(p_result, v_plan);
  elsif v_explains then
    perform jobs_internal.run_explain(p_item.statement);
    set role none;
    p_result.rows := pg_catalog.current_setting('pyworker.result')::pg_catalog.int8;
  else
    execute p_item.statement;
    get diagnostics p_result.rows := row_count;
    set role none;
  end if;
  p_result.result := pg_catalog.jsonb_build_object('rows', p_result.rows);
  if v_explains then
    p_result.result := pg_catalog.jsonb_set(p_result.result, '{plan}',
        pg_catalog.to_jsonb(pg_catalog.current_setting('pyworker.plan')));
  end if;
  return p_result;
end
$$;

-- An attempt is over: take the lines that it logged, and reset the session.
-- p_chunk: it ran in a chunk. There a job is known by the session's name to those who watch: a
--   function that has changed that runs alone from now on.
create or replace function jobs_internal.end_of_attempt(p_result jobs_internal.attempt_result,
    p_chunk boolean, p_baseline jsonb)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_renames boolean;
  v_void pg_catalog.text;
begin
  -- A job that succeeded says by this setting whether it logged; after a rollback the setting is
  -- gone, so one looks.
  if p_result.outcome operator(pg_catalog.<>) 'succeeded'
    or pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
    begin
      p_result.logs := jobs_internal.collect_log();
    exception
      when data_exception then
        null;  -- the job prepared statements of that name itself, and they are no lines
    end;
  end if;
  v_renames := p_chunk
    and not pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'pw ');
  v_void := jobs_internal.reset_session(p_baseline);
  if v_renames then
    p_result.last := true;
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  end if;
  return p_result;
end
$$;

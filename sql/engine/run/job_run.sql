-- Running one job in the worker session's own transaction: in a savepoint; or, where that is safe,
-- without.
--
-- They run as the owner, in a session that was authenticated as the owner, so these functions are
-- invoker. They set the owner's search_path for the duration of a job, and leave ours.

-- Run one job in a subtransaction and say how it ended. Leaves the session washed and its
-- search_path ours.
-- p_fence: the session number when the job runs alone (its fence is asked inside), null in a chunk.
--   p_measure: what it costs as well. Assignments, not PERFORM: an expression without a query costs
--   a third of a query.
create or replace function jobs_internal.run_in_savepoint(
  p_item jobs_internal.work_item,
  p_fence bigint,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measure boolean
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_ending jobs_internal.attempt_result;
  v_result jsonb;
  v_plan json;
  v_rows bigint;
  v_void text;
  v_name text;
  v_value text;
  v_state text;
  v_message text;
  v_detail text;
  v_hint text;
  v_context text;
  v_constraint text;
  v_table text;
  v_done boolean;
  v_asked boolean := false;
  v_renames boolean;
  v_skip jsonb;
begin
  v_ending.job_id := p_item.job_id;
  v_ending.attempt := p_item.attempt;
  v_ending.call_template_id := p_item.call_template_id;
  v_ending.queued_at := p_item.queued_at;
  v_ending.task := p_item.task;
  v_ending.started_at := pg_catalog.clock_timestamp();
  v_name := p_item.job_id || '/' || p_item.attempt || ' '
    || (extract(epoch from v_ending.started_at) * 1000)::bigint;
  v_void := pg_catalog.set_config('pyworker.job', v_name, false);
  v_void := pg_catalog.set_config('application_name', 'pw ' || v_name, false);
  if p_item.timeout_ms is not null then
    -- A backstop of the server's own, should no supervisor live. 0 first: only that arms it again
    -- inside a transaction.
    v_void := pg_catalog.set_config('transaction_timeout', '0', false);
    v_void := pg_catalog.set_config('transaction_timeout',
        least(p_item.timeout_ms + p_margin_ms, 2147483647)::text, false);
  end if;
  v_void := pg_catalog.set_config('search_path', coalesce(p_item.path, p_path), false);
  begin
    if p_item.settings is not null then
      for v_name, v_value in select s.key, s.value
        from pg_catalog.jsonb_each_text(p_item.settings) as s loop
        perform pg_catalog.set_config(v_name, v_value, false);
      end loop;
    end if;
    if p_item.mode operator(pg_catalog.=) 'refused' then
      raise exception using errcode = 'PW042', message = p_item.call,
        detail = 'It was otherwise when the job was enqueued.',
        hint = 'Enqueue the job again for the function as it is now.';
    end if;
    if p_item.verify then
      v_asked := true;
      execute p_item.done_when into v_done;
      v_asked := false;
    end if;
    if v_done then
      v_result := '{"verified": true}';
    elsif p_item.statement is null then
      if p_measure then
        execute jobs_internal.measured(p_item.call) into v_plan using p_item.args;
      else
        execute p_item.call into v_result using p_item.args;
      end if;
      if current_user operator(pg_catalog.<>) session_user then
        set role none;  -- what follows is for the owner only
      end if;
      if p_measure then
        v_result := jobs_internal.saved_result();
      end if;
      if pg_catalog.starts_with(p_item.call, 'select jobs_internal.limit_rows(') then
        v_rows := pg_catalog.jsonb_array_length(v_result);
      end if;
      if v_result is not null and pg_catalog.pg_column_size(v_result) operator(pg_catalog.>) 500
        and pg_catalog.octet_length(v_result::pg_catalog.text)
          operator(pg_catalog.>) jobs_internal.result_limit() then
        raise exception using errcode = 'PW040',
          message = 'the result is larger than the setting result_bytes, or the quota of its owner',
          detail = pg_catalog.format('It has %s bytes.',
              pg_catalog.octet_length(v_result::pg_catalog.text)),
          hint = 'Write large results into a table. A retry cannot help.';
      end if;
    else
      if p_item.task operator(pg_catalog.=) any (array['analyze', 'analyse']) then
        v_name := pg_catalog.current_setting('search_path');
        v_skip := jobs_internal.first_skipped_table((jobs_internal.noted(p_item.job_id)).target,
            v_name);
        if v_skip is null then
          perform jobs_internal.note_identity(p_fence, p_item.job_id, v_name);
        end if;
        v_void := pg_catalog.set_config('search_path', v_name, false);
        if v_skip is not null then
          raise exception using errcode = v_skip operator(pg_catalog.->>) 'sqlstate',
            message = v_skip operator(pg_catalog.->>) 'message',
            detail = v_skip operator(pg_catalog.->>) 'detail',
              hint = v_skip operator(pg_catalog.->>) 'hint';
        end if;
      end if;
      -- Its strings are read as they were when it was checked.
      v_void := pg_catalog.set_config('standard_conforming_strings', 'on', false);
      if p_measure then
        execute jobs_internal.measured('select jobs_internal.run_statement($1)', true) into v_plan
          using p_item.statement;
        v_rows := pg_catalog.current_setting('pyworker.result')::pg_catalog.int8;
      else
        execute p_item.statement;
        get diagnostics v_rows := row_count;
      end if;
      set role none;
      v_result := pg_catalog.jsonb_build_object('rows', v_rows);
      if p_item.task operator(pg_catalog.=) any (array['analyze', 'analyse']) then
        v_skip := jobs_internal.judge(p_item.job_id);
        if pg_catalog.jsonb_exists(v_skip, 'skipped') then
          v_result := v_result operator(pg_catalog.||) '{"verified": false}'
            operator(pg_catalog.||) (v_skip operator(pg_catalog.-) 'done');
        elsif v_skip operator(pg_catalog.->>) 'done' operator(pg_catalog.=) 'false' then
          raise exception using errcode = 'PW043',
            message = 'the statement ran, but its post-condition is not true',
            detail = v_skip operator(pg_catalog.->>) 'why',
            hint = 'What it did was undone. Name the tables and partitions that it can work on. A '
              'retry cannot help.';
        end if;
      end if;
      if p_item.done_when is not null then
        v_asked := true;
        execute p_item.done_when into v_done;
        v_asked := false;
        if v_done is not true then
          raise exception using errcode = 'PW043',
            message = 'the statement ran, but its post-condition is not true',
            detail = p_item.done_when, hint = 'What it did was undone. Check done_when.';
        end if;
      end if;
    end if;
    -- Also what it made itself: a temporary table with deferred checks pending cannot be dropped.
    v_ending.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0;
    if v_ending.last then
      v_ending.last := exists (select from pg_catalog.pg_class as c
          where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
    end if;
    if p_item.constraints or p_fence is not null or v_ending.last then
      set constraints all immediate;
    end if;
    if p_fence is not null then
      perform jobs_internal.fence(p_fence, p_item.job_id, p_item.attempt);
    end if;
    v_ending.rows := v_rows;
    if v_plan is not null then
      v_ending := jobs_internal.with_cost(v_ending, v_plan);
    end if;
    v_ending.outcome := 'succeeded';
    v_ending.result := v_result;
  exception
    when query_canceled then
      get stacked diagnostics v_context := pg_exception_context, v_message := message_text;
      v_ending := jobs_internal.interrupted_result(p_item, v_ending.started_at, v_context,
          v_message);
    when others or assert_failure then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text,
        v_detail := pg_exception_detail,
        v_hint := pg_exception_hint, v_context := pg_exception_context,
          v_constraint := constraint_name, v_table := table_name;
      v_ending.outcome := 'failed';
      v_ending.error := jobs_internal.error_object(v_state, v_message,
        case when v_asked then pg_catalog.concat_ws(' ',
            pg_catalog.format('Raised by its post-condition: %s.', p_item.done_when),
          case when v_detail operator(pg_catalog.<>) '' then v_detail end) else v_detail end,
        v_hint, v_context, v_constraint, v_table);
  end;
  v_ending.finished_at := pg_catalog.clock_timestamp();
  -- A job that succeeded says by this setting whether it logged; after a rollback the setting is
  -- gone, so one looks.
  if v_ending.outcome operator(pg_catalog.<>) 'succeeded'
    or pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
    begin
      v_ending.logs := jobs_internal.collect_log();
    exception
      when data_exception then
        null;  -- the job prepared statements of that name itself, and they are no lines
    end;
  end if;
  v_renames := p_fence is null
    and not pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'pw ');
  v_void := jobs_internal.reset_session(p_baseline);
  if v_renames then
    -- By its name a job in a chunk is known to those who watch: the worker lets this function run
    -- alone from now on.
    v_ending.last := true;
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  end if;
  return v_ending;
end
$$;

-- Run one short function job of a chunk without a subtransaction of its own, and say how it ended:
-- an error is the caller's affair. Leaves the session washed and its search_path ours. What
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
  v_ending jobs_internal.attempt_result;
  v_result jsonb;
  v_plan json;
  v_name text;
  v_void text;
begin
  v_ending.job_id := p_item.job_id;
  v_ending.attempt := p_item.attempt;
  v_ending.call_template_id := p_item.call_template_id;
  v_ending.queued_at := p_item.queued_at;
  v_ending.task := p_item.task;
  v_ending.started_at := pg_catalog.clock_timestamp();
  v_name := p_item.job_id || '/' || p_item.attempt || ' '
    || (extract(epoch from v_ending.started_at) * 1000)::bigint;
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
    execute p_item.call into v_result using p_item.args;
  end if;
  if current_user operator(pg_catalog.<>) session_user then
    set role none;  -- what follows is for the owner only
  end if;
  if p_measure then
    v_result := jobs_internal.saved_result();
    v_ending := jobs_internal.with_cost(v_ending, v_plan);
  end if;
  if v_result is not null then
    if pg_catalog.pg_column_size(v_result) operator(pg_catalog.>) 500
      and pg_catalog.octet_length(v_result::pg_catalog.text)
        operator(pg_catalog.>) jobs_internal.result_limit() then
      raise exception using errcode = 'PW040',
        message = 'the result is larger than the setting result_bytes, or the quota of its owner';
    end if;
    if pg_catalog.starts_with(p_item.call, 'select jobs_internal.limit_rows(') then
      v_ending.rows := pg_catalog.jsonb_array_length(v_result);
    end if;
  end if;
  v_ending.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0;
  if v_ending.last then
    v_ending.last := exists (select from pg_catalog.pg_class as c
        where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
    if v_ending.last then
      set constraints all immediate;
    end if;
  end if;
  v_ending.outcome := 'succeeded';
  v_ending.result := v_result;
  v_ending.finished_at := pg_catalog.clock_timestamp();
  if pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
    v_ending.logs := jobs_internal.collect_log();
  end if;
  if not pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'pw ') then
    v_ending.last := true;
    v_void := jobs_internal.reset_session(p_baseline);
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  else
    v_void := jobs_internal.reset_session(p_baseline);
  end if;
  return v_ending;
end
$$;

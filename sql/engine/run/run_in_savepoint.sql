-- Running one job in a savepoint of the worker session's own transaction.
--
-- These run as the owner, in a session that was authenticated as the owner, so they are invoker.
-- They set the owner's search_path for the duration of a job, and leave ours.

-- Run one job in a subtransaction and say how it ended. Leaves the session reset, and its
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
  v_result jobs_internal.attempt_result := jobs_internal.begin_attempt(p_item, p_margin_ms);
  v_ran jobs_internal.attempt_result := v_result;
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
  v_undone boolean := false;
begin
  v_void := pg_catalog.set_config('search_path', coalesce(p_item.path, p_path), false);
  begin
    if p_item.settings is not null then
      for v_name, v_value in select s.key, s.value
        from pg_catalog.jsonb_each_text(p_item.settings) as s loop
        perform pg_catalog.set_config(v_name, v_value, false);
      end loop;
    end if;
    if p_item.statement is not null then
      v_void := jobs_internal.set_lock_timeout(p_item)::pg_catalog.text;
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
      v_ran.result := '{"verified": true}';
    elsif p_item.statement is null then
      v_ran := jobs_internal.run_call(p_item, v_ran, p_measure);
    else
      v_ran.way_back := jobs_internal.facts_in_transaction(p_item.job_id);
      v_ran := jobs_internal.run_sql(p_item, v_ran, p_measure);
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
    v_result.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0;
    if v_result.last then
      v_result.last := exists (select from pg_catalog.pg_class as c
          where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
    end if;
    if p_item.constraints or p_fence is not null or v_result.last then
      set constraints all immediate;
    end if;
    if p_fence is not null then
      perform jobs_internal.fence(p_fence, p_item.job_id, p_item.attempt);
    end if;
    v_ran.last := v_result.last;
    v_ran.outcome := 'succeeded';
    if p_item.statement is null
      and pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
      v_ran := jobs_internal.snoozed(v_ran);
      v_undone := jobs_internal.is_undone(v_ran);
      if v_undone then
        raise exception using errcode = 'PW999', message = 'undo';
      end if;
    end if;
    v_result := v_ran;
  exception
    when query_canceled then
      get stacked diagnostics v_context := pg_exception_context, v_message := message_text;
      v_result := jobs_internal.interrupted_result(p_item, v_result.started_at, v_context,
          v_message);
    when others or assert_failure then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text,
        v_detail := pg_exception_detail, v_hint := pg_exception_hint,
        v_context := pg_exception_context, v_constraint := constraint_name, v_table := table_name;
      if v_undone then
        v_result.outcome := 'snoozed';
        v_result.result := v_ran.result;
      else
        v_result.outcome := 'failed';
        v_result.error := jobs_internal.error_object(v_state, v_message,
        case when v_asked then pg_catalog.concat_ws(' ',
            pg_catalog.format('Raised by its post-condition: %s.', p_item.done_when),
          case when v_detail operator(pg_catalog.<>) '' then v_detail end) else v_detail end,
        v_hint, v_context, v_constraint, v_table);
      end if;
  end;
  v_result.finished_at := pg_catalog.clock_timestamp();
  return jobs_internal.end_of_attempt(v_result, p_fence is null, p_baseline);
end
$$;

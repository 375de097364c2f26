-- How a child session ended, and what that means for the attempt. One precedence: its
-- post-condition, where it has one; else what the child reported; else it ended unseen.

-- The result of an attempt whose child session has ended. Takes the child's report, and lets go of
-- it.
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
  if p_child.has_sent or v_report.completed and coalesce(v_report.command_tag, '') <> '' then
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

-- The result where the child ended with an error, which its report has. What is done is done,
-- although its session ended with an error, a timeout or a cancel: then it has succeeded.
create or replace function jobs_internal.child_error(
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_child jobs_internal.child_state,
  p_report jobs_internal.child_report,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_way jsonb;
begin
  v_way := case when p_report.sqlstate = '57014' and p_child.stop_reason is null
    then jobs_internal.way_given(p_item.job_id, p_item.attempt) end;
  p_result.outcome := case
    when p_report.sqlstate = '57014' then coalesce(p_child.stop_reason, case
      when p_item.timeout_ms is not null and p_result.finished_at
        >= p_result.started_at + (p_item.timeout_ms + p_margin_ms) * interval '1 ms'
      then 'timed_out' else 'interrupted' end)
    -- Its owner was renamed under this session, which passes on the old name: the child never
    -- began, and another session launches it.
    when p_report.sqlstate = '22023' and pg_catalog.strpos(p_report.message,
        '"' || pg_catalog.current_setting('session_authorization') || '"') > 0 then 'no_slot'
    else 'failed' end;
  if v_way is not null then
    p_result := jobs_internal.gave_way(p_result, v_way);
  elsif p_result.outcome in ('timed_out', 'cancelled') then
    p_result.error := jobs_internal.stop_error(p_result.outcome,
        p_item.timeout_ms * interval '1 ms', 'Its session was cancelled.', p_report.context);
  else
    p_result.error := jobs_internal.error_object(p_report.sqlstate, p_report.message,
        p_report.detail, p_report.hint, p_report.context, p_report.constraint_name,
        p_report.table_name);
  end if;
  if p_item.done_when is not null and p_result.outcome <> 'no_slot'
    and (p_result.outcome = 'failed' or p_item.done_when = 'select jobs_internal.is_done()')
  then
    perform pg_catalog.set_config('pyworker.job',
        pg_catalog.format('%s/%s 0', p_item.job_id, p_item.attempt), false);
    begin
      if (jobs_internal.ask(p_item, p_child.path) -> 'done')::boolean then
        p_result.outcome := 'succeeded';
        p_result.result := pg_catalog.jsonb_build_object('verified', true, 'despite',
            pg_catalog.format('%s: %s', p_report.sqlstate,
              pg_catalog.left(p_report.message, 500)));
        p_result.error := null;
      end if;
    exception when others then
      null;  -- then its error stands
    end;
    perform jobs_internal.reset_session(p_baseline);
  end if;
  return p_result;
end
$$;

-- The result where the child ended without an error, or unseen, by its post-condition.
create or replace function jobs_internal.child_verdict(
  p_item jobs_internal.work_item,
  p_baseline jsonb,
  p_child jobs_internal.child_state,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_said jsonb;
  v_seen boolean := p_result.outcome is not null;  -- the child reported a success
  v_state text;
  v_message text;
begin
  perform pg_catalog.set_config('pyworker.job',
      pg_catalog.format('%s/%s 0', p_item.job_id, p_item.attempt), false);
  begin
    v_said := jobs_internal.ask(p_item, p_child.path);
    if (v_said -> 'done')::boolean or (v_seen and v_said ? 'only') then
      p_result.outcome := 'succeeded';
      p_result.result := coalesce(p_result.result, '{}')
        operator(pg_catalog.||) '{"verified": true}';
    elsif v_seen and (v_said ->> 'done' is null or v_said ?| array['made', 'skipped']) then
      p_result.result := p_result.result operator(pg_catalog.||) '{"verified": false}'
        operator(pg_catalog.||) (v_said - 'done');
    elsif v_said ->> 'done' is not null and (v_seen or p_child.let_go) then
      p_result.outcome := 'failed';
      p_result.error := jobs_internal.error_object('PW043',
          'the statement ended, but its post-condition is not true',
          v_said operator(pg_catalog.->>) 'why', 'Look at what it left behind.');
    end if;
  exception when others then
    get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
    p_result.error := jobs_internal.error_object(v_state, v_message,
        pg_catalog.format('%s, but its post-condition could not be asked: %s.',
          case when p_result.outcome is null then 'It ended unseen'
            else 'It ran without an error' end, p_item.done_when),
        'Look whether it did its work. A retry helps only where the condition can be asked then; '
        'else select jobs.dismiss(id).');
    p_result.outcome := 'in_doubt';
  end;
  perform jobs_internal.reset_session(p_baseline);
  return p_result;
end
$$;

-- The result where nothing tells how the child ended: in doubt, stopped, or lost.
create or replace function jobs_internal.child_unseen(
  p_item jobs_internal.work_item,
  p_child jobs_internal.child_state,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- as in a rescue: a watcher of a dying server judges no job
  perform pg_sleep(0.2);
  p_result.outcome := case
    when p_child.let_go then 'in_doubt'
    when p_child.stop_reason is not null then p_child.stop_reason
    when jobs_internal.shutting_down() then 'interrupted'
    -- it never began: its owner may not log in any more
    when p_child.started_at is null and not jobs_internal.may_connect() then 'no_slot'
    else 'lost' end;
  p_result.error := case p_result.outcome
    when 'in_doubt' then jobs_internal.error_object('PWD01', 'the statement ended unseen',
        'It sent more messages than its queue holds.',
        'Look whether it did its work; give it done_when the next time.')
    when 'lost' then jobs_internal.error_object('PWL01', 'the child session died',
        'It ended without an error of its own (FATAL).', 'Look in the server log.')
    else jobs_internal.stop_error(p_result.outcome, p_item.timeout_ms * interval '1 ms',
        'Its session was ended.') end;
  return p_result;
end
$$;

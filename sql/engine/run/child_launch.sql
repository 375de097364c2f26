-- The launch of a child session: what it inherits, and how the worker session comes to know it.

-- The name of an attempt, as in application_name: job/attempt and its start, ms.
create or replace function jobs_internal.attempt_name(p_result jobs_internal.attempt_result)
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select p_result.job_id || '/' || p_result.attempt || ' '
    || (extract(epoch from p_result.started_at) * 1000)::bigint;
end;

-- An attempt at top level that need not run, or must not: it was done already, an earlier attempt
-- ended unseen and is not to be repeated, or its function was refused. Else the result comes back
-- as it was, without an outcome.
create or replace function jobs_internal.end_before_start(
  p_item jobs_internal.work_item,
  p_path text,
  p_result jobs_internal.attempt_result
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_said jsonb;
begin
  -- Counts of a table may have moved for another reason since: they are asked only of an attempt
  -- that ended unseen.
  if p_item.done_when is not null
    and ((p_item.attempt > 1 or p_item.verify or jobs_internal.was_held(p_item.job_id))
        and (p_item.verify or coalesce(p_item.task not in ('vacuum', 'analyze', 'analyse'), true))
      or p_item.done_when <> 'select jobs_internal.is_done()'
      and jobs_internal.has_steps(p_item.job_id))
  then
    v_said := jobs_internal.ask(p_item, p_path);
  end if;
  if (v_said -> 'done')::boolean then
    p_result.outcome := 'succeeded';
    p_result.result := '{"verified": true}';
  elsif p_item.verify and v_said is not null
    and not jobs_internal.runs_again(p_item.job_id, v_said) then
    p_result.outcome := 'in_doubt';
    p_result.error := jobs_internal.error_object('PWD01', 'it ended unseen',
        pg_catalog.format('Its post-condition says: %s. It is not to be repeated.',
          v_said operator(pg_catalog.->>) 'why'),
        'Look whether it did its work; then select jobs.retry(id), or leave it.');
  elsif p_item.mode operator(pg_catalog.=) 'refused' then
    p_result.outcome := 'failed';
    p_result.error := jobs_internal.error_object('PW042', p_item.call,
        'It was otherwise when the job was enqueued.',
        'Enqueue the job again for the function as it is now.');
  end if;
  return p_result;
end
$$;

-- Launch the child session of an attempt, unless the attempt ends before. The child inherits what
-- this session has set at the launch: the job's own settings, the owner's path, and its name. Its
-- time limit stands a little behind the job's own timeout, should no supervisor live. Leaves all
-- that for the caller to reset.
-- p_result: with an outcome, if there is nothing to watch. p_child.lost: a signal came between its
--   start and our knowledge of it.
create or replace procedure jobs_internal.start_child(
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  inout p_result jobs_internal.attempt_result,
  inout p_child jobs_internal.child_state
)
language plpgsql
as $$
declare
  v_label text := p_item.job_id || '/' || p_item.attempt;
  v_state text;
  v_message text;
begin
  p_child.statement := coalesce(p_item.statement, p_item.call);
  p_child.columns := jobs_internal.out_columns(p_item.call_template_id);
  p_child.lost := false;
  p_child.noted := true;
  p_child.let_go := false;
  p_child.has_sent := false;
  begin
    perform pg_catalog.set_config('pyworker.job', jobs_internal.attempt_name(p_result), false),
      pg_catalog.set_config('pyworker.child', 'on', false),
      pg_catalog.set_config('application_name', 'pw ' || jobs_internal.attempt_name(p_result),
        false);
    p_result := jobs_internal.end_before_start(p_item, p_child.path, p_result);
    if p_result.outcome is null then
      p_child := jobs_internal.prepare_child(p_item, p_margin_ms, p_child);
      if p_child.columns is null then
        select h.pid, h.cookie into p_child.pid, p_child.cookie
        from jobs_internal.launch_child(p_child.statement, v_label) as h;
      else
        select h.pid, h.cookie into p_child.pid, p_child.cookie
        from jobs_internal.launch_call(p_child.statement, v_label) as h;
      end if;
    end if;
  exception
    when insufficient_resources or configuration_limit_exceeded or too_many_connections then
      -- No worker slot: that is back-pressure, never the job's failure. Uncharged, a little later
      -- again.
      p_result.outcome := 'no_slot';
    when query_canceled then
      -- A child that was launched is watched, whatever happened here. Where the signal came between
      -- its start and our knowledge of it, it is looked for.
      p_child.lost := p_child.pid is null;
    when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
      p_result.outcome := 'failed';
      p_result.error := jobs_internal.error_object(v_state, v_message);
  end;
end
$$;

-- Set what a child session inherits, up to the owner's path and the job's own settings, and find
-- out what is sent to it.
create or replace function jobs_internal.prepare_child(
  p_item jobs_internal.work_item,
  p_margin_ms bigint,
  p_child jobs_internal.child_state
)
returns jobs_internal.child_state
language plpgsql volatile
as $$
declare
  v_called text;
begin
  -- Its notices are not read, and too many of them would fill its queue. Its strings are read as
  -- they were when it was checked.
  perform pg_catalog.set_config('client_min_messages', 'error', false),
    pg_catalog.set_config('standard_conforming_strings', 'on', false);
  -- LEAST ignores nulls: without a timeout this must say 0 itself.
  perform pg_catalog.set_config('statement_timeout',
    case when p_item.timeout_ms is null then 0
      else least(p_item.timeout_ms + p_margin_ms, 2147483647) end::text, false);
  if p_item.statement is not null then
    -- none of the role's own for a concurrent build: that would lose its work
    perform jobs_internal.set_lock_timeout(p_item);
  end if;
  if p_item.statement is not null
    and (p_item.attempt > 1 or p_item.verify or jobs_internal.was_held(p_item.job_id)) then
    p_child.statement := coalesce(jobs_internal.text_now(p_item.job_id), p_child.statement);
  end if;
  if p_child.statement ~ ' finalize$' then
    -- it asks for ACCESS EXCLUSIVE: readers do not wait behind it for long
    perform pg_catalog.set_config('lock_timeout', '1800', false);
  end if;
  p_child.figures := jobs_internal.child_figures(p_child.statement);
  v_called := case when p_item.task operator(pg_catalog.=) 'call'
    then jobs_internal.called_name(p_child.statement) end;
  -- From here on the owner's path rules, and then the job's own settings, which may name another.
  perform pg_catalog.set_config('search_path', p_child.path, false);
  if v_called is not null then
    p_child.columns := jobs_internal.columns_of(
        pg_catalog.to_regproc(v_called)::pg_catalog.oid, pg_catalog.current_schemas(true));
  end if;
  perform pg_catalog.set_config(s.key, s.value, false)
  from pg_catalog.jsonb_each_text(coalesce(p_item.settings, '{}')) as s;
  return p_child;
end
$$;

-- Look for a child that was launched and never heard of. It is known by the name that it got at its
-- launch, as soon as it has connected; later than two seconds from now it cannot start any more.
create or replace procedure jobs_internal.find_lost_child(
  p_session bigint,
  inout p_result jobs_internal.attempt_result,
  inout p_child jobs_internal.child_state
)
language plpgsql
as $$
declare
  v_until timestamptz := pg_catalog.clock_timestamp() + interval '2 seconds';
  v_reason text;
begin
  loop
    begin
      v_reason := jobs_internal.stop_reason(p_result.job_id, p_result.attempt);
      select f.pid, f.child_start into p_child.pid, p_child.started_at
      from jobs_internal.find_child(p_session, p_result.job_id, p_result.attempt) as f;
      exit when p_child.pid is not null or jobs_internal.shutting_down()
        or pg_catalog.clock_timestamp() not between v_until - interval '2 seconds' and v_until;
      perform pg_catalog.pg_sleep(0.02);
    exception
      when query_canceled then
        null;
    end;
  end loop;
  if p_child.pid is null then
    p_result.outcome := coalesce(v_reason, 'interrupted');
  else
    p_child.let_go := true;
  end if;
end
$$;

-- Note the child with its job. Its identity is its pid and its start, and pg_stat_activity knows
-- the start only once it has connected. Commits.
create or replace procedure jobs_internal.note_started_child(
  p_session bigint,
  p_item jobs_internal.work_item,
  inout p_child jobs_internal.child_state
)
language plpgsql
as $$
declare
  v_looked timestamptz;
begin
  loop
    begin
      p_child.started_at := jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt,
          p_child.pid);
    exception
      when insufficient_resources or io_error or system_error then
        -- a full disk: it is watched all the same, and noted once there is room
        p_child.noted := false;
    end;
    -- so that the session's row is free while it waits: who wakes it (wake_after_clock_step) holds
    -- that row
    commit;
    exit when p_child.started_at is not null or not p_child.noted;
    v_looked := pg_catalog.clock_timestamp();
    begin
      exit when jobs_internal.wait_child(p_child.pid, p_child.cookie, 1);
      -- ends this session when the postmaster is gone; waiting for a child does not
      perform pg_catalog.pg_sleep(0.001);
    exception
      when query_canceled then
        -- Where the clock was set back while it waited, it was only woken up.
        if pg_catalog.clock_timestamp() >= v_looked then
          raise;
        end if;
    end;
  end loop;
end
$$;

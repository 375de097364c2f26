-- A child session without an error has succeeded, though FATAL ended it.

-- Replaces jobs_internal.run_child, md5 c49770b9a02f6028e28e2d5b00ceb096.
create or replace procedure jobs_internal.run_child(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  inout p_ending jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_name text;
  v_value text;
  v_label text;
  v_pid integer;
  v_cookie bigint;
  v_gone boolean := false;
  v_let_go boolean := false;
  v_noted boolean := true;
  v_lost boolean := false;
  v_until timestamptz;
  v_outcome record;
  v_error record;
  v_reason text;
  v_done boolean;
  v_state text;
  v_message text;
  v_child_start timestamptz;
  v_looked timestamptz;
  v_nap double precision := 0.002;
  v_figures jsonb;
  v_columns text := jobs_internal.out_columns(p_item.call_template_id);  -- of the row that it sends
  v_row jsonb;
  v_called text;
  v_read boolean := false;  -- its row was read, while it lived: it has done its work
  v_path text := coalesce(p_item.path, p_path);
  v_said jsonb;
  v_text text := coalesce(p_item.statement, p_item.call);
  v_again boolean := p_item.attempt > 1 or p_item.verify;
  v_learns boolean := p_item.task is not distinct from 'create index concurrently';
  v_index oid;
begin
  p_ending := null;
  p_ending.job_id := p_item.job_id;
  p_ending.attempt := p_item.attempt;
  p_ending.call_template_id := p_item.call_template_id;
  p_ending.queued_at := p_item.queued_at;
  p_ending.task := p_item.task;
  p_ending.started_at := pg_catalog.clock_timestamp();
  v_name := p_item.job_id || '/' || p_item.attempt || ' '
    || (extract(epoch from p_ending.started_at) * 1000)::bigint;
  -- The child inherits what this session has set at the launch: the job's own settings, the owner's
  -- path, and its name. Its time limit stands a little behind the job's own timeout, should no
  -- supervisor live.
  begin
    perform pg_catalog.set_config('pyworker.job', v_name, false),
      pg_catalog.set_config('pyworker.child', 'on', false),
      pg_catalog.set_config('application_name', 'pw ' || v_name, false);
    -- Counts of a table may have moved for another reason since: they are asked only of an attempt
    -- that ended unseen.
    if p_item.done_when is not null and v_again
      and (p_item.verify or coalesce(p_item.task not in ('vacuum', 'analyze', 'analyse'), true))
        then
      v_said := jobs_internal.ask(p_item, v_path);
      v_done := (v_said -> 'done')::boolean;
    end if;
    if v_done then
      p_ending.outcome := 'succeeded';
      p_ending.result := '{"verified": true}';
    elsif p_item.verify and v_said is not null
      and not jobs_internal.runs_again(p_item.job_id, v_said) then
      p_ending.outcome := 'in_doubt';
      p_ending.error := jobs_internal.error_object('PWD01', 'it ended unseen',
          pg_catalog.format('Its post-condition says: %s. It is not to be repeated.',
        v_said operator(pg_catalog.->>) 'why'),
        'Look whether it did its work; then select jobs.retry(id), or leave it.');
    elsif p_item.mode operator(pg_catalog.=) 'refused' then
      p_ending.outcome := 'failed';
      p_ending.error := jobs_internal.error_object('PW042', p_item.call,
          'It was otherwise when the job was enqueued.',
        'Enqueue the job again for the function as it is now.');
    else
      -- Its notices are not read, and too many of them would fill its queue. Its strings are read
      -- as they were when it was checked.
      perform pg_catalog.set_config('client_min_messages', 'error', false),
        pg_catalog.set_config('standard_conforming_strings', 'on', false);
      -- LEAST ignores nulls: without a timeout this must say 0 itself.
      perform pg_catalog.set_config('statement_timeout',
        case when p_item.timeout_ms is null then 0
          else least(p_item.timeout_ms + p_margin_ms, 2147483647) end::text, false);
      v_label := p_item.job_id || '/' || p_item.attempt;
      -- From here on the owner's path rules, and then the job's own settings, which may name
      -- another.
      if v_again and p_item.statement is not null then
        v_text := coalesce(jobs_internal.text_now(p_item.job_id), v_text);
      end if;
      if v_text ~ ' finalize$' then
        -- it asks for ACCESS EXCLUSIVE: readers do not wait behind it for long
        perform pg_catalog.set_config('lock_timeout', '1800', false);
      end if;
      v_figures := jobs_internal.child_figures(v_text);
      v_called := case when p_item.task operator(pg_catalog.=) 'call'
        then jobs_internal.called_name(v_text) end;
      perform pg_catalog.set_config('search_path', v_path, false);
      if v_called is not null then
        v_columns := jobs_internal.columns_of(pg_catalog.to_regproc(v_called)::pg_catalog.oid,
            pg_catalog.current_schemas(true));
      end if;
      for v_name, v_value in select s.key, s.value
        from pg_catalog.jsonb_each_text(coalesce(p_item.settings, '{}')) as s loop
        perform pg_catalog.set_config(v_name, v_value, false);
      end loop;
      if v_columns is null then
        select h.pid, h.cookie into v_pid, v_cookie
        from jobs_internal.launch_child(v_text, v_label) as h;
      else
        select h.pid, h.cookie into v_pid, v_cookie
        from jobs_internal.launch_call(v_text, v_label) as h;
      end if;
    end if;
  exception
    when insufficient_resources or configuration_limit_exceeded or too_many_connections then
      -- No worker slot: that is back-pressure, never the job's failure. Uncharged, a little later
      -- again.
      p_ending.outcome := 'no_slot';
    when query_canceled then
      -- A child that was launched is watched, whatever happened here. Where the signal came between
      -- its start and our knowledge of it, it is looked for below.
      v_lost := v_pid is null;
    when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
      p_ending.outcome := 'failed';
      p_ending.error := jobs_internal.error_object(v_state, v_message);
  end;
  perform jobs_internal.reset_session(p_baseline);
  perform pg_catalog.set_config('application_name', 'pw ' || p_item.job_id || '/' || p_item.attempt
      || ' '
    || (extract(epoch from p_ending.started_at) * 1000)::bigint, false);
  if v_lost then
    -- It is known by the name that it got at its launch, as soon as it has connected; later than
    -- that it cannot start any more.
    v_until := pg_catalog.clock_timestamp() + interval '2 seconds';
    loop
      begin
        v_reason := jobs_internal.stop_reason(p_item.job_id, p_item.attempt);
        select f.pid, f.child_start into v_pid, v_child_start
        from jobs_internal.find_child(p_session, p_item.job_id, p_item.attempt) as f;
        exit when v_pid is not null or jobs_internal.shutting_down()
          or pg_catalog.clock_timestamp() not between v_until - interval '2 seconds' and v_until;
        perform pg_catalog.pg_sleep(0.02);
      exception
        when query_canceled then
          null;
      end;
    end loop;
    if v_pid is null then
      p_ending.outcome := coalesce(v_reason, 'interrupted');
    else
      v_let_go := true;
      select false as completed, false as has_error, '' as command_tag into v_outcome;
    end if;
  elsif p_ending.outcome is null then
    -- Its identity is its pid and its start, and pg_stat_activity knows the start only once it has
    -- connected.
    loop
      begin
        v_child_start := jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt, v_pid);
      exception
        when insufficient_resources or io_error or system_error then
          -- a full disk: it is watched all the same, and noted once there is room
          v_noted := false;
      end;
      -- so that the session's row is free in the nap: who wakes it (wake_after_clock_step) holds
      -- that row
      commit;
      exit when v_child_start is not null or not v_noted;
      v_looked := pg_catalog.clock_timestamp();
      begin
        exit when jobs_internal.wait_child(v_pid, v_cookie, 1);
        -- ends this session when the postmaster is gone; waiting for a child does not
        perform pg_catalog.pg_sleep(0.001);
      exception
        when query_canceled then
          -- Where the clock was set back during its nap, it was only woken up.
          if pg_catalog.clock_timestamp() >= v_looked then
            raise;
          end if;
      end;
    end loop;
  end if;
  commit;

  if p_ending.outcome is null then
    p_ending.child_pid := v_pid;
    -- A nap is short at first and grows, so that short statements end at once and long ones cost
    -- nothing.
    while not v_gone loop
      v_looked := pg_catalog.clock_timestamp();
      begin
        if v_let_go then
          v_gone := not jobs_internal.alive(v_pid, v_child_start);
          if not v_gone then
            perform pg_catalog.pg_sleep(v_nap);
          end if;
        else
          v_gone := jobs_internal.wait_child(v_pid, v_cookie, (v_nap * 1000)::integer + 1);
          if not v_gone and v_nap >= 0.05 then
            perform pg_catalog.pg_sleep(0.001);  -- as above
          end if;
        end if;
        if v_learns and not v_gone then
          v_index := jobs_internal.index_of_child(v_pid);
          if v_index is not null then
            perform jobs_internal.store_made_index(p_session, p_item.job_id, v_index);
            v_learns := false;
          end if;
        end if;
        if not v_gone and not v_noted and v_nap >= 0.05 then
          begin
            v_child_start := jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt,
                v_pid);
            v_noted := v_child_start is not null;
          exception
            when insufficient_resources or io_error or system_error then
              null;
          end;
        end if;
        if not v_gone and v_nap >= 0.05 and p_item.timeout_ms is not null
          and pg_catalog.clock_timestamp() > p_ending.started_at + (p_item.timeout_ms + p_margin_ms)
            * interval '1 ms'
        then
          -- The server's own limit has fired and it goes on, and no supervisor sees to it: the
          -- watcher does.
          perform jobs_internal.signal_late_child(p_session, p_item.job_id, p_item.attempt);
        end if;
        if not v_gone and not v_let_go and v_noted and v_nap >= 0.05
          and jobs_internal.child_is_stuck(v_pid) then
          -- Its messages fill the queue that cannot be read without holding a snapshot: let go of
          -- it, so that it goes on. The price is its error details; the post-condition, or
          -- in_doubt, decides. What a CALL sends may be its row, the last that it does: that is
          -- read.
          v_let_go := true;
          select false as completed, false as has_error, '' as command_tag into v_outcome;
          if v_columns is null then
            perform jobs_internal.detach_child(v_pid, v_cookie);
          else
            v_row := jobs_internal.read_call(v_pid, v_cookie, v_columns);
            v_read := not pg_catalog.jsonb_exists(v_row, 'unread')
              or v_row ->> 'unread' ~ '^it has more than [0-9]+ bytes$';
          end if;
        end if;
      exception
        when query_canceled then
          -- The watcher was signalled, not the child. With a reason: the supervisor signals the
          -- child as well. Without one: leave; the child is found by its pid and start. Where the
          -- clock was set back during its nap, it was only woken up (wake_after_clock_step).
          if pg_catalog.clock_timestamp() >= v_looked
            and jobs_internal.why_stopped(p_item.job_id, p_item.attempt) is null then
            p_ending.outcome := 'left';
            v_gone := true;
          end if;
      end;
      v_nap := least(v_nap * 1.5, 0.05);
      commit;
    end loop;
    if p_ending.outcome is null then
      v_reason := jobs_internal.stop_reason(p_item.job_id, p_item.attempt);
      if not v_let_go then
        select o.* into v_outcome from jobs_internal.child_outcome(v_pid, v_cookie) as o;
        if v_columns is not null and v_outcome.completed and not v_outcome.has_error
          and v_outcome.command_tag <> '' then
          v_row := jobs_internal.read_call(v_pid, v_cookie, v_columns);
        else
          perform jobs_internal.detach_child(v_pid, v_cookie);
        end if;
      end if;
      p_ending.finished_at := pg_catalog.clock_timestamp();
      if not v_let_go and v_outcome.completed and v_outcome.has_error then
        p_ending.outcome := case when v_outcome.sqlstate = '57014' then coalesce(v_reason,
          case when p_item.timeout_ms is not null
            and p_ending.finished_at >= p_ending.started_at + (p_item.timeout_ms + p_margin_ms)
              * interval '1 ms' then 'timed_out'
          else 'interrupted' end)
          -- Its owner was renamed under this session, which passes on the old name: the child never
          -- began, and another session launches it.
          when v_outcome.sqlstate = '22023'
            and pg_catalog.strpos(v_outcome.message,
                '"' || pg_catalog.current_setting('session_authorization') || '"') > 0
            then 'no_slot'
          else 'failed' end;
        p_ending.error := case when p_ending.outcome in ('timed_out', 'cancelled') then
            jobs_internal.stop_error(p_ending.outcome, p_item.timeout_ms * interval '1 ms',
                'Its session was cancelled.', v_outcome.context)
          else jobs_internal.error_object(v_outcome.sqlstate, v_outcome.message, v_outcome.detail,
              v_outcome.hint, v_outcome.context,
            v_outcome.constraint_name, v_outcome.table_name) end;
        if p_item.done_when is not null and p_ending.outcome <> 'no_slot'
          and (p_ending.outcome = 'failed' or p_item.done_when = 'select jobs_internal.is_done()')
        then
          -- What is done is done, although its session ended with an error, a timeout or a cancel.
          perform pg_catalog.set_config('pyworker.job',
              pg_catalog.format('%s/%s 0', p_item.job_id, p_item.attempt), false);
          begin
            if (jobs_internal.ask(p_item, v_path) -> 'done')::boolean then
              p_ending.outcome := 'succeeded';
              p_ending.result := pg_catalog.jsonb_build_object('verified', true, 'despite',
                pg_catalog.format('%s: %s', v_outcome.sqlstate,
                    pg_catalog.left(v_outcome.message, 500)));
              p_ending.error := null;
            end if;
          exception when others then
            null;  -- then its error stands
          end;
          perform jobs_internal.reset_session(p_baseline);
        end if;
      else
        -- "Completed without error" is also what a session killed by FATAL reports; an empty
        -- command tag gives it away. A post-condition outranks both.
        p_ending.outcome := case when v_read or not v_let_go and v_outcome.completed
          then 'succeeded' end;
        p_ending.result := case when p_ending.outcome is not null
          then coalesce(v_row, pg_catalog.jsonb_build_object('command_tag',
                v_outcome.command_tag)) end;
        if p_item.done_when is not null then
          perform pg_catalog.set_config('pyworker.job',
              pg_catalog.format('%s/%s 0', p_item.job_id, p_item.attempt), false);
          begin
            v_said := jobs_internal.ask(p_item, v_path);
            if (v_said -> 'done')::boolean or (p_ending.outcome is not null and v_said ? 'only')
              then
              p_ending.outcome := 'succeeded';
              p_ending.result := coalesce(p_ending.result, '{}')
                operator(pg_catalog.||) '{"verified": true}';
            elsif p_ending.outcome is not null
              and (v_said ->> 'done' is null or v_said ?| array['made', 'skipped']) then
              p_ending.result := p_ending.result operator(pg_catalog.||) '{"verified": false}'
                operator(pg_catalog.||) (v_said - 'done');
            elsif v_said ->> 'done' is not null and (p_ending.outcome is not null or v_let_go) then
              p_ending.outcome := 'failed';
              p_ending.error := jobs_internal.error_object('PW043',
                  'the statement ended, but its post-condition is not true',
                    v_said operator(pg_catalog.->>) 'why',
                'Look at what it left behind.');
            end if;
          exception when others then
            get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
            p_ending.error := jobs_internal.error_object(v_state, v_message,
                pg_catalog.format('%s, but its post-condition could not be asked: %s.',
              case when p_ending.outcome is null then 'It ended unseen'
                else 'It ran without an error' end, p_item.done_when),
              'Look whether it did its work. A retry helps only where the condition can be asked '
              'then; else select jobs.dismiss(id).');
            p_ending.outcome := 'in_doubt';
          end;
          perform jobs_internal.reset_session(p_baseline);
        elsif p_ending.outcome is not null and p_item.statement is not null then
          -- A statement of which nothing shows what it did, or which cannot be read for sure: the
          -- result says so.
          v_said := jobs_internal.unverified(p_item.job_id);
          p_ending.result := p_ending.result operator(pg_catalog.||) coalesce(v_said, '{}');
        end if;
        if p_ending.outcome is null then
          -- as in a rescue: a watcher of a dying server judges no job
          perform pg_catalog.pg_sleep(0.2);
          p_ending.outcome := case when v_let_go then 'in_doubt' when v_reason is not null
            then v_reason
            when jobs_internal.shutting_down() then 'interrupted'
            -- it never began: its owner may not log in any more
            when v_child_start is null and not jobs_internal.may_connect() then 'no_slot'
            else 'lost' end;
          p_ending.error := case p_ending.outcome
            when 'in_doubt' then jobs_internal.error_object('PWD01', 'the statement ended unseen',
                'It sent more messages than its queue holds.',
              'Look whether it did its work; give it done_when the next time.')
            when 'lost' then jobs_internal.error_object('PWL01', 'the child session died',
                'It ended without an error of its own (FATAL).',
              'Look in the server log.')
            else jobs_internal.stop_error(p_ending.outcome, p_item.timeout_ms * interval '1 ms',
                'Its session was ended.') end;
        end if;
      end if;
    end if;
  end if;
  p_ending.finished_at := coalesce(p_ending.finished_at, pg_catalog.clock_timestamp());
  if p_ending.outcome operator(pg_catalog.=) 'succeeded' and v_figures is not null then
    begin
      p_ending := jobs_internal.with_child_cost(p_ending, v_figures,
          jobs_internal.child_figures(v_text));
    exception
      when query_canceled then
        null;  -- it has ended: what it cost is worth no more
    end;
  end if;
end
$$;

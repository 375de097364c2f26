-- Running jobs in the worker session's own transaction: one by one, each in a subtransaction; or, where that is safe, many in a row without.
--
-- They run as the owner, in a session that was authenticated as the owner, so these functions are invoker. They set the owner's search_path
-- for the duration of a job, and leave ours.

-- Purpose: what an interruption of the present attempt means: the committed reason, or null when there is none. Waits for one for up to
-- a second, unless the server shuts down.
create or replace function jobs_internal.why_stopped(p_job bigint, p_attempt integer)
returns text
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz := pg_catalog.clock_timestamp() + interval '1 second';
  v_reason text;
begin
  loop
    v_reason := jobs_internal.stop_reason(p_job, p_attempt);
    exit when v_reason is not null or jobs_internal.shutting_down() or pg_catalog.clock_timestamp() > v_until;
    perform pg_catalog.pg_sleep(0.02);
  end loop;
  return v_reason;
exception
  when query_canceled then
    return jobs_internal.stop_reason(p_job, p_attempt);
end
$$;
comment on function jobs_internal.why_stopped(bigint, integer) is 'The committed reason for an interruption, waited for up to a second; null: none';

-- Purpose: how an attempt ended that a signal cut off.
create or replace function jobs_internal.cut_off(
  p_item jobs_internal.work_item,
  p_started_at timestamptz,
  p_context text,
  p_message text default null
)
returns jobs_internal.ending
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ending jobs_internal.ending;
begin
  v_ending.job_id := p_item.job_id;
  v_ending.attempt := p_item.attempt;
  v_ending.started_at := p_started_at;
  v_ending.finished_at := pg_catalog.clock_timestamp();
  v_ending.shape_id := p_item.shape_id;
  v_ending.queued_at := p_item.queued_at;
  v_ending.task := p_item.task;
  v_ending.outcome := coalesce(jobs_internal.why_stopped(p_item.job_id, p_item.attempt), 'interrupted');
  v_ending.error := jobs_internal.stop_error(v_ending.outcome, p_item.timeout_ms * interval '1 ms',
    case v_ending.outcome when 'timed_out' then 'The supervisor cancelled its session.' end, p_context);
  if v_ending.outcome = 'interrupted' and p_message is not null then
    v_ending.error := jobs_internal.error_object('57014', p_message, null, null, p_context);
  end if;
  return v_ending;
end
$$;
comment on function jobs_internal.cut_off(jobs_internal.work_item, timestamptz, text, text) is 'How an attempt ended that a signal cut off';

-- Purpose: how an attempt ended whose own ending cannot be written down: too large for a row, say. Nothing of what the job said is in it.
create or replace function jobs_internal.spoiled(p_ending jobs_internal.ending, p_sqlstate text, p_message text)
returns jobs_internal.ending
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  p_ending.outcome := case when p_ending.child_pid is null then 'failed' else 'in_doubt' end;
  p_ending.result := null;
  p_ending.logs := null;
  p_ending.error := jobs_internal.error_object(p_sqlstate, 'its end cannot be written down: ' || pg_catalog.left(p_message, 500),
    case when p_ending.child_pid is null then 'What it did was undone.' else 'What the statement did was not undone.' end,
    'Let it return and log less. A retry cannot help.');
  return p_ending;
end
$$;
comment on function jobs_internal.spoiled(jobs_internal.ending, text, text) is 'How an attempt ended whose own ending cannot be written down';

-- Purpose: run one job in a subtransaction and say how it ended. Leaves the session washed and its search_path ours.
-- p_fence: the session number when the job runs alone (its fence is asked inside), null in a chunk. p_measure: what it costs as well.
-- Assignments, not PERFORM: an expression without a query costs a third of a query.
create or replace function jobs_internal.run_one(
  p_item jobs_internal.work_item,
  p_fence bigint,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measure boolean
)
returns jobs_internal.ending
language plpgsql volatile
as $$
declare
  v_ending jobs_internal.ending;
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
  v_ending.shape_id := p_item.shape_id;
  v_ending.queued_at := p_item.queued_at;
  v_ending.task := p_item.task;
  v_ending.started_at := pg_catalog.clock_timestamp();
  v_name := p_item.job_id || '/' || p_item.attempt || ' ' || (extract(epoch from v_ending.started_at) * 1000)::bigint;
  v_void := pg_catalog.set_config('pyworker.job', v_name, false);
  v_void := pg_catalog.set_config('application_name', 'pw ' || v_name, false);
  if p_item.timeout_ms is not null then
    -- A backstop of the server's own, should no supervisor live. 0 first: only that arms it again inside a transaction.
    v_void := pg_catalog.set_config('transaction_timeout', '0', false);
    v_void := pg_catalog.set_config('transaction_timeout', least(p_item.timeout_ms + p_margin_ms, 2147483647)::text, false);
  end if;
  v_void := pg_catalog.set_config('search_path', coalesce(p_item.path, p_path), false);
  begin
    if p_item.settings is not null then
      for v_name, v_value in select s.key, s.value from pg_catalog.jsonb_each_text(p_item.settings) as s loop
        perform pg_catalog.set_config(v_name, v_value, false);
      end loop;
    end if;
    if p_item.mode operator(pg_catalog.=) 'refused' then
      raise exception using errcode = 'PW042', message = p_item.call, detail = 'It was otherwise when the job was enqueued.',
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
        v_result := jobs_internal.kept_result();
      end if;
      if pg_catalog.starts_with(p_item.call, 'select jobs_internal.capped(') then
        v_rows := pg_catalog.jsonb_array_length(v_result);
      end if;
      if v_result is not null and pg_catalog.pg_column_size(v_result) operator(pg_catalog.>) 500
        and pg_catalog.octet_length(v_result::pg_catalog.text) operator(pg_catalog.>) jobs_internal.result_limit() then
        raise exception using errcode = 'PW040', message = 'the result is larger than the setting result_bytes, or the quota of its owner',
          detail = pg_catalog.format('It has %s bytes.', pg_catalog.octet_length(v_result::pg_catalog.text)),
          hint = 'Write large results into a table. A retry cannot help.';
      end if;
    else
      if p_item.task operator(pg_catalog.=) any (array['analyze', 'analyse']) then
        v_name := pg_catalog.current_setting('search_path');
        v_skip := jobs_internal.passed_over((jobs_internal.noted(p_item.job_id)).target, v_name);
        if v_skip is null then
          perform jobs_internal.note_identity(p_fence, p_item.job_id, v_name);
        end if;
        v_void := pg_catalog.set_config('search_path', v_name, false);
        if v_skip is not null then
          raise exception using errcode = v_skip operator(pg_catalog.->>) 'sqlstate', message = v_skip operator(pg_catalog.->>) 'message',
            detail = v_skip operator(pg_catalog.->>) 'detail', hint = v_skip operator(pg_catalog.->>) 'hint';
        end if;
      end if;
      -- Its strings are read as they were when it was checked.
      v_void := pg_catalog.set_config('standard_conforming_strings', 'on', false);
      if p_measure then
        execute jobs_internal.measured('select jobs_internal.run_statement($1)', true) into v_plan using p_item.statement;
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
          v_result := v_result operator(pg_catalog.||) '{"verified": false}' operator(pg_catalog.||) (v_skip operator(pg_catalog.-) 'done');
        elsif v_skip operator(pg_catalog.->>) 'done' operator(pg_catalog.=) 'false' then
          raise exception using errcode = 'PW043', message = 'the statement ran, but its post-condition is not true',
            detail = v_skip operator(pg_catalog.->>) 'why',
            hint = 'What it did was undone. Name the tables and partitions that it can work on. A retry cannot help.';
        end if;
      end if;
      if p_item.done_when is not null then
        v_asked := true;
        execute p_item.done_when into v_done;
        v_asked := false;
        if v_done is not true then
          raise exception using errcode = 'PW043', message = 'the statement ran, but its post-condition is not true',
            detail = p_item.done_when, hint = 'What it did was undone. Check done_when.';
        end if;
      end if;
    end if;
    -- Also what it made itself: a temporary table with deferred checks pending cannot be dropped.
    v_ending.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0;
    if v_ending.last then
      v_ending.last := exists (select from pg_catalog.pg_class as c where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
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
      v_ending := jobs_internal.cut_off(p_item, v_ending.started_at, v_context, v_message);
    when others or assert_failure then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text, v_detail := pg_exception_detail,
        v_hint := pg_exception_hint, v_context := pg_exception_context, v_constraint := constraint_name, v_table := table_name;
      v_ending.outcome := 'failed';
      v_ending.error := jobs_internal.error_object(v_state, v_message,
        case when v_asked then pg_catalog.concat_ws(' ', pg_catalog.format('Raised by its post-condition: %s.', p_item.done_when),
          case when v_detail operator(pg_catalog.<>) '' then v_detail end) else v_detail end,
        v_hint, v_context, v_constraint, v_table);
  end;
  v_ending.finished_at := pg_catalog.clock_timestamp();
  -- A job that succeeded says by this setting whether it logged; after a rollback the setting is gone, so one looks.
  if v_ending.outcome operator(pg_catalog.<>) 'succeeded' or pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
    begin
      v_ending.logs := jobs_internal.collect_log();
    exception
      when data_exception then
        null;  -- the job prepared statements of that name itself, and they are no lines
    end;
  end if;
  v_renames := p_fence is null and not pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'pw ');
  v_void := jobs_internal.wash(p_baseline);
  if v_renames then
    -- By its name a job in a chunk is known to those who watch: the worker lets this function run alone from now on.
    v_ending.last := true;
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  end if;
  return v_ending;
end
$$;
comment on function jobs_internal.run_one(jobs_internal.work_item, bigint, text, bigint, jsonb, boolean) is 'Runs one job in a subtransaction and says how it ended';

-- Purpose: run one short function job of a chunk without a subtransaction of its own, and say how it ended: an error is the caller's affair.
-- Leaves the session washed and its search_path ours. What run_one does for the jobs that never come here is left out: statements, settings,
-- post-conditions, fences.
create or replace function jobs_internal.run_plain(
  p_item jobs_internal.work_item,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measure boolean
)
returns jobs_internal.ending
language plpgsql volatile
as $$
declare
  v_ending jobs_internal.ending;
  v_result jsonb;
  v_plan json;
  v_name text;
  v_void text;
begin
  v_ending.job_id := p_item.job_id;
  v_ending.attempt := p_item.attempt;
  v_ending.shape_id := p_item.shape_id;
  v_ending.queued_at := p_item.queued_at;
  v_ending.task := p_item.task;
  v_ending.started_at := pg_catalog.clock_timestamp();
  v_name := p_item.job_id || '/' || p_item.attempt || ' ' || (extract(epoch from v_ending.started_at) * 1000)::bigint;
  v_void := pg_catalog.set_config('pyworker.job', v_name, false);
  v_void := pg_catalog.set_config('application_name', 'pw ' || v_name, false);
  if p_item.timeout_ms is not null then
    v_void := pg_catalog.set_config('transaction_timeout', '0', false);
    v_void := pg_catalog.set_config('transaction_timeout', least(p_item.timeout_ms + p_margin_ms, 2147483647)::text, false);
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
    v_result := jobs_internal.kept_result();
    v_ending := jobs_internal.with_cost(v_ending, v_plan);
  end if;
  if v_result is not null then
    if pg_catalog.pg_column_size(v_result) operator(pg_catalog.>) 500
      and pg_catalog.octet_length(v_result::pg_catalog.text) operator(pg_catalog.>) jobs_internal.result_limit() then
      raise exception using errcode = 'PW040', message = 'the result is larger than the setting result_bytes, or the quota of its owner';
    end if;
    if pg_catalog.starts_with(p_item.call, 'select jobs_internal.capped(') then
      v_ending.rows := pg_catalog.jsonb_array_length(v_result);
    end if;
  end if;
  v_ending.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0;
  if v_ending.last then
    v_ending.last := exists (select from pg_catalog.pg_class as c where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
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
    v_void := jobs_internal.wash(p_baseline);
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  else
    v_void := jobs_internal.wash(p_baseline);
  end if;
  return v_ending;
end
$$;
comment on function jobs_internal.run_plain(jobs_internal.work_item, text, bigint, jsonb, boolean) is 'Runs one short function job without a subtransaction of its own';

-- Purpose: run the jobs of a chunk, in the transaction that has opened it. Short functions that have proved themselves run in a row inside
-- one subtransaction, more of them to a commit; where one of them fails after all, or a signal comes, that subtransaction is undone
-- and all of them run again, now each in a subtransaction of its own, which tells whose error it is. So what they did in the database is done
-- once, as always.
-- p_plain: all of them have proved themselves. p_most: no more jobs than this, each with a subtransaction. p_backend: number of this backend
-- among the server's, for the count of its subtransactions. p_measured: functions that need not be measured; null: none is.
create or replace function jobs_internal.run_chunk(
  p_items jobs_internal.work_item[],
  p_plain boolean,
  p_most integer,
  p_ms bigint,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_measured integer[],
  p_backend integer
)
returns jobs_internal.chunk_run
language plpgsql volatile
as $$
declare
  v_run jobs_internal.chunk_run;
  v_item jobs_internal.work_item;
  v_ending jobs_internal.ending;
  v_cut jobs_internal.ending;
  v_endings jobs_internal.ending[];
  v_msg_ids bigint[];
  v_shapes integer[];
  v_until timestamptz;
  v_began timestamptz;
  v_n integer;
  v_measure boolean;
  v_context text;
  v_message text;
  v_void text;
begin
  v_run.plain := p_plain;
  v_run.leave := false;
  loop
    v_until := pg_catalog.clock_timestamp() + p_ms * interval '1 ms';
    v_endings := '{}';
    v_msg_ids := '{}';
    v_shapes := '{}';
    v_n := 0;
    begin
      foreach v_item in array p_items loop
        v_ending := null;
        if v_item.mode = 'chunk' then
          v_n := v_n + 1;
          v_measure := false;
          if v_item.shape_id <> all (v_shapes) then
            v_shapes := v_shapes || v_item.shape_id;
            v_measure := p_measured is not null and v_item.shape_id <> all (p_measured);
          end if;
          if v_run.plain then
            v_began := pg_catalog.clock_timestamp();
            v_ending := jobs_internal.run_plain(v_item, p_path, p_margin_ms, p_baseline, v_measure);
          elsif v_cut.job_id = v_item.job_id then
            v_ending := v_cut;
          else
            v_ending := jobs_internal.run_one(v_item, null, p_path, p_margin_ms, p_baseline, v_measure);
          end if;
        elsif v_item.mode = 'stop' then
          v_ending.job_id := v_item.job_id;
          v_ending.attempt := v_item.attempt;
          v_ending.outcome := 'cancelled';
          v_ending.finished_at := pg_catalog.clock_timestamp();
          v_ending.error := jobs_internal.error_object('PWC01', 'cancelled on request', 'It had not started.');
        end if;
        v_msg_ids := v_msg_ids || v_item.msg_id;
        if v_ending.job_id is not null then
          v_endings := v_endings || v_ending;
          v_run.leave := v_ending.outcome = 'interrupted';
        end if;
        exit when v_run.leave or v_ending.last or pg_catalog.clock_timestamp() > v_until;
        if v_run.plain then
          -- Functions that catch errors make subtransactions of their own; over 64 would slow other sessions.
          if v_n % 20 = 0 then
            v_void := pg_catalog.pg_stat_clear_snapshot();
            exit when (select s.subxact_count > 40 from pg_catalog.pg_stat_get_backend_subxact(p_backend) as s);
          end if;
        else
          exit when v_n >= p_most;
        end if;
      end loop;
      exit;
    exception
      when query_canceled then
        if not v_run.plain then
          raise;
        end if;
        get stacked diagnostics v_context := pg_exception_context, v_message := message_text;
        v_cut := jobs_internal.cut_off(v_item, v_began, v_context, v_message);
        if v_cut.outcome = 'interrupted' then
          -- Nobody knows why: sent home. The others were not touched, and go back.
          v_endings := case when v_cut.job_id is null then '{}' else array[v_cut] end;
          v_msg_ids := case when v_cut.job_id is null then '{}' else array[v_item.msg_id] end;
          v_shapes := '{}';
          v_run.leave := true;
          exit;
        end if;
      when others or assert_failure then
        if not v_run.plain then
          raise;
        end if;
        v_run.distrust := v_item.shape_id;
    end;
    v_run.plain := false;
    v_void := jobs_internal.wash(p_baseline);
  end loop;
  v_run.endings := v_endings;
  v_run.msg_ids := v_msg_ids;
  v_run.shapes := v_shapes;
  return v_run;
end
$$;
comment on function jobs_internal.run_chunk(jobs_internal.work_item[], boolean, integer, bigint, text, bigint, jsonb, integer[], integer) is 'Runs the jobs of a chunk';

-- Purpose: what there is to learn from some endings: one lesson for each function and kind of statement.
create or replace function jobs_internal.lessons(p_lane integer, p_endings jobs_internal.ending[], p_renames boolean)
returns jobs_internal.lesson[]
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_one jobs_internal.ending;
begin
  if pg_catalog.cardinality(p_endings) = 1 then
    v_one := p_endings[1];
    return array[row(p_lane, v_one.shape_id, v_one.task, 1, case when v_one.outcome <> 'succeeded' then 1 else 0 end,
      coalesce(extract(epoch from v_one.finished_at - v_one.started_at)::double precision * 1000, 0),
      coalesce(greatest(extract(epoch from v_one.started_at - v_one.queued_at)::double precision * 1000, 0), 0),
      coalesce(p_renames and v_one.last, false), case when v_one.wal_bytes is null then 0 else 1 end, v_one.rows, v_one.wal_bytes, v_one.buffers_hit,
      v_one.buffers_read, v_one.buffers_dirtied, v_one.temp_bytes)::jobs_internal.lesson];
  end if;
  return array(
    select row(p_lane, e.shape_id, e.task, count(*), count(*) filter (where e.outcome <> 'succeeded'),
      coalesce(sum(extract(epoch from e.finished_at - e.started_at)::double precision * 1000), 0),
      coalesce(sum(greatest(extract(epoch from e.started_at - e.queued_at)::double precision * 1000, 0)), 0),
      coalesce(p_renames and bool_or(e.last), false), count(e.wal_bytes), sum(e.rows), sum(e.wal_bytes), sum(e.buffers_hit), sum(e.buffers_read),
      sum(e.buffers_dirtied), sum(e.temp_bytes))::jobs_internal.lesson
    from unnest(p_endings) as e
    group by e.shape_id, e.task);
end
$$;
comment on function jobs_internal.lessons(integer, jobs_internal.ending[], boolean) is 'What there is to learn from some endings';

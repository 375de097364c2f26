-- The worker session: one procedure that claims, runs and commits until its work or its time is over.
--
-- It runs as the owner, in a session that was authenticated as the owner, so these procedures are invoker and cannot carry a SET clause
-- (procedures that commit cannot). They set search_path themselves, and set the owner's own path for the duration of a job. What needs
-- our rights is in the definer functions that they call. No transaction is open while they wait.

-- Purpose: put the session back to its baseline after a job. Nothing of a job may be seen by the next one. Costs some 16 us.
-- The caller's search_path afterwards is ours.
create or replace function jobs_internal.wash(p_baseline jsonb)
returns void
language plpgsql volatile
as $$
begin
  execute 'close all';  -- CLOSE is a statement of PL/pgSQL's own otherwise
  reset role;
  reset all;
  unlisten *;
  deallocate all;
  discard temp;
  discard sequences;
  perform pg_catalog.pg_advisory_unlock_all(), pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  if p_baseline is not null then
    perform pg_catalog.set_config(s.key, s.value, false) from pg_catalog.jsonb_each_text(p_baseline) as s;
  end if;
end
$$;
comment on function jobs_internal.wash(jsonb) is 'Puts a worker session back to its baseline after a job';

-- Purpose: what must be set again after each RESET ALL, asked right after one. Two things: the worker's own time limits and isolation, which
-- are the jobs' and not the role's; and what ALTER ROLE and ALTER DATABASE say, where RESET ALL does not bring it back because the session
-- that launched this one had set it. Returns setting -> value; null when RESET ALL alone does, so that a job need not pay for it.
create or replace function jobs_internal.baseline()
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  with own (name, value) as (
    values ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
      ('default_transaction_isolation', 'read committed'), ('default_transaction_read_only', 'off'), ('default_transaction_deferrable', 'off'),
      ('pg_background.worker_timeout', '0')
  ), role (name, value) as (
    select distinct on (c.setting[1]) c.setting[1], c.setting[2]
    from pg_catalog.pg_db_role_setting as d
    cross join lateral (select pg_catalog.regexp_match(e, '^([^=]+)=(.*)$') as setting from pg_catalog.unnest(d.setconfig) as e) as c
    where d.setrole in (0, pg_catalog.quote_ident(session_user)::regrole::oid)
      and d.setdatabase in (0, (select b.oid from pg_catalog.pg_database as b where b.datname = pg_catalog.current_database()))
    order by c.setting[1], d.setrole <> 0 desc, d.setdatabase <> 0 desc
  ), wished as (
    select o.name, o.value from own as o
    union all
    select r.name, r.value from role as r where r.name not in (select o.name from own as o) and r.name <> 'search_path'
  )
  select pg_catalog.jsonb_object_agg(w.name, w.value)
  from wished as w
  join pg_catalog.pg_settings as g on g.name = w.name
  where g.context in ('user', 'superuser') and pg_catalog.current_setting(w.name) is distinct from w.value
    and (g.context = 'user' or pg_catalog.has_parameter_privilege(session_user, w.name, 'SET'));
end;
comment on function jobs_internal.baseline() is 'What a worker session sets again after each RESET ALL; null: nothing';

-- Purpose: the search_path that the login has of itself: ALTER ROLE, ALTER DATABASE, or the server's.
create or replace function jobs_internal.own_path()
returns text
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select coalesce((
    select pg_catalog.substr(e, 13)
    from pg_catalog.pg_db_role_setting as d
    cross join lateral pg_catalog.unnest(d.setconfig) as e
    where pg_catalog.starts_with(e, 'search_path=')
      and d.setrole in (0, pg_catalog.quote_ident(session_user)::regrole::oid)
      and d.setdatabase in (0, (select b.oid from pg_catalog.pg_database as b where b.datname = pg_catalog.current_database()))
    order by d.setrole <> 0 desc, d.setdatabase <> 0 desc
    limit 1), (select g.reset_val from pg_catalog.pg_settings as g where g.name = 'search_path'));
end;
comment on function jobs_internal.own_path() is 'The search_path that the login has of itself';

-- Purpose: collect the lines that the job wrote with jobs.log. They are kept as prepared statements, the one thing in a session that a
-- rollback leaves alone; in base64, so that no quoting rule touches them. A job may have prepared statements of such names itself.
-- Returns null when there are none.
create or replace function jobs_internal.collect_log()
returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.jsonb_agg(p.line::jsonb order by p.name)
  from (
    select s.name, pg_catalog.convert_from(pg_catalog.decode(m.parts[1], 'base64'), 'UTF8') as line
    from pg_catalog.pg_prepared_statements as s
    cross join lateral pg_catalog.regexp_match(s.statement, '^prepare pyworker_log_\d{9} as select ''pyworker:([A-Za-z0-9+/=]+)''$') as m(parts)
    where s.name like 'pyworker\_log\_%' and m.parts is not null
    offset 0
  ) as p
  where pg_catalog.pg_input_is_valid(p.line, 'jsonb');
end;
comment on function jobs_internal.collect_log() is 'The lines that the job wrote with jobs.log; null: none';

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
-- p_fence: the session number when the job runs alone (its fence is asked inside), null in a chunk.
create or replace function jobs_internal.run_one(
  p_item jobs_internal.work_item,
  p_fence bigint,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb
)
returns jobs_internal.ending
language plpgsql volatile
as $$
declare
  v_ending jobs_internal.ending;
  v_result jsonb;
  v_rows bigint;
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
begin
  v_ending.job_id := p_item.job_id;
  v_ending.attempt := p_item.attempt;
  v_ending.started_at := pg_catalog.clock_timestamp();
  v_name := p_item.job_id || '/' || p_item.attempt || ' ' || (extract(epoch from v_ending.started_at) * 1000)::bigint;
  perform pg_catalog.set_config('pyworker.job', v_name, false), pg_catalog.set_config('application_name', 'pw ' || v_name, false);
  if p_item.timeout_ms is not null then
    -- A backstop of the server's own, should no supervisor live. 0 first: only that arms it again inside a transaction.
    perform pg_catalog.set_config('transaction_timeout', '0', false);
    perform pg_catalog.set_config('transaction_timeout', least(p_item.timeout_ms + p_margin_ms, 2147483647)::text, false);
  end if;
  perform pg_catalog.set_config('search_path', p_path, false);
  begin
    if p_item.settings is not null then
      for v_name, v_value in select s.key, s.value from pg_catalog.jsonb_each_text(p_item.settings) as s loop
        perform pg_catalog.set_config(v_name, v_value, false);
      end loop;
    end if;
    if p_item.mode operator(pg_catalog.=) 'refused' then
      raise exception using errcode = 'PW042', message = p_item.call, detail = 'It was there when the job was enqueued.',
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
      execute p_item.call into v_result using p_item.args;
      if current_user operator(pg_catalog.<>) session_user then
        reset role;  -- what follows is for the owner only
      end if;
      if pg_catalog.pg_column_size(v_result) operator(pg_catalog.>) 100000
        and pg_catalog.octet_length(v_result::text) operator(pg_catalog.>) jobs_internal.setting('result_bytes')::integer then
        raise exception using errcode = 'PW040', message = 'the result is larger than the setting result_bytes',
          detail = pg_catalog.format('It has %s bytes.', pg_catalog.octet_length(v_result::text)),
          hint = 'Write large results into a table. A retry cannot help.';
      end if;
    else
      -- Its strings are read as they were when it was checked.
      perform pg_catalog.set_config('standard_conforming_strings', 'on', false);
      execute p_item.statement;
      get diagnostics v_rows := row_count;
      reset role;
      v_result := pg_catalog.jsonb_build_object('rows', v_rows);
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
    v_ending.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0 and exists (
      select from pg_catalog.pg_class as c where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
    if p_item.constraints or p_fence is not null or v_ending.last then
      set constraints all immediate;
    end if;
    if p_fence is not null then
      perform jobs_internal.fence(p_fence, p_item.job_id, p_item.attempt);
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
        case when v_asked then pg_catalog.concat_ws(' ', 'Raised by its post-condition: ' || p_item.done_when || '.', nullif(v_detail, '')) else v_detail end,
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
  perform jobs_internal.wash(p_baseline);
  if v_renames then
    -- By its name a job in a chunk is known to those who watch: the worker lets this function run alone from now on.
    v_ending.last := true;
    perform pg_catalog.set_config('pyworker.renames', 'on', false);
  end if;
  return v_ending;
end
$$;
comment on function jobs_internal.run_one(jobs_internal.work_item, bigint, text, bigint, jsonb) is 'Runs one job in a subtransaction and says how it ended';

-- Purpose: run one top-level statement in a child session and watch it. Commits as it goes; no snapshot is held between two looks.
create or replace procedure jobs_internal.run_child(
  p_session bigint,
  p_item jobs_internal.work_item,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  inout p_ending jobs_internal.ending
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
begin
  p_ending := null;
  p_ending.job_id := p_item.job_id;
  p_ending.attempt := p_item.attempt;
  p_ending.started_at := pg_catalog.clock_timestamp();
  v_name := p_item.job_id || '/' || p_item.attempt || ' ' || (extract(epoch from p_ending.started_at) * 1000)::bigint;
  -- The child inherits what this session has set at the launch: the job's own settings, the owner's path, and its name. Its time limit
  -- stands a little behind the job's own timeout, should no supervisor live.
  begin
    perform pg_catalog.set_config('pyworker.job', v_name, false), pg_catalog.set_config('pyworker.child', 'on', false),
      pg_catalog.set_config('application_name', 'pw ' || v_name, false);
    if p_item.verify and p_item.done_when is not null then
      perform pg_catalog.set_config('search_path', p_path, false);
      execute p_item.done_when into v_done;
      perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
    end if;
    if v_done then
      p_ending.outcome := 'succeeded';
      p_ending.result := '{"verified": true}';
    elsif p_item.mode operator(pg_catalog.=) 'refused' then
      p_ending.outcome := 'failed';
      p_ending.error := jobs_internal.error_object('PW042', p_item.call, 'It was there when the job was enqueued.',
        'Enqueue the job again for the function as it is now.');
    else
      -- Nobody reads its notices, and too many of them would fill its queue. Its strings are read as they were when it was checked.
      perform pg_catalog.set_config('client_min_messages', 'error', false), pg_catalog.set_config('standard_conforming_strings', 'on', false);
      -- LEAST ignores nulls: without a timeout this must say 0 itself.
      perform pg_catalog.set_config('statement_timeout',
        case when p_item.timeout_ms is null then 0 else least(p_item.timeout_ms + p_margin_ms, 2147483647) end::text, false);
      v_label := p_item.job_id || '/' || p_item.attempt;
      -- From here on the owner's path rules, and then the job's own settings, which may name another.
      perform pg_catalog.set_config('search_path', p_path, false);
      for v_name, v_value in select s.key, s.value from pg_catalog.jsonb_each_text(coalesce(p_item.settings, '{}')) as s loop
        perform pg_catalog.set_config(v_name, v_value, false);
      end loop;
      select h.pid, h.cookie into v_pid, v_cookie from jobs_internal.launch_child(coalesce(p_item.statement, p_item.call), v_label) as h;
    end if;
  exception
    when insufficient_resources or configuration_limit_exceeded or too_many_connections then
      -- No worker slot: that is back-pressure, never the job's failure. Uncharged, a little later again.
      p_ending.outcome := 'no_slot';
    when query_canceled then
      -- A child that was launched is watched, whatever happened here. Where the signal came between its start and our knowledge of it, it is
      -- looked for below.
      v_lost := v_pid is null;
    when others then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
      p_ending.outcome := 'failed';
      p_ending.error := jobs_internal.error_object(v_state, v_message);
  end;
  perform jobs_internal.wash(p_baseline);
  perform pg_catalog.set_config('application_name', 'pw ' || p_item.job_id || '/' || p_item.attempt || ' '
    || (extract(epoch from p_ending.started_at) * 1000)::bigint, false);
  if v_lost then
    -- It is known by the name that it got at its launch, as soon as it has connected; later than that it cannot start any more.
    v_until := pg_catalog.clock_timestamp() + interval '2 seconds';
    loop
      begin
        v_reason := jobs_internal.stop_reason(p_item.job_id, p_item.attempt);
        select f.pid, f.child_start into v_pid, v_child_start from jobs_internal.find_child(p_session, p_item.job_id, p_item.attempt) as f;
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
    -- Its identity is its pid and its start, and pg_stat_activity knows the start only once it has connected.
    loop
      begin
        v_child_start := jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt, v_pid);
      exception
        when insufficient_resources or io_error or system_error then
          v_noted := false;  -- a full disk: it is watched all the same, and noted once there is room
          exit;
      end;
      exit when v_child_start is not null or jobs_internal.wait_child(v_pid, v_cookie, 1);
      perform pg_catalog.pg_sleep(0.001);  -- ends this session when the postmaster is gone; waiting for a child does not
    end loop;
  end if;
  commit;

  if p_ending.outcome is null then
    p_ending.child_pid := v_pid;
    -- A nap is short at first and grows, so that short statements end at once and long ones cost nothing.
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
        if not v_gone and not v_noted and v_nap >= 0.05 then
          begin
            v_child_start := jobs_internal.note_child(p_session, p_item.job_id, p_item.attempt, v_pid);
            v_noted := v_child_start is not null;
          exception
            when insufficient_resources or io_error or system_error then
              null;
          end;
        end if;
        if not v_gone and v_nap >= 0.05 and p_item.timeout_ms is not null
          and pg_catalog.clock_timestamp() > p_ending.started_at + (p_item.timeout_ms + p_margin_ms) * interval '1 ms'
        then
          -- The server's own limit has fired and it goes on, and no supervisor sees to it: the watcher does.
          perform jobs_internal.press_late_child(p_session, p_item.job_id, p_item.attempt);
        end if;
        if not v_gone and not v_let_go and v_noted and v_nap >= 0.05 and jobs_internal.child_is_stuck(v_pid) then
          -- Its messages fill the queue that nobody can read without holding a snapshot: let go of it, so that it goes on. The price is
          -- its error details; the post-condition, or in_doubt, decides.
          perform jobs_internal.detach_child(v_pid, v_cookie);
          v_let_go := true;
          select false as completed, false as has_error, '' as command_tag into v_outcome;
        end if;
      exception
        when query_canceled then
          -- The watcher was signalled, not the child. With a reason: the supervisor signals the child as well. Without one: leave; the child
          -- is found by its pid and start. Where the clock was set back during its nap, it was only woken up (end_naps).
          if pg_catalog.clock_timestamp() >= v_looked and jobs_internal.why_stopped(p_item.job_id, p_item.attempt) is null then
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
        perform jobs_internal.detach_child(v_pid, v_cookie);
      end if;
      p_ending.finished_at := pg_catalog.clock_timestamp();
      if not v_let_go and v_outcome.completed and v_outcome.has_error then
        p_ending.outcome := case when v_outcome.sqlstate = '57014' then coalesce(v_reason,
          case when p_item.timeout_ms is not null and p_ending.finished_at >= p_ending.started_at + (p_item.timeout_ms + p_margin_ms) * interval '1 ms' then 'timed_out'
          else 'interrupted' end)
          -- Its owner was renamed under this session, which passes on the old name: the child never began, and another session launches it.
          when v_outcome.sqlstate = '22023' and pg_catalog.strpos(v_outcome.message, '"' || pg_catalog.current_setting('session_authorization') || '"') > 0
            then 'no_slot'
          else 'failed' end;
        p_ending.error := case when p_ending.outcome in ('timed_out', 'cancelled') then
            jobs_internal.stop_error(p_ending.outcome, p_item.timeout_ms * interval '1 ms', 'Its session was cancelled.', v_outcome.context)
          else jobs_internal.error_object(v_outcome.sqlstate, v_outcome.message, v_outcome.detail, v_outcome.hint, v_outcome.context,
            v_outcome.constraint_name, v_outcome.table_name) end;
      else
        -- "Completed without error" is also what a session killed by FATAL reports; an empty command tag gives it away. A post-condition
        -- outranks both.
        p_ending.outcome := case when not v_let_go and v_outcome.completed and coalesce(v_outcome.command_tag, '') <> '' then 'succeeded' end;
        p_ending.result := case when p_ending.outcome is not null then pg_catalog.jsonb_build_object('command_tag', v_outcome.command_tag) end;
        if p_item.done_when is not null then
          perform pg_catalog.set_config('search_path', p_path, false),
            pg_catalog.set_config('pyworker.job', p_item.job_id || '/' || p_item.attempt || ' 0', false);
          begin
            execute p_item.done_when into v_done;
            if v_done then
              p_ending.outcome := 'succeeded';
              p_ending.result := coalesce(p_ending.result, '{}') operator(pg_catalog.||) '{"verified": true}';
            elsif p_ending.outcome is not null or v_let_go then
              p_ending.outcome := 'failed';
              p_ending.error := jobs_internal.error_object('PW043', 'the statement ended, but its post-condition is not true', p_item.done_when,
                'Look at what it left behind.');
            end if;
          exception when others then
            get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
            p_ending.outcome := 'in_doubt';
            p_ending.error := jobs_internal.error_object(v_state, v_message, 'Its post-condition could not be asked.', 'Look, then select jobs.retry(id).');
          end;
          perform jobs_internal.wash(p_baseline);
        end if;
        if p_ending.outcome is null then
          perform pg_catalog.pg_sleep(0.2);  -- as in a rescue: a watcher of a dying server judges nobody
          p_ending.outcome := case when v_let_go then 'in_doubt' when v_reason is not null then v_reason
            when jobs_internal.shutting_down() then 'interrupted'
            when v_child_start is null and not jobs_internal.may_connect() then 'no_slot'  -- it never began: its owner may not log in any more
            else 'lost' end;
          p_ending.error := case p_ending.outcome
            when 'in_doubt' then jobs_internal.error_object('PWD01', 'the statement ended unseen', 'It sent more messages than its queue holds.',
              'Look whether it did its work; give it done_when the next time.')
            when 'lost' then jobs_internal.error_object('PWL01', 'the child session died', 'It ended without an error of its own (FATAL).',
              'Look in the server log.')
            else jobs_internal.stop_error(p_ending.outcome, p_item.timeout_ms * interval '1 ms', 'Its session was ended.') end;
        end if;
      end if;
    end if;
  end if;
  p_ending.finished_at := coalesce(p_ending.finished_at, pg_catalog.clock_timestamp());
end
$$;
comment on procedure jobs_internal.run_child(bigint, jobs_internal.work_item, text, bigint, jsonb, jobs_internal.ending) is 'Runs one top-level statement in a child session and watches it';

-- Purpose: the worker session itself. p_linger_ms: how long it waits for more work before it ends. p_wait_xid: a transaction to wait for
-- (the one that launched it), so that it sees what was enqueued there.
create or replace procedure jobs_internal.work(p_linger_ms integer, p_wait_xid text)
language plpgsql
as $$
declare
  v_session bigint;
  v_path text;
  v_baseline jsonb;
  v_margin bigint;
  v_short double precision;
  v_chunk_jobs integer;
  v_chunk_ms bigint;
  v_until timestamptz;
  v_max_jobs bigint;
  v_claim jobs_internal.claim;
  v_place integer;
  v_slice bigint[];
  v_items jobs_internal.work_item[];
  v_item jobs_internal.work_item;
  v_ending jobs_internal.ending;
  v_endings jobs_internal.ending[];
  v_msgs bigint[];
  v_chunk_start timestamptz;
  v_alone boolean := false;
  v_leave boolean := false;
  v_rest boolean := false;
  v_limit integer := 50;  -- grows with each full chunk; what a session claims and does not get to has to be given back
  v_jobs bigint := 0;
  v_idle timestamptz;
  v_napped timestamptz;
  v_life interval;
  v_waited timestamptz := pg_catalog.clock_timestamp();
  v_seen integer[] := '{}';
  v_runs bigint[] := '{}';
  v_ms double precision[] := '{}';
  v_names integer[] := '{}';
  v_k integer;
  v_place_of integer;
  v_shapes integer[];
  v_ok bigint := 0;
  v_bad bigint := 0;
  v_learned jsonb;
  v_left text[];
  v_unwritten boolean;
  v_spoiled boolean;
  v_state text;
  v_message text;
  v_ran double precision;
begin
  reset all;
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  v_path := jobs_internal.own_path();
  if current_user <> session_user then
    raise exception using errcode = 'PW051', message = 'a worker session must run as its own login',
      detail = pg_catalog.format('session_user is %s, current_user is %s.', session_user, current_user),
      hint = 'Start it without SET ROLE.';
  end if;
  v_baseline := jobs_internal.baseline();
  perform jobs_internal.wash(v_baseline);
  commit;
  while p_wait_xid is not null and pg_catalog.pg_xact_status(p_wait_xid::pg_catalog.xid8) = 'in progress'
    and pg_catalog.clock_timestamp() < v_waited + interval '60 seconds'
  loop
    commit;
    perform pg_catalog.pg_sleep(0.005);
  end loop;
  v_session := jobs_internal.open_session();
  v_margin := jobs_internal.setting('timeout_margin_ms')::bigint;
  v_short := jobs_internal.setting('short_ms')::double precision;
  v_chunk_jobs := jobs_internal.setting('chunk_jobs')::integer;
  v_chunk_ms := jobs_internal.setting('chunk_ms')::bigint;
  v_life := jobs_internal.setting('session_seconds')::integer * interval '1 second';
  v_until := pg_catalog.clock_timestamp() + v_life;
  v_max_jobs := jobs_internal.setting('session_jobs')::bigint;
  commit;

  loop
    v_learned := null;
    if v_ok + v_bad > 0 then
      select pg_catalog.jsonb_build_object('ok', v_ok, 'bad', v_bad, 'shapes', coalesce(pg_catalog.jsonb_object_agg(u.shape,
        pg_catalog.jsonb_build_array(u.runs, u.ms, u.renames)), '{}'))
      into v_learned
      from unnest(v_seen, v_runs, v_ms, v_names) as u(shape, runs, ms, renames);
      v_seen := '{}';
      v_runs := '{}';
      v_ms := '{}';
      v_names := '{}';
      v_ok := 0;
      v_bad := 0;
    end if;
    v_until := least(v_until, pg_catalog.clock_timestamp() + v_life);  -- the clock may have been set back
    exit when v_leave or pg_catalog.clock_timestamp() > v_until or v_jobs > v_max_jobs;
    perform pg_catalog.set_config('application_name', 'pw idle', false);
    v_claim := jobs_internal.claim(v_session, v_jobs, v_learned, v_rest, v_limit);
    v_learned := null;
    v_rest := false;
    commit;
    if v_claim.lane_id is null then
      v_idle := least(v_idle, pg_catalog.clock_timestamp());  -- the clock may have been set back
      exit when pg_catalog.clock_timestamp() > v_idle + p_linger_ms * interval '1 ms' and not (v_claim.waiting and p_linger_ms > 0);
      exit when jobs_internal.shutting_down();
      commit;
      v_napped := pg_catalog.clock_timestamp();
      begin
        perform pg_catalog.pg_sleep(0.01);
      exception
        -- Woken up because the clock was set back during its nap (end_naps), or sent home.
        when query_canceled then
          v_leave := pg_catalog.clock_timestamp() >= v_napped;
      end;
      commit;
      continue;
    end if;
    v_idle := null;
    v_place := 1;
    while v_place <= pg_catalog.cardinality(v_claim.msg_ids) and not v_leave loop
      v_slice := v_claim.msg_ids[v_place : v_place + case when v_alone then 0 else v_chunk_jobs - 1 end];
      v_items := jobs_internal.open_chunk(v_claim.lane_id, v_slice, v_claim.lease, case when v_alone then -1 else v_short end);
      if pg_catalog.cardinality(v_items) = 0 then
        -- Paused meanwhile, or others have them. What still carries our token goes back at the next claim.
        v_place := v_place + pg_catalog.cardinality(v_slice);
        v_rest := true;
        commit;
        continue;
      end if;
      v_item := v_items[1];

      if v_item.mode in ('alone', 'child') then
        v_item := jobs_internal.begin_alone(v_session, v_claim.lane_id, v_item);
        commit;
        v_rest := v_rest or v_item.msg_id <> v_claim.msg_ids[v_place];
        v_place := pg_catalog.array_position(v_claim.msg_ids, v_item.msg_id) + 1;
        v_alone := false;
        -- After a job of unknown duration claims start small again, so that nothing waits behind the next one.
        v_limit := case when v_item.quick then least(v_limit * 2, 1000) else 1 end;
        continue when v_item.mode in ('gone', 'held');
        if v_items[1].mode = 'child' then
          v_left := null;
          if v_item.attempt > 1 or v_item.verify then
            call jobs_internal.clear_leftover(v_session, v_item, v_path, v_baseline);
            v_left := jobs_internal.leftover(v_item.job_id, v_path);
          end if;
          if v_left is null then
            call jobs_internal.note_before(v_session, v_item, v_path);
            call jobs_internal.run_child(v_session, v_item, v_path, v_margin, v_baseline, v_ending);
          else
            v_ending := null;
            v_ending.job_id := v_item.job_id;
            v_ending.attempt := v_item.attempt;
            v_ending.outcome := 'failed';
            v_ending.error := jobs_internal.error_object('55006', 'what an earlier attempt left could not be dropped');
            v_ending.finished_at := pg_catalog.clock_timestamp();
          end if;
          if v_ending.outcome in ('failed', 'timed_out', 'cancelled', 'lost', 'interrupted') and v_ending.error is not null then
            v_left := jobs_internal.leftover(v_item.job_id, v_path);
            if v_left is not null then
              v_ending.error := v_ending.error || pg_catalog.jsonb_build_object(
                'detail', pg_catalog.concat_ws(' ', v_ending.error ->> 'detail',
                  'It left invalid: index ' || pg_catalog.array_to_string(v_left, ', index ') || '.'),
                'hint', pg_catalog.concat_ws(' ', v_ending.error ->> 'hint', 'Another attempt, or jobs.retry, drops that first.'));
            end if;
          end if;
          if v_ending.outcome = 'left' then
            commit;
            return;
          end if;
        else
          begin
            v_ending := jobs_internal.run_one(v_item, v_session, v_path, v_margin, v_baseline);
          exception
            -- A signal that came a moment before or after the job's own part: what it did is undone with this block.
            when query_canceled then
              v_ending := jobs_internal.cut_off(v_item, pg_catalog.clock_timestamp(), null);
              perform jobs_internal.wash(v_baseline);
          end;
          if v_ending.outcome = 'failed' and v_item.statement is not null and v_ending.error ->> 'sqlstate' in ('25001', '2D000') then
            -- It refused to run in a transaction, before it did anything: found out, it goes to a child session.
            perform jobs_internal.mark_top_level(v_item.job_id);
            commit;
            call jobs_internal.run_child(v_session, v_item, v_path, v_margin, v_baseline, v_ending);
            if v_ending.outcome = 'left' then
              commit;
              return;
            end if;
          end if;
        end if;
        v_leave := v_ending.outcome = 'interrupted';
        if v_ending.outcome = 'no_slot' or (v_ending.error ->> 'sqlstate' in ('3F000', '42883', '42725', '42809')
          and not jobs_internal.shapes_are_current(array[v_item.shape_id]))
        then
          -- No worker slot for its child; or its function was renamed or moved just before the call, and is found again when it starts anew.
          perform jobs_internal.put_back(v_session, v_item.job_id, v_item.attempt);
          v_leave := v_ending.outcome = 'no_slot';
          commit;
          continue;
        end if;
        v_unwritten := false;
        begin
          perform jobs_internal.finish_alone(v_session, v_claim.lane_id, v_ending);
        exception
          -- It came too late for this job, and is not meant for another: write down how it ended, and leave.
          when query_canceled then
            perform jobs_internal.finish_alone(v_session, v_claim.lane_id, v_ending);
            v_leave := true;
          when others then
            get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
            v_unwritten := true;
            v_spoiled := v_state !~ '^(PW|53|55|57|58|40)';
            if v_spoiled then
              v_ending := jobs_internal.spoiled(v_ending, v_state, v_message);
            end if;
        end;
        if v_unwritten then
          -- A full disk, say: that is no fault of the job's. What a function did is undone, and it runs again, uncharged; how a statement
          -- ended is kept until it can be written down.
          rollback;
          perform jobs_internal.wash(v_baseline);
          while v_unwritten loop
            begin
              if v_items[1].mode = 'child' or v_spoiled then
                perform jobs_internal.finish_alone(v_session, v_claim.lane_id, v_ending);
              else
                perform jobs_internal.put_back(v_session, v_item.job_id, v_item.attempt);
              end if;
              v_unwritten := false;
            exception
              when others then
                if sqlstate like 'PW%' or jobs_internal.shutting_down() then
                  raise;
                end if;
                -- What the ending itself says cannot be kept, now or later: the job has failed of that.
                if not v_spoiled and sqlstate !~ '^(53|55|57|58|40)' then
                  v_spoiled := true;
                  v_ending := jobs_internal.spoiled(v_ending, sqlstate, sqlerrm);
                end if;
            end;
            commit;
            if v_unwritten then
              perform pg_catalog.pg_sleep(1);
            end if;
          end loop;
          continue when v_items[1].mode <> 'child' and not v_spoiled;
        end if;
        v_endings := array[v_ending];
        v_shapes := array[v_item.shape_id];
        commit;
      else
        v_endings := '{}';
        v_shapes := '{}';
        v_msgs := '{}';
        v_chunk_start := pg_catalog.clock_timestamp();
        foreach v_item in array v_items loop
          if v_item.mode = 'chunk' then
            v_ending := jobs_internal.run_one(v_item, null, v_path, v_margin, v_baseline);
            v_endings := v_endings || v_ending;
            v_shapes := v_shapes || v_item.shape_id;
            v_leave := v_ending.outcome = 'interrupted';
          elsif v_item.mode = 'stop' then
            v_ending := null;
            v_ending.job_id := v_item.job_id;
            v_ending.attempt := v_item.attempt;
            v_ending.outcome := 'cancelled';
            v_ending.finished_at := pg_catalog.clock_timestamp();
            v_ending.error := jobs_internal.error_object('PWC01', 'cancelled on request', 'It had not started.');
            v_endings := v_endings || v_ending;
            v_shapes := v_shapes || null::integer;
          end if;
          v_msgs := v_msgs || v_item.msg_id;
          exit when v_leave or v_ending.last
            or pg_catalog.clock_timestamp() > v_chunk_start + v_chunk_ms * interval '1 ms';
        end loop;
        if jobs_internal.shapes_are_current(v_shapes) and jobs_internal.finish_chunk(v_session, v_claim.lane_id, v_msgs, v_endings) then
          commit;
          v_limit := least(v_limit * 4, 1000);
          v_k := pg_catalog.array_position(v_claim.msg_ids, v_msgs[pg_catalog.cardinality(v_msgs)]) + 1;
          -- What was locked by others for a moment was passed over: what still carries our token goes back at the next claim.
          v_rest := v_rest or v_k - v_place > pg_catalog.cardinality(v_msgs);
          v_place := v_k;
          v_alone := false;
        else
          -- One of them, or its function, is not what it was when the chunk began: undo them all and run them one by one, where each
          -- answers for itself.
          rollback;
          perform jobs_internal.wash(v_baseline);
          commit;
          v_alone := true;
          v_endings := '{}';
          v_leave := false;
        end if;
      end if;

      v_ran := 0;
      v_place_of := 0;
      foreach v_ending in array v_endings loop
        v_jobs := v_jobs + 1;
        if v_ending.outcome = 'succeeded' then
          v_ok := v_ok + 1;
        else
          v_bad := v_bad + 1;
        end if;
        v_ran := extract(epoch from v_ending.finished_at - v_ending.started_at) * 1000;
        v_place_of := v_place_of + 1;
        if v_shapes[v_place_of] is not null and v_ran is not null then
          v_k := pg_catalog.array_position(v_seen, v_shapes[v_place_of]);
          if v_k is null then
            v_seen := v_seen || v_shapes[v_place_of];
            v_runs := v_runs || 1::bigint;
            v_ms := v_ms || v_ran;
            v_names := v_names || 0;
            v_k := pg_catalog.cardinality(v_seen);
          else
            v_runs[v_k] := v_runs[v_k] + 1;
            v_ms[v_k] := v_ms[v_k] + v_ran;
          end if;
          if v_ending.last and pg_catalog.current_setting('pyworker.renames', true) = 'on' then
            v_names[v_k] := 1;
            perform pg_catalog.set_config('pyworker.renames', '', false);
          end if;
        end if;
      end loop;
      if v_ran > 100 and jobs_internal.shutting_down() then
        v_leave := true;
      end if;
      -- The rest of the claim went back before a job of unknown duration, and goes back after a long one.
      exit when v_limit = 1;
      if v_ran > 1000 or pg_catalog.clock_timestamp() > v_until then
        v_rest := true;
        exit;
      end if;
    end loop;
  end loop;
  perform pg_catalog.set_config('application_name', 'pw end', false);
  perform jobs_internal.close_session(v_session, v_learned);
  commit;
end
$$;
comment on procedure jobs_internal.work(integer, text) is 'The worker session: claims, runs and commits until its work or its time is over';

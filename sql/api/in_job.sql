-- What a job calls while it runs: jobs.current_id, jobs.current_run, jobs.progress, jobs.log.

create or replace function jobs.current_id()
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.current_job();
end;
comment on function jobs.current_id() is 'Inside a job its id; null elsewhere.';

create or replace function jobs.current_run(
  out job_id bigint,
  out attempt integer,
  out schedule text,
  out due_at timestamptz,
  out batch bigint
)
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select r.job_id, r.attempt, r.schedule, r.due_at, r.batch
  from jobs_internal.current_occurrence() as r;
end;
comment on function jobs.current_run() is
'Inside a job: its id, its attempt, and where a schedule has enqueued it the name of that and the '
'occurrence, so that a report knows its day; and its batch: the one that it belongs to, or whose '
'callback it is. Nulls elsewhere.';

-- Numbers go into application_name, which every session sees at once; a text is written by a
-- session of its own, at most once a second, because application_name is short, ASCII and readable
-- by everybody.
create or replace function jobs.progress(done numeric, total numeric, message text default null)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job text := nullif(current_setting('pyworker.job', true), '');
  v_said text := current_setting('pyworker.said', true);
  v_now double precision := extract(epoch from clock_timestamp());
  v_message text := left(message, 1000);
  v_name text;
  v_done text;
  v_begun text := current_setting('pyworker.begun', true);
begin
  -- One call where all is well: a job may come here for each of its rows.
  if not pg_has_role('jobs_runner', 'usage') then
    perform jobs_internal.assert_member('jobs_runner', 'progress', 'jobs_producer');
  end if;
  if jobs_internal.current_job() is null or jobs_internal.current_attempt() is null then
    return;
  end if;
  if done < 0 or total < 0 or done = 'NaN' or total = 'NaN' or done > 1e18 or total > 1e18 then
    raise exception using errcode = 'PW023', message = 'progress must be between 0 and 1e18',
      detail = format('done is %s, total is %s.', left(done::text, 40), left(total::text, 40)),
        hint = 'Pass how much is done, and of how much. A retry cannot help.';
  end if;
  if done is not null and total is not null then
    v_done := left(trim_scale(round(done, 2))::text, 19);
    v_name := format('pw %s %s/%s', v_job, v_done, left(trim_scale(round(total, 2))::text, 19));
    -- Where this attempt began to count, as done@ms since its start: how fast it is can only be
    -- said from there on. An attempt that goes on where an earlier one ended begins in the middle;
    -- one that begins another part of its work begins anew.
    if not coalesce(starts_with(v_begun, v_job || ' '), false)
      or v_done::numeric < (regexp_match(v_begun, ' ([0-9]{1,19}[.]?[0-9]{0,2})@[0-9]{1,13}$'))[
          1]::numeric
    then
      v_begun := format('%s %s@%s', v_job, v_done,
        greatest((v_now * 1000)::bigint - (regexp_match(v_job, ' ([0-9]{1,13})$'))[1]::bigint, 0));
      perform set_config('pyworker.begun', v_begun, false);
    end if;
    v_begun := v_name || substr(v_begun, length(v_job) + 1);
    perform set_config('application_name', case when octet_length(v_begun) < 64 then v_begun
        else v_name end, false);
  end if;
  if v_message is not null and v_message is distinct from substr(v_said, strpos(v_said, ' ') + 1)
    and v_now - coalesce((regexp_match(v_said, '^([0-9]{1,12}([.][0-9]{1,9})?) '))[
          1]::double precision, 0) >= 1
  then
    perform set_config('pyworker.said', v_now || ' ' || v_message, false);
    begin
      perform jobs_internal.run_in_background(
        format('select jobs_internal.store_progress(%s, %s, %L)', jobs_internal.current_job(),
          jobs_internal.current_attempt(), v_message), 'pyworker progress');
    exception
      when insufficient_resources or configuration_limit_exceeded or too_many_connections then
        null;  -- no free worker slot: the text is not worth an error
    end;
  end if;
end
$$;
comment on function jobs.progress(numeric, numeric, text) is
'Inside a job: says how much is done of how much, seen by other sessions at once in jobs.running; '
'elsewhere does nothing.
message: a text, at most one a second, written by a short session of its own (one worker slot, '
'some 5 ms). Errors: PW023.';

-- A line is kept as a prepared statement of the session: PREPARE is the one thing that a rollback
-- does not undo. The worker reads them after the job. In a child session, which ends with its
-- statement, the line is written by a session of its own.
create or replace function jobs.log(message text, level text default 'info',
    fields jsonb default '{}')
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
  v_line jsonb;
  v_most integer;
begin
  -- One call where all is well: a job may come here for each of its rows.
  if not pg_has_role('jobs_runner', 'usage') then
    perform jobs_internal.assert_member('jobs_runner', 'log', 'jobs_producer');
  end if;
  if coalesce(level, '') not in ('debug', 'info', 'warning', 'error') then
    raise exception using errcode = 'PW024',
      message = format('there is no level "%s"', left(level, 100)),
      detail = 'Levels are debug, info, warning and error.',
        hint = 'Use one of them. A retry cannot help.';
  end if;
  if jobs_internal.current_job() is null or jobs_internal.current_attempt() is null then
    raise notice using message = left(coalesce(message, ''), 8000);
    return;
  end if;
  if current_setting('pyworker.log_full', true) = current_setting('pyworker.job', true) then
    return;
  end if;
  v_line := jsonb_build_object('at', clock_timestamp(), 'level', level,
      'message', left(coalesce(message, ''), 8000),
    -- The size first: as text, numbers such as 1e131000 can be a thousand times larger.
    'fields', case when pg_column_size(fields) > 64000
      then '{"cut": "fields had more than 8000 bytes"}'
      when coalesce(octet_length(fields::text), 0) <= 8000 then nullif(fields, '{}')
        else '{"cut": "fields had more than 8000 bytes"}' end);
  if current_setting('pyworker.child', true) = 'on' then
    begin
      perform jobs_internal.run_in_background(
        format('select jobs_internal.store_log_line(%s, %s, %L)', jobs_internal.current_job(),
          jobs_internal.current_attempt(), v_line), 'pyworker log', 1000);
    exception
      when insufficient_resources or configuration_limit_exceeded or too_many_connections then
        perform jobs_internal.store_log_line(jobs_internal.current_job(),
            jobs_internal.current_attempt(), v_line);
    end;
    return;
  end if;
  v_most := jobs_internal.setting('log_lines')::integer;
  select count(*) into v_count from pg_prepared_statements as p
  where p.name like 'pyworker\_log\_%';
  if v_count > v_most then
    -- To count them is to read all that were kept: not for each further line.
    perform set_config('pyworker.log_full', current_setting('pyworker.job'), false);
    return;
  end if;
  if v_count = v_most then
    v_line := jobs_internal.cut_line(v_most);
  end if;
  perform set_config('pyworker.logged', 'on', false);
  execute format('prepare %I as select ''pyworker:%s''', 'pyworker_log_'
      || lpad(v_count::text, 9, '0'),
    translate(encode(convert_to(v_line::text, 'UTF8'), 'base64'), E'\n', ''));
end
$$;
comment on function jobs.log(text, text, jsonb) is
'Inside a job: keeps a line with the attempt, also when the job fails and rolls back; elsewhere '
'raises it as a NOTICE. level: debug, info,
warning, error. Bounded by the setting log_lines per attempt, 8000 characters a line; the cut is '
'marked. A line costs some 20 us, in a
child session (CALL, DO) some 5 ms and a worker slot. Lines of an attempt whose session died are '
'lost. Errors: PW024.';

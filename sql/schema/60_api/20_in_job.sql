-- What a job calls while it runs: jobs.current_id, jobs.progress, jobs.log.

create or replace function jobs.current_id()
returns bigint
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.current_job();
end;
comment on function jobs.current_id() is 'Inside a job its id; null elsewhere.';

-- Purpose: numbers go into application_name, which every session sees at once; a text is written by a session of its own, at most once a
-- second, because application_name is short, ASCII and readable by everybody.
create or replace function jobs.progress(done numeric, total numeric, message text default null)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_job text := nullif(pg_catalog.current_setting('pyworker.job', true), '');
  v_said text := pg_catalog.current_setting('pyworker.said', true);
  v_now double precision := extract(epoch from pg_catalog.clock_timestamp());
  v_message text := pg_catalog.left(message, 1000);
  v_handle record;
  v_name text;
  v_done text;
  v_begun text := pg_catalog.current_setting('pyworker.begun', true);
begin
  if jobs_internal.current_job() is null or jobs_internal.current_attempt() is null then
    return;
  end if;
  if done < 0 or total < 0 or done = 'NaN' or total = 'NaN' or done > 1e18 or total > 1e18 then
    raise exception using errcode = 'PW023', message = 'progress must be between 0 and 1e18',
      detail = pg_catalog.format('done is %s, total is %s.', pg_catalog.left(done::text, 40), pg_catalog.left(total::text, 40)), hint = 'Pass how much is done, and of how much. A retry cannot help.';
  end if;
  if done is not null and total is not null then
    v_done := pg_catalog.left(pg_catalog.trim_scale(pg_catalog.round(done, 2))::text, 19);
    v_name := pg_catalog.format('pw %s %s/%s', v_job, v_done, pg_catalog.left(pg_catalog.trim_scale(pg_catalog.round(total, 2))::text, 19));
    -- Where this attempt began to count, as done@ms since its start: how fast it is can only be said from there on. An attempt that goes on
    -- where an earlier one ended begins in the middle; one that begins another part of its work begins anew.
    if not coalesce(pg_catalog.starts_with(v_begun, v_job || ' '), false)
      or v_done::numeric < (pg_catalog.regexp_match(v_begun, ' ([0-9]{1,19}[.]?[0-9]{0,2})@[0-9]{1,13}$'))[1]::numeric
    then
      v_begun := pg_catalog.format('%s %s@%s', v_job, v_done,
        greatest((v_now * 1000)::bigint - (pg_catalog.regexp_match(v_job, ' ([0-9]{1,13})$'))[1]::bigint, 0));
      perform pg_catalog.set_config('pyworker.begun', v_begun, false);
    end if;
    v_begun := v_name || pg_catalog.substr(v_begun, pg_catalog.length(v_job) + 1);
    perform pg_catalog.set_config('application_name', case when pg_catalog.octet_length(v_begun) < 64 then v_begun else v_name end, false);
  end if;
  if v_message is not null and v_message is distinct from pg_catalog.substr(v_said, pg_catalog.strpos(v_said, ' ') + 1)
    and v_now - coalesce((pg_catalog.regexp_match(v_said, '^([0-9]{1,12}([.][0-9]{1,9})?) '))[1]::double precision, 0) >= 1
  then
    perform pg_catalog.set_config('pyworker.said', v_now || ' ' || v_message, false);
    begin
      execute pg_catalog.format('select h.pid, h.cookie from %s($1, 0, %L) as h', jobs_internal.background('submit'), 'pyworker progress')
      into v_handle
      using pg_catalog.format('select jobs_internal.keep_progress(%s, %s, %L)', jobs_internal.current_job(), jobs_internal.current_attempt(), v_message);
      execute pg_catalog.format('select %s($1, $2)', jobs_internal.background('detach')) using v_handle.pid, v_handle.cookie;
    exception
      when insufficient_resources or configuration_limit_exceeded or too_many_connections then
        null;  -- no free worker slot: the text is not worth an error
    end;
  end if;
end
$$;
comment on function jobs.progress(numeric, numeric, text) is
'Inside a job: says how much is done of how much, seen by other sessions at once in jobs.running; elsewhere does nothing.
message: a text, at most one a second, written by a short session of its own (one worker slot, some 5 ms). Errors: PW023.';

-- Purpose: keep the progress text of a running job of the calling login. It may come late, when that attempt is over: then it says nothing.
create or replace function jobs_internal.keep_progress(p_job bigint, p_attempt integer, p_message text)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.progress_message (job_id, attempt, message)
  select j.id, p_attempt, pg_catalog.left(p_message, 1000) from jobs_internal.job as j
  where j.id = p_job and j.owner = jobs_internal.me() and p_attempt = case j.state when 'running' then j.attempt when 'queued' then j.attempt + 1 end
  on conflict (job_id) do update set attempt = excluded.attempt, message = excluded.message, at = excluded.at;
end;
comment on function jobs_internal.keep_progress(bigint, integer, text) is 'Keeps the progress text of a running job of the calling login';

-- Purpose: the line that stands where lines were cut off.
create or replace function jobs_internal.cut_line(p_most integer)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select pg_catalog.jsonb_build_object('at', pg_catalog.clock_timestamp(), 'level', 'warning',
    'message', pg_catalog.format('cut: more than %s in one attempt', jobs_internal.counted(p_most, 'line')));
end;
comment on function jobs_internal.cut_line(integer) is 'The log line that stands where lines were cut off';

-- Purpose: keep a log line of a running job of the calling login at once; used in child sessions, which nobody reads afterwards. Bounded as
-- elsewhere, the cut marked.
create or replace function jobs_internal.keep_log_line(p_job bigint, p_attempt integer, p_line jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.keep_log(j.id, p_attempt, j.owner, pg_catalog.jsonb_build_array(
    case when l.kept < b.most then p_line else jobs_internal.cut_line(b.most) end))
  from jobs_internal.job as j
  cross join (select jobs_internal.setting('log_lines')::integer as most) as b
  cross join lateral (select pg_catalog.count(*) as kept from jobs_internal.log_line as o where o.job_id = j.id and o.attempt = p_attempt) as l
  where j.id = p_job and j.owner = jobs_internal.me() and l.kept <= b.most
    and p_attempt = case j.state when 'running' then j.attempt when 'queued' then j.attempt + 1 end;
end;
comment on function jobs_internal.keep_log_line(bigint, integer, jsonb) is 'Keeps a log line of a running job of the calling login at once';

-- Purpose: a line is kept as a prepared statement of the session: PREPARE is the one thing that a rollback does not undo. The worker reads
-- them after the job. In a child session, which ends with its statement, the line is written by a session of its own.
create or replace function jobs.log(message text, level text default 'info', fields jsonb default '{}')
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_count integer;
  v_line jsonb;
  v_most integer;
  v_handle record;
begin
  if coalesce(level, '') not in ('debug', 'info', 'warning', 'error') then
    raise exception using errcode = 'PW024', message = pg_catalog.format('there is no level "%s"', pg_catalog.left(level, 100)),
      detail = 'Levels are debug, info, warning and error.', hint = 'Use one of them. A retry cannot help.';
  end if;
  if jobs_internal.current_job() is null or jobs_internal.current_attempt() is null then
    raise notice using message = pg_catalog.left(coalesce(message, ''), 8000);
    return;
  end if;
  v_line := pg_catalog.jsonb_build_object('at', pg_catalog.clock_timestamp(), 'level', level, 'message', pg_catalog.left(coalesce(message, ''), 8000),
    -- The size first: as text, numbers such as 1e131000 can be a thousand times larger.
    'fields', case when pg_catalog.pg_column_size(fields) > 64000 then '{"cut": "fields had more than 8000 bytes"}'
      when coalesce(pg_catalog.octet_length(fields::text), 0) <= 8000 then nullif(fields, '{}') else '{"cut": "fields had more than 8000 bytes"}' end);
  if pg_catalog.current_setting('pyworker.child', true) = 'on' then
    begin
      execute pg_catalog.format('select h.pid, h.cookie from %s($1, 0, %L) as h', jobs_internal.background('submit'), 'pyworker log')
      into v_handle
      using pg_catalog.format('select jobs_internal.keep_log_line(%s, %s, %L)', jobs_internal.current_job(), jobs_internal.current_attempt(), v_line);
      execute pg_catalog.format('select %s($1, $2, 1000)', jobs_internal.background('wait')) using v_handle.pid, v_handle.cookie;
      execute pg_catalog.format('select %s($1, $2)', jobs_internal.background('detach')) using v_handle.pid, v_handle.cookie;
    exception
      when insufficient_resources or configuration_limit_exceeded or too_many_connections then
        perform jobs_internal.keep_log_line(jobs_internal.current_job(), jobs_internal.current_attempt(), v_line);
    end;
    return;
  end if;
  v_most := jobs_internal.setting('log_lines')::integer;
  select pg_catalog.count(*) into v_count from pg_catalog.pg_prepared_statements as p where p.name like 'pyworker\_log\_%';
  if v_count > v_most then
    return;
  end if;
  if v_count = v_most then
    v_line := jobs_internal.cut_line(v_most);
  end if;
  perform pg_catalog.set_config('pyworker.logged', 'on', false);
  execute pg_catalog.format('prepare %I as select ''pyworker:%s''', 'pyworker_log_' || pg_catalog.lpad(v_count::text, 9, '0'),
    pg_catalog.translate(pg_catalog.encode(pg_catalog.convert_to(v_line::text, 'UTF8'), 'base64'), E'\n', ''));
end
$$;
comment on function jobs.log(text, text, jsonb) is
'Inside a job: keeps a line with the attempt, also when the job fails and rolls back; elsewhere raises it as a NOTICE. level: debug, info,
warning, error. Bounded by the setting log_lines per attempt, 8000 characters a line; the cut is marked. A line costs some 20 us, in a
child session (CALL, DO) some 5 ms and a worker slot. Lines of an attempt whose session died are lost. Errors: PW024.';

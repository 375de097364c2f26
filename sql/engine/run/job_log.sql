-- Progress and log lines that a job writes.

-- Keep the progress text of a running job of the calling login. It may come late, when that attempt
-- is over: then it says nothing.
create or replace function jobs_internal.store_progress(p_job bigint, p_attempt integer,
    p_message text)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.progress_message (job_id, attempt, message)
  select j.id, p_attempt, left(p_message, 1000) from jobs_internal.job as j
  where j.id = p_job and j.owner = jobs_internal.caller() and p_attempt = case j.state
    when 'running'
    then j.attempt when 'queued' then j.attempt + 1 end
  on conflict (job_id) do update set attempt = excluded.attempt, message = excluded.message,
    at = excluded.at;
end;

-- The line that stands where lines were cut off.
create or replace function jobs_internal.cut_line(p_most integer)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_build_object('at', clock_timestamp(), 'level', 'warning',
    'message', format('cut: more than %s in one attempt', jobs_internal.counted(p_most, 'line')));
end;

-- Keep the lines that a job wrote with jobs.log. They come from the job's own session: what is no
-- time is now, what is no level info, and they are bounded once more.
create or replace function jobs_internal.store_log_lines(p_job bigint, p_attempt integer,
    p_owner oid,
    p_logs jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.log_line (job_id, attempt, n, owner, at, level, message, fields)
  select p_job, p_attempt,
    l.n + coalesce((select max(o.n) from jobs_internal.log_line as o where o.job_id = p_job
          and o.attempt = p_attempt), 0),
    p_owner,
    case when pg_input_is_valid(l.v ->> 'at', 'timestamptz') then (l.v ->> 'at')::timestamptz
      else clock_timestamp() end,
    case when l.v ->> 'level' in ('debug', 'info', 'warning', 'error') then l.v ->> 'level'
      else 'info' end,
    left(coalesce(l.v ->> 'message', ''), 8000),
    case when pg_column_size(l.v -> 'fields') > 64000
      then '{"cut": "fields had more than 8000 bytes"}'::jsonb
      when octet_length((l.v -> 'fields')::text) > 8000
        then '{"cut": "fields had more than 8000 bytes"}'
      else nullif(l.v -> 'fields', 'null') end
  from jsonb_array_elements(case when jsonb_typeof(p_logs) = 'array' then p_logs else '[]' end)
    with ordinality as l(v, n)
  where l.n <= jobs_internal.setting('log_lines')::integer + 1;
end;

-- Keep a log line of a running job of the calling login at once; used in child sessions, which
-- no query reads afterwards. Bounded as elsewhere, the cut marked.
create or replace function jobs_internal.store_log_line(p_job bigint, p_attempt integer,
    p_line jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select jobs_internal.store_log_lines(j.id, p_attempt, j.owner, jsonb_build_array(
    case when l.kept < b.most then p_line else jobs_internal.cut_line(b.most) end))
  from jobs_internal.job as j
  cross join (select jobs_internal.setting('log_lines')::integer as most) as b
  cross join lateral (select count(*) as kept from jobs_internal.log_line as o where o.job_id = j.id
      and o.attempt = p_attempt) as l
  where j.id = p_job and j.owner = jobs_internal.caller() and l.kept <= b.most
    and p_attempt = case j.state when 'running' then j.attempt when 'queued' then j.attempt + 1 end;
end;

-- Collect the lines that the job wrote with jobs.log. They are kept as prepared statements, the one
-- thing in a session that a rollback leaves alone; in base64, so that no quoting rule touches them.
-- A job may have prepared statements of such names itself. Returns null when there are none.
create or replace function jobs_internal.collect_log()
returns jsonb
language sql volatile
set search_path = pg_catalog, pg_temp
begin atomic
  select jsonb_agg(p.line::jsonb order by p.name)
  from (
    select s.name, convert_from(decode(m.parts[1], 'base64'), 'UTF8') as line
    from pg_prepared_statements as s
    cross join lateral regexp_match(s.statement,
        '^prepare pyworker_log_\d{9} as select ''pyworker:([A-Za-z0-9+/=]+)''$') as m(parts)
    where s.name like 'pyworker\_log\_%' and m.parts is not null
    offset 0
  ) as p
  where pg_input_is_valid(p.line, 'jsonb');
end;

-- Running many jobs of a chunk by one statement.
--
-- To parse, plan and start a statement takes as long as a short job. So jobs that stand side by
-- side in a chunk, and whose calls would give the same by a statement of their own
-- (jobs_internal.chunk_call), are called by one. Before and after each call stand begin_in_a_row
-- and end_in_a_row, which are also those of a job that has a statement of its own
-- (run_without_savepoint): a name, a time limit, a start; an end, and a session that is reset.
--
-- These run as the owner, in a session that was authenticated as the owner, so they are invoker.
-- The search_path is the owner's from the first job to the last one, so all names in both are full;
-- run_together leaves ours.

-- Run jobs one after the other, in their order, by one statement. An error, or a signal, is the
-- caller's affair: it undoes all of them. Fewer results than items: the others have not begun.
-- p_calls: for each call template a line of CASE with the expression that calls its function for a
--   row pyworker_item; p_until: no job begins after that, the first apart.
create or replace function jobs_internal.run_together(
  p_items jobs_internal.work_item[],
  p_calls text,
  p_until timestamptz,
  p_path text,
  p_margin_ms bigint,
  p_baseline jsonb,
  p_backend integer
)
returns jobs_internal.attempt_result[]
language plpgsql volatile
as $$
declare
  v_results jobs_internal.attempt_result[];
  v_void text;
begin
  -- begin_in_a_row stands in a subquery that is not merged (OFFSET 0): it is called once for each
  -- row, before what refers to its value.
  execute 'select pg_catalog.array_agg(jobs_internal.end_in_a_row(pyworker_item.job_id, '
    'pyworker_item.attempt, pyworker_item.call_template_id, pyworker_item.queued_at, '
    'pyworker_item.call, pyworker_begin.at, '
    'case when pyworker_begin.at is not null then case pyworker_item.call_template_id'
    || p_calls || ' end end, $6, $3)) '
    'filter (where pyworker_begin.at is not null) '
    'from pg_catalog.unnest($1) with ordinality as pyworker_item '
    'cross join lateral (select jobs_internal.begin_in_a_row(pyworker_item.ordinality, '
    'pyworker_item.job_id, pyworker_item.attempt, pyworker_item.timeout_ms, $2, $3, $4, $5) '
    'as at offset 0) as pyworker_begin'
  into v_results using p_items, p_until, p_path, p_margin_ms, p_backend, p_baseline;
  v_void := pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false);
  if pg_catalog.current_setting('pyworker.chunk_over', true) = 'on' then
    v_void := pg_catalog.set_config('pyworker.chunk_over', '', false);
  end if;
  return v_results;
end
$$;

-- The next job begins: it is known by the session's name, its server-side time limit runs, and the
-- search_path is its owner's. Null: it does not begin, and none after it, because the time of the
-- chunk is over, an earlier job has asked for that, or the jobs make subtransactions themselves, of
-- which more than 64 would slow other sessions.
-- p_n: the place among the jobs of the statement; p_backend: as in run_chunk.
create or replace function jobs_internal.begin_in_a_row(
  p_n bigint,
  p_job bigint,
  p_attempt integer,
  p_timeout_ms bigint,
  p_until timestamptz,
  p_path text,
  p_margin_ms bigint,
  p_backend integer
)
returns timestamptz
language plpgsql volatile
as $$
declare
  v_now pg_catalog.timestamptz := pg_catalog.clock_timestamp();
  v_name pg_catalog.text;
  v_void pg_catalog.text;
  v_over pg_catalog.bool;
begin
  if p_n operator(pg_catalog.>) 1 then
    v_over := v_now operator(pg_catalog.>) p_until
      or coalesce(pg_catalog.current_setting('pyworker.chunk_over', true), '')
        operator(pg_catalog.=) 'on';
    if not v_over and p_n operator(pg_catalog.%) 20 operator(pg_catalog.=) 0 then
      v_void := pg_catalog.pg_stat_clear_snapshot();
      v_over := (select s.subxact_count operator(pg_catalog.>) 40
          from pg_catalog.pg_stat_get_backend_subxact(p_backend) as s);
    end if;
    if v_over then
      v_void := pg_catalog.set_config('pyworker.chunk_over', 'on', false);
      return null;
    end if;
  end if;
  v_name := pg_catalog.concat(p_job, '/', p_attempt, ' ',
      (pg_catalog.date_part('epoch', v_now) operator(pg_catalog.*) 1000)::pg_catalog.int8);
  v_void := pg_catalog.set_config('pyworker.job', v_name, false);
  v_void := pg_catalog.set_config('application_name', pg_catalog.concat('pw ', v_name), false);
  if p_timeout_ms is not null then
    -- 0 first: only that arms it again inside a transaction
    v_void := pg_catalog.set_config('transaction_timeout', '0', false);
    v_void := pg_catalog.set_config('transaction_timeout', least(
          p_timeout_ms operator(pg_catalog.+) p_margin_ms, 2147483647)::pg_catalog.text, false);
  end if;
  if pg_catalog.current_setting('search_path') operator(pg_catalog.<>) p_path then
    v_void := pg_catalog.set_config('search_path', p_path, false);
  end if;
  return v_now;
end
$$;

-- The job that begin_in_a_row began has done its work: how it ended. Resets the session. Errors:
-- PW040; PW999 where it snoozed and is to be undone.
-- p_call: the text that calls the function for a job by itself; p_value: its result; p_path: the
--   search_path afterwards, that of the next one.
create or replace function jobs_internal.end_in_a_row(
  p_job bigint,
  p_attempt integer,
  p_call_template_id integer,
  p_queued_at timestamptz,
  p_call text,
  p_began timestamptz,
  p_value jsonb,
  p_baseline jsonb,
  p_path text
)
returns jobs_internal.attempt_result
language plpgsql volatile
as $$
declare
  v_result jobs_internal.attempt_result;
  v_renames pg_catalog.bool;
  v_void pg_catalog.text;
begin
  if current_user operator(pg_catalog.<>) session_user then
    set role none;  -- what follows is for the owner only
  end if;
  v_result.job_id := p_job;
  v_result.attempt := p_attempt;
  v_result.outcome := 'succeeded';
  v_result.started_at := p_began;
  v_result.finished_at := pg_catalog.clock_timestamp();
  v_result.result := p_value;
  v_result.call_template_id := p_call_template_id;
  v_result.queued_at := p_queued_at;
  if p_value is not null then
    if pg_catalog.pg_column_size(p_value) operator(pg_catalog.>) 500
      and pg_catalog.octet_length(p_value::pg_catalog.text)
        operator(pg_catalog.>) jobs_internal.result_limit() then
      raise exception using errcode = 'PW040',
        message = 'the result is larger than the setting result_bytes, or the quota of its owner';
    end if;
    if pg_catalog.starts_with(p_call, 'select jobs_internal.limit_rows(') then
      v_result.rows := pg_catalog.jsonb_array_length(p_value);
    end if;
  end if;
  v_result.last := pg_catalog.pg_my_temp_schema() operator(pg_catalog.<>) 0;
  if v_result.last then
    v_result.last := exists (select from pg_catalog.pg_class as c
        where c.relnamespace operator(pg_catalog.=) pg_catalog.pg_my_temp_schema());
    if v_result.last then
      set constraints all immediate;
    end if;
  end if;
  if pg_catalog.current_setting('pyworker.logged', true) operator(pg_catalog.=) 'on' then
    v_result.logs := jobs_internal.collect_log();
    v_result := jobs_internal.snoozed(v_result);
    if jobs_internal.is_undone(v_result) then
      raise exception using errcode = 'PW999', message = 'undo';  -- in its own savepoint then
    end if;
  end if;
  v_renames := not pg_catalog.starts_with(pg_catalog.current_setting('application_name'), 'pw ');
  v_void := jobs_internal.reset_session(p_baseline, p_path);
  if v_renames then
    v_result.last := true;
    v_void := pg_catalog.set_config('pyworker.renames', 'on', false);
  end if;
  if v_result.last then
    v_void := pg_catalog.set_config('pyworker.chunk_over', 'on', false);
  end if;
  return v_result;
end
$$;

-- Measuring what an attempt cost: WAL, buffers, temporary files.
--
-- A session's own counters can be read in one way only while it runs: by EXPLAIN ANALYZE, which
-- adds up all that happened below it, in functions and triggers too. It shows the counters and not
-- the result, so the result is laid aside in a setting of the session, which the worker reads and
-- then resets with all others. This costs some 25 us. So each job that runs alone is measured, and
-- of those that share transactions one of each function and claim: jobs.cost says how many it knows
-- and how many there were.

-- Lay the result of a measured call aside.
create or replace function jobs_internal.save_result(p_result jsonb)
returns void
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('pyworker.result', coalesce(p_result::text, ''), false);
end
$$;

-- Run a statement of a job below EXPLAIN, and lay its number of rows aside. Invoker: it is the
-- owner's.
create or replace function jobs_internal.run_statement(p_statement text)
returns void
language plpgsql volatile
as $$
declare
  v_rows bigint;
begin
  execute p_statement;
  get diagnostics v_rows := row_count;
  perform pg_catalog.set_config('pyworker.result', v_rows::pg_catalog.text, false);
end
$$;

-- Run an EXPLAIN of a job, and lay its rows aside: how many there were, and the text, of which 20
-- kB are kept, or as much as the result of a job may have. Invoker: it is the owner's.
create or replace function jobs_internal.run_explain(p_statement text)
returns void
language plpgsql volatile
as $$
declare
  v_most pg_catalog.int4 := least(20000, jobs_internal.result_limit()
      operator(pg_catalog.-) 200);
  v_line pg_catalog.text;
  v_plan pg_catalog.text;
  v_rows pg_catalog.int8 := 0;
  v_void pg_catalog.text;
begin
  for v_line in execute p_statement loop
    v_rows := v_rows operator(pg_catalog.+) 1;
    v_plan := pg_catalog.left(pg_catalog.concat_ws(E'\n', v_plan, v_line), v_most);
  end loop;
  while pg_catalog.octet_length(v_plan) operator(pg_catalog.>) v_most loop
    v_plan := pg_catalog.left(v_plan, -100);
  end loop;
  v_void := pg_catalog.set_config('pyworker.result', v_rows::pg_catalog.text, false);
  v_void := pg_catalog.set_config('pyworker.plan', coalesce(v_plan, ''), false);
end
$$;

-- The result that was laid aside.
create or replace function jobs_internal.saved_result()
returns jsonb
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  return nullif(current_setting('pyworker.result'), '')::jsonb;
end
$$;

-- The text that measures the call of a function (p_statement false) or of run_statement: its only
-- row is the plan with the counters.
create or replace function jobs_internal.measured(p_call text, p_statement boolean default false)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return 'explain (analyze, buffers, wal, timing off, costs off, summary off, format json) '
    || case when p_statement then p_call else 'select jobs_internal.save_result((' || p_call
      || '))' end;
end
$$;

-- The result of an attempt, with what its plan counted.
create or replace function jobs_internal.with_cost(p_result jobs_internal.attempt_result,
    p_plan json)
returns jobs_internal.attempt_result
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_top jsonb := p_plan::jsonb -> 0 -> 'Plan';
begin
  p_result.wal_bytes := (v_top ->> 'WAL Bytes')::numeric::bigint;
  p_result.buffers_hit := (v_top ->> 'Shared Hit Blocks')::bigint
    + (v_top ->> 'Local Hit Blocks')::bigint;
  p_result.buffers_read := (v_top ->> 'Shared Read Blocks')::bigint
    + (v_top ->> 'Local Read Blocks')::bigint;
  p_result.buffers_dirtied := (v_top ->> 'Shared Dirtied Blocks')::bigint
    + (v_top ->> 'Local Dirtied Blocks')::bigint;
  p_result.temp_bytes := (v_top ->> 'Temp Written Blocks')::bigint
    * current_setting('block_size')::bigint;
  return p_result;
end
$$;

-- How long an attempt waited in its lane for a session, ms; null: not known.
create or replace function jobs_internal.waited(p_result jobs_internal.attempt_result)
returns integer
language sql immutable
begin atomic
  select least(greatest(extract(epoch from p_result.started_at - p_result.queued_at) * 1000, 0),
      2147483647)::integer;
end;

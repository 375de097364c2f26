-- Measuring queries before and after a long operation, in a child session of the owner's own: a
-- query that takes long is cancelled by the server there, and nothing of it stays in the worker
-- session.

-- Measure the queries of an operation. Runs in the child session, as the owner, with the path of
-- the statement. Each query in a transaction that may only read; commits what was measured after
-- each. p_after: its job has ended; else it is about to begin.
create or replace procedure jobs_internal.measure_job(p_job bigint, p_after boolean)
language plpgsql
as $$
declare
  v_ns integer[];
  v_kinds text[];
  v_statements text[];
  v_figures jsonb;
begin
  if not p_after then
    perform jobs_internal.choose_queries(p_job);
    commit;
  end if;
  select pg_catalog.array_agg(k.n order by k.n), pg_catalog.array_agg(k.kind order by k.n),
    pg_catalog.array_agg(k.statement order by k.n)
  into v_ns, v_kinds, v_statements
  from jobs_internal.kept_queries(p_job) as k;
  for v_i in 1 .. coalesce(pg_catalog.cardinality(v_ns), 0) loop
    commit;
    perform pg_catalog.set_config('transaction_read_only', 'on', true);
    v_figures := jobs_internal.measure_query(v_kinds[v_i], v_statements[v_i]);
    rollback;
    perform jobs_internal.store_measurement(p_job, v_ns[v_i], p_after, v_figures);
    commit;
  end loop;
end
$$;

-- Choose the queries that are measured around an operation: those that its job names; else the
-- three costliest ones of its owner whose plan names its table. Their texts have $1 for each
-- constant, so they are planned and not run.
create or replace function jobs_internal.choose_queries(p_job bigint)
returns void
language plpgsql volatile
set exit_on_error = off
as $$
declare
  v_named pg_catalog.jsonb := jobs_internal.named_queries(p_job);
  v_query pg_catalog.text;
  v_plan pg_catalog.json;
  v_id bigint;
  v_found integer := 0;
begin
  if v_named is not null then
    for v_query in select e from pg_catalog.jsonb_array_elements_text(v_named) as e loop
      perform jobs_internal.add_measurement(p_job, 'query', v_query, v_query);
    end loop;
    return;
  end if;
  for v_id, v_query in select t.query_id, t.query from jobs_internal.own_traffic(30) as t loop
    begin
      execute 'explain (generic_plan, verbose, format json) ' operator(pg_catalog.||) v_query
        into v_plan;
    exception
      when query_canceled then
        raise;
      when others then
        continue;  -- a table that is gone, a server without GENERIC_PLAN
    end;
    if jobs_internal.plan_names_object(p_job, v_plan::pg_catalog.jsonb) then
      perform jobs_internal.add_measurement(p_job, 'plan', v_query, v_query);
      perform jobs_internal.add_measurement(p_job, 'traffic', v_query, v_id::pg_catalog.text);
      v_found := v_found operator(pg_catalog.+) 1;
      exit when v_found operator(pg_catalog.>=) 3;
    end if;
  end loop;
  perform jobs_internal.note_choice(p_job, v_found);
end
$$;

-- The figures of one query: {plan, plan_hash, cost, ms, buffers, indexes}; of traffic: {calls, ms,
-- since}; where it failed: {error}. ms: median of three runs, after one that warms up.
create or replace function jobs_internal.measure_query(p_kind text, p_statement text)
returns jsonb
language plpgsql volatile
set exit_on_error = off
as $$
declare
  v_plan pg_catalog.json;
  v_run pg_catalog.json;
  v_ms double precision[] := '{}';
  v_figures pg_catalog.jsonb;
begin
  if p_kind operator(pg_catalog.=) 'traffic' then
    return (select pg_catalog.jsonb_build_object('calls', t.calls, 'ms', t.ms, 'since', t.since)
      from jobs_internal.own_traffic(5000) as t
      where t.query_id operator(pg_catalog.=) p_statement::bigint
      limit 1);
  end if;
  execute 'explain (verbose, format json'
    operator(pg_catalog.||)
    case when p_kind operator(pg_catalog.=) 'plan' then ', generic_plan' else '' end
    operator(pg_catalog.||) ') ' operator(pg_catalog.||) p_statement
  into v_plan;
  v_figures := pg_catalog.jsonb_build_object('plan', v_plan,
    'plan_hash', pg_catalog.md5(jobs_internal.plan_shape(
        v_plan::pg_catalog.jsonb operator(pg_catalog.#>) '{0,Plan}')),
    'cost', v_plan operator(pg_catalog.#>) '{0,Plan,Total Cost}',
    'indexes', pg_catalog.to_jsonb(array(
      select distinct i operator(pg_catalog.#>>) '{}'
      from pg_catalog.jsonb_path_query(v_plan::pg_catalog.jsonb,
          'strict $.**."Index Name"', '{}', true) as i)));
  if p_kind operator(pg_catalog.=) 'plan' then
    return v_figures;
  end if;
  for v_i in 0 .. 3 loop
    execute 'explain (analyze, buffers, timing off, format json) ' operator(pg_catalog.||)
      p_statement into v_run;
    if v_i operator(pg_catalog.>) 0 then
      v_ms := v_ms operator(pg_catalog.||)
        (v_run operator(pg_catalog.#>>) '{0,Execution Time}')::double precision;
    end if;
  end loop;
  return v_figures operator(pg_catalog.||) pg_catalog.jsonb_build_object(
    'ms', (select pg_catalog.percentile_disc(0.5) within group (order by u)
      from pg_catalog.unnest(v_ms) as u),
    'buffers', coalesce((v_run operator(pg_catalog.#>>) '{0,Plan,Shared Hit Blocks}')::bigint, 0)
      operator(pg_catalog.+)
      coalesce((v_run operator(pg_catalog.#>>) '{0,Plan,Shared Read Blocks}')::bigint, 0));
exception
  when query_canceled then
    raise;
  when others then
    return pg_catalog.jsonb_build_object('error', pg_catalog.format('%s: %s', sqlstate,
        pg_catalog.left(sqlerrm, 500)));
end
$$;

-- The shape of a plan: its nodes with their tables and indexes, without costs and conditions.
create or replace function jobs_internal.plan_shape(p_node jsonb)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  return concat_ws(' ', p_node ->> 'Node Type', p_node ->> 'Schema', p_node ->> 'Relation Name',
      p_node ->> 'Index Name') || coalesce('(' || (
    select string_agg(jobs_internal.plan_shape(c.v), ', ' order by c.n)
    from jsonb_array_elements(p_node -> 'Plans') with ordinality as c(v, n)) || ')', '');
end
$$;

-- Measure around an operation, where there is something to measure: in a child session, for some
-- seconds at most. Commits. p_result: with an outcome, if the attempt was stopped meanwhile.
create or replace procedure jobs_internal.measure_operation(
  p_item jobs_internal.work_item,
  p_path text,
  p_after boolean,
  p_baseline jsonb,
  inout p_result jobs_internal.attempt_result
)
language plpgsql
as $$
declare
  v_started timestamptz := pg_catalog.clock_timestamp();
  v_pid integer;
  v_cookie bigint;
  v_gone boolean := false;
  v_looked timestamptz;
begin
  if not coalesce(jobs_internal.is_measured(p_item.job_id, p_after), false) then
    return;
  end if;
  begin
    perform pg_catalog.set_config('application_name', 'pw measure ' operator(pg_catalog.||)
        p_item.job_id::pg_catalog.text, false),
      pg_catalog.set_config('client_min_messages', 'error', false),
      pg_catalog.set_config('lock_timeout', '500ms', false),
      pg_catalog.set_config('statement_timeout', '20s', false),
      pg_catalog.set_config('search_path', p_path, false);
    select h.pid, h.cookie into v_pid, v_cookie
    from jobs_internal.launch_child(pg_catalog.format('call jobs_internal.measure_job(%s, %L)',
        p_item.job_id, p_after), 'measure ' operator(pg_catalog.||)
        p_item.job_id::pg_catalog.text) as h;
  exception
    when insufficient_resources or configuration_limit_exceeded or too_many_connections then
      v_pid := null;  -- no slot: it goes on unmeasured
  end;
  perform jobs_internal.reset_session(p_baseline);
  commit;
  while v_pid is not null and not v_gone loop
    v_looked := pg_catalog.clock_timestamp();
    begin
      v_gone := jobs_internal.wait_child(v_pid, v_cookie, 50);
    exception
      when query_canceled then
        -- as in run_child: else it was only woken up
        if v_looked <= pg_catalog.clock_timestamp() then
          perform pg_catalog.pg_cancel_backend(v_pid);
          if not p_after then
            p_result := jobs_internal.interrupted_result(p_item, v_started, null);
          end if;
        end if;
    end;
    commit;
    if not p_after and p_result.outcome is null
      and jobs_internal.stop_reason(p_item.job_id, p_item.attempt) is not null then
      perform pg_catalog.pg_cancel_backend(v_pid);
      p_result := jobs_internal.interrupted_result(p_item, v_started, null);
    end if;
  end loop;
  if v_pid is not null then
    perform jobs_internal.detach_child(v_pid, v_cookie);
  end if;
  if p_after then
    perform jobs_internal.report_measurements(p_item.job_id);
  end if;
  commit;
end
$$;

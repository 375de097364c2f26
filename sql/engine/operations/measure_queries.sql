-- Which queries are measured before and after a long operation, and what is kept of them.

-- Refuse what cannot be measured: every text must be one query that reads. p_queries: the option
-- measure. Errors: PW018, PW029, those of classify.
create or replace function jobs_internal.assert_measurable(p_queries jsonb)
returns void
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_query text;
  v_words text[];
  v_makes_table boolean;
begin
  for v_query in select e from jsonb_array_elements_text(p_queries) as e loop
    if octet_length(v_query) > 65536 then
      raise exception using errcode = 'PW018',
        message = 'a query of the option "measure" is too long',
        detail = format('It has %s bytes; 65536 are allowed.', octet_length(v_query)),
        hint = 'Make a view of it. A retry cannot help.';
    end if;
    perform jobs_internal.classify(v_query),
      jobs_internal.assert_readable(v_query, 'a query of the option "measure"');
    select l.words, l.makes_table into v_words, v_makes_table from jobs_internal.lex(v_query) as l;
    if v_makes_table or v_words[1] not in ('SELECT', 'WITH', 'VALUES', 'TABLE', '(')
      or array_to_string(v_words, ' ')
        ~ '(^| )AS (NOT )?(MATERIALIZED )?\( (INSERT|UPDATE|DELETE|MERGE) '
      or array_to_string(v_words, ' ') ~ ' FOR (UPDATE|SHARE|NO KEY UPDATE|KEY SHARE)( |$)'
    then
      raise exception using errcode = 'PW029',
        message = 'what the option "measure" names must be queries that only read',
        detail = format('This one does not: %s', left(v_query, 500)),
        hint = 'It is run several times before and after. Pass a SELECT. A retry cannot help.';
    end if;
  end loop;
end
$$;

-- Whether there is something to measure around an operation of the calling login: before its first
-- attempt, or after its job has ended well, or its last step has.
create or replace function jobs_internal.is_measured(p_job bigint, p_after boolean)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select case when p_after then exists (
      select from jobs_internal.measurement as m
      join jobs_internal.operation as o on o.job_id = m.job_id
      where m.job_id = p_job and o.owner = jobs_internal.caller() and m.after is null
        -- it has ended; or the calling session is about to write the end of its last step
        and (o.state = 'succeeded' or o.state is null and exists (
            select from jobs_internal.job as j
            join jobs_internal.session as s on s.id = j.session_id and s.pid = pg_backend_pid()
            where j.id = p_job and j.state = 'running')
          and not exists (
            select from jobs_internal.step as s where s.job_id = p_job and s.state = 'waiting')))
    else exists (
      select from jobs_internal.operation as o
      join jobs_internal.job as j on j.id = o.job_id
      where o.job_id = p_job and o.owner = jobs_internal.caller()
        and case when j.options ? 'measure' then jsonb_array_length(j.options -> 'measure') > 0
          else o.object is not null and o.kind not in ('vacuum', 'copy', 'ddl')
            and jobs_internal.statement_statistics() is not null end
        and not coalesce(o.output ? 'measured', false)
        and not exists (select from jobs_internal.measurement as m where m.job_id = p_job)) end;
end;

-- The queries that the option measure of a job names; null: it names none.
create or replace function jobs_internal.named_queries(p_job bigint)
returns jsonb
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select j.options -> 'measure' from jobs_internal.job as j
  where j.id = p_job and j.owner = jobs_internal.caller();
end;

-- What pg_stat_statements has counted for the calling login in this database, of queries alone:
-- the costliest first. No row where it is not there, or closed to us.
create or replace function jobs_internal.own_traffic(p_limit integer)
returns table (query_id bigint, query text, calls bigint, ms double precision, since timestamptz)
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set exit_on_error = off
as $$
declare
  v_schema name := jobs_internal.statement_statistics();
begin
  if v_schema is null then
    return;
  end if;
  return query execute format($query$
    select s.queryid, s.query, s.calls, s.total_exec_time,
      (to_jsonb(s) ->> 'stats_since')::timestamptz
    from %I.pg_stat_statements(true) as s
    where s.userid = $1 and s.dbid = (select d.oid from pg_database as d
        where d.datname = current_database()) and s.toplevel
      and s.query ~* '^\s*(select|with)\M' and length(s.query) < 20000
    order by s.total_exec_time desc
    limit $2
$query$, v_schema)
  using jobs_internal.caller(), p_limit;
exception
  when object_not_in_prerequisite_state or insufficient_privilege or undefined_function
    or undefined_column then
    return;
end
$$;

-- Whether a plan, as EXPLAIN (VERBOSE, FORMAT JSON) gives it, reads a table of an operation.
create or replace function jobs_internal.plan_names_object(p_job bigint, p_plan jsonb)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select exists (
    select from jobs_internal.operation as o
    join pg_class as c on c.oid = any (o.relations)
    join pg_namespace as n on n.oid = c.relnamespace
    join jsonb_path_query(p_plan, 'strict $.** ? (@."Relation Name".type() == "string")') as p(node)
      on p.node ->> 'Relation Name' = c.relname and p.node ->> 'Schema' = n.nspname
    where o.job_id = p_job and o.owner = jobs_internal.caller());
end;

-- Keep a query that is to be measured around an operation of the calling login.
-- Writes: measurement.
create or replace function jobs_internal.add_measurement(p_job bigint, p_kind text, p_label text,
    p_statement text)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  insert into jobs_internal.measurement (job_id, n, label, statement, kind)
  select o.job_id, c.n + 1, left(p_label, 200), p_statement, p_kind
  from jobs_internal.operation as o
  cross join (select coalesce(max(m.n), 0) as n from jobs_internal.measurement as m
    where m.job_id = p_job) as c
  -- as many as the option may name; and it is to be run, so it is no longer than one of those
  where o.job_id = p_job and o.owner = jobs_internal.caller() and o.ended_at is null
    and c.n < 20 and octet_length(p_statement) <= 65536;
end;

-- Keep that queries were looked for: not before each lock attempt and step anew.
-- Writes: operation.
create or replace function jobs_internal.note_choice(p_job bigint, p_queries integer)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.operation as o
  set output = coalesce(o.output, '{}') || jsonb_build_object('measured', p_queries)
  where o.job_id = p_job and o.owner = jobs_internal.caller();
end;

-- The queries that are kept for an operation of the calling login, in order.
create or replace function jobs_internal.kept_queries(p_job bigint)
returns table (n integer, kind text, statement text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select m.n, m.kind, m.statement
  from jobs_internal.measurement as m
  join jobs_internal.operation as o on o.job_id = m.job_id and o.owner = jobs_internal.caller()
  where m.job_id = p_job
  order by m.n;
end;

-- Keep what was measured. Writes: measurement.
create or replace function jobs_internal.store_measurement(p_job bigint, p_n integer,
    p_after boolean, p_figures jsonb)
returns void
language sql volatile security definer
set search_path = pg_catalog, pg_temp
begin atomic
  update jobs_internal.measurement as m
  set before = case when p_after then m.before else f.figures end,
    after = case when p_after then f.figures else m.after end
  from (select case
      when octet_length(p_figures::text) <= 100000 then p_figures
      when octet_length((p_figures - 'plan')::text) <= 10000 then p_figures - 'plan'
      else '{"error": "its figures are too large"}' end as figures) as f
  where m.job_id = p_job and m.n = p_n and exists (select from jobs_internal.operation as o
    where o.job_id = p_job and o.owner = jobs_internal.caller());
end;

-- What an operation gained: how many times faster its measured queries are now, by the sum of their
-- times, else of the costs of their plans; null: that was not measured, or is not for the caller.
create or replace function jobs_internal.gain(p_job bigint)
returns numeric
language sql stable security definer
set search_path = pg_catalog, pg_temp
begin atomic
  select round(coalesce(
      sum((m.before ->> 'ms')::numeric) filter (where m.kind = 'query')
        / nullif(sum((m.after ->> 'ms')::numeric) filter (where m.kind = 'query'), 0),
      sum((m.before ->> 'cost')::numeric) filter (where m.kind = 'plan')
        / nullif(sum((m.after ->> 'cost')::numeric) filter (where m.kind = 'plan'), 0)), 2)
  from jobs_internal.measurement as m
  where m.job_id = p_job and m.kind in ('query', 'plan')
    and m.before ->> 'error' is null and m.after ->> 'error' is null
    and m.before is not null and m.after is not null
    and exists (select from jobs_internal.operation as o where o.job_id = p_job
      and (o.owner = jobs_internal.viewer() or jobs_internal.caller_is('jobs_reader')
        or jobs_internal.caller_is('jobs_operator')));
end;

-- Say in the logs of supervisors what was measured around an operation of the calling login.
-- Writes: outbox.
create or replace function jobs_internal.report_measurements(p_job bigint)
returns void
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.put_in_outbox(f.queue_id, f.owner, null, pg_backend_pid(), null,
      jsonb_build_array(jsonb_build_object('job_id', f.id, 'task',
        jobs_internal.task_name(f.id, null), 'outcome', 'measured', 'attempt', f.attempt,
        'max_attempts', f.max_attempts, 'state', f.state, 'gain', jobs_internal.gain(p_job),
        'queries', (select count(*) from jobs_internal.measurement as m
          where m.job_id = p_job and m.kind in ('query', 'plan') and m.after is not null))))
  from (
    select j.id, j.queue_id, j.owner, j.attempt, j.max_attempts, 'succeeded' as state
    from jobs_internal.job as j where j.id = p_job
    union all
    select h.id, h.queue_id, h.owner, h.attempt, h.max_attempts, h.state
    from jobs_internal.finished as h where h.id = p_job
  ) as f
  where f.owner = jobs_internal.caller();
end
$$;

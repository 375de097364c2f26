-- The dry run of a statement: its row.

-- Does the work of jobs.plan for one statement. p_rollback: the way back that was given with it;
-- p_strict: a name that nothing bears is refused. Invoker on purpose: names are looked up with the
-- caller's path and rights. Errors: those of read_statement and look_up_for_plan.
create or replace function jobs_internal.plan_one(p_step integer, p_statement text,
    p_rollback text, p_strict boolean)
returns jobs_internal.plan_line
language plpgsql volatile
as $$
declare
  v_read pg_catalog.jsonb := jobs_internal.read_statement(p_statement);
  v_line jobs_internal.plan_line;
begin
  v_line := jobs_internal.plan_row(v_read, jobs_internal.look_up_for_plan(v_read, p_strict),
      p_rollback);
  v_line.step := p_step;
  v_line.statement := p_statement;
  return v_line;
end
$$;

-- The same of a statement that was read, and whose names were looked up.
create or replace function jobs_internal.plan_row(p_read jsonb, p_found jsonb, p_rollback text)
returns jobs_internal.plan_line
language plpgsql volatile security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '50ms'
set exit_on_error = off
as $$
declare
  v_lock text := jobs_internal.plan_lock(p_read);
  v_line jobs_internal.plan_line;
begin
  v_line.kind := p_read ->> 'kind';
  v_line.object := coalesce(jobs_internal.qualified((p_found ->> 'object')::oid),
      p_read -> 'target' ->> 'object');
  v_line.lock_mode := jobs_internal.lock_in_words(v_lock);
  v_line.blocks := jobs_internal.blocks(v_lock);
  v_line.rewrites := jobs_internal.plan_rewrites(p_read, p_found);
  if v_lock is not null then
    v_line.blocked_by := jobs_internal.plan_blocked_by(
        jobs_internal.locked_relations(p_found, jobs_internal.caller()), v_lock, v_line.kind);
  end if;
  -- these open the table, as a query would
  begin
    v_line.disk_bytes := jobs_internal.plan_disk(p_read, p_found, v_line.rewrites);
    v_line.expected := jobs_internal.plan_expected(p_read, p_found, v_line.rewrites);
    v_line.undo := jobs_internal.plan_undo(p_read, p_found, p_rollback);
    v_line.warning := jobs_internal.plan_warnings(p_read, p_found, v_lock, v_line.rewrites,
        v_line.expected);
  exception
    when lock_not_available then
      v_line.warning := 'another session keeps the table from being read now: sizes, the way back '
        'and warnings are not known';
  end;
  return v_line;
end
$$;

-- The steps of jobs.plan: a row for each, with what is given of it. Errors: PW084.
create or replace function jobs_internal.steps_given(p_steps jsonb)
returns table (n integer, statement text, rollback text)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  perform jobs_internal.assert_steps(p_steps);
  return query
  select s.n::integer, case jsonb_typeof(s.v) when 'string' then s.v #>> '{}'
    else s.v ->> 'statement' end, case jsonb_typeof(s.v) when 'object'
    then nullif(btrim(s.v ->> 'rollback'), '') end
  from jsonb_array_elements(p_steps) with ordinality as s(v, n);
end
$$;

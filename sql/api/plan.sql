-- The dry run of long operations. Invoker functions without a pinned path, on purpose: names are
-- looked up with the caller's path and rights, and a table that is not the caller's is refused.

create or replace function jobs.plan(statement text)
returns setof jobs_internal.plan_line
language plpgsql volatile
as $$
#variable_conflict use_variable
begin
  perform jobs_internal.assert_member('jobs_producer', 'plan');
  return query select p.* from jobs_internal.plan_one(1, statement, null, true) as p;
end
$$;
comment on function jobs.plan(text) is
'Says what a statement would do if jobs.enqueue_sql ran it, and changes nothing: none of it is '
'run, no table is locked, and it works in a read-only transaction.
kind, object; lock_mode and what it blocks: reads and writes, writes, DDL, nothing; rewrites: it '
'writes the table anew; disk_bytes that it needs meanwhile; expected: how long it runs, by its own '
'history, else by size; blocked_by: pids that hold it up now, 0 for a prepared transaction; undo: '
'the way back, or why there is none; warning: a line for each. Null: it is not known.
Errors: PW014, PW017, PW018, PW021 as jobs.enqueue_sql; PW061 no such object, PW062 not the '
'caller''s, PW063 not of this server''s version.';

create or replace function jobs.plan(steps jsonb)
returns setof jobs_internal.plan_line
language plpgsql volatile
as $$
#variable_conflict use_variable
begin
  perform jobs_internal.assert_member('jobs_producer', 'plan');
  return query
  select p.*
  from jobs_internal.steps_given(steps) as s
  -- what a later one names, an earlier one may make
  cross join lateral jobs_internal.plan_one(s.n, s.statement, s.rollback,
    s.n operator(pg_catalog.=) 1) as p
  order by s.n;
end
$$;
comment on function jobs.plan(jsonb) is
'The same of several statements, one after another, as jobs.enqueue_steps takes them: a row for '
'each. What a later one names may be missing: an earlier one may make it.
Errors: as jobs.plan(text); PW084 no list of statements.';

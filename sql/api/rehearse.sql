-- Trying out a statement on a copy. An invoker function without a pinned path, on purpose: names
-- are looked up with the caller's path and rights.

create or replace function jobs.rehearse(
  statement text,
  rollback text default null,
  done_when text default null
)
returns setof jobs_internal.rehearsal_line
language plpgsql volatile
as $$
#variable_conflict use_variable
declare
  v_read pg_catalog.jsonb;
  v_found pg_catalog.jsonb;
  v_texts record;
  v_table pg_catalog.oid;
begin
  perform jobs_internal.assert_member('jobs_producer', 'rehearse');
  v_read := jobs_internal.read_statement(statement);
  v_texts := jobs_internal.texts_for_rehearsal(rollback, done_when);
  v_found := jobs_internal.look_up_for_plan(v_read, true);
  v_table := (jobs_internal.plan_tables((v_found operator(pg_catalog.->>) 'object')
      ::pg_catalog.oid))[1];
  perform jobs_internal.assert_rehearsable(v_read, v_table);
  return query
  select r.*
  from jobs_internal.run_rehearsal(statement, v_texts.rollback, v_texts.done_when,
    v_read operator(pg_catalog.||) v_found, v_table,
    pg_catalog.current_setting('search_path')) as r;
end
$$;
comment on function jobs.rehearse(text, text, text) is
'Runs a statement on a temporary copy of its table with up to 1000 of its rows, then its '
'post-condition and its way back (the one that is known where none is given), and undoes all of '
'that. For an index, a CHECK, UNIQUE or NOT NULL, and columns of one plain table; without '
'CONCURRENTLY. It uses the caller''s rights, waits for no lock, and refuses what touches anything '
'but the copy. Rows: step (copy, statement, done_when, rollback), statement as it was run, outcome '
'(done, true, false, none, failed), message, ms.
Errors: those of jobs.plan; PW068 it cannot be rehearsed, PW069 it works on more than the copy.';

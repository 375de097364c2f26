-- Moving in from another scheduler. An invoker function without a pinned path, as
-- jobs.schedule_sql, which it calls: it reads the other's tables with the caller's rights.

create or replace function jobs.import_schedules(source text, apply boolean default false)
returns table (name text, call text, differences text[], outcome text)
language plpgsql volatile
set exit_on_error = off
as $$
#variable_conflict use_variable
declare
  v_item pg_catalog.jsonb;
  v_items pg_catalog.jsonb[];
  v_state pg_catalog.text;
  v_message pg_catalog.text;
begin
  perform jobs_internal.assert_member('jobs_producer', 'import_schedules');
  begin
    v_items := jobs_internal.read_import(source);
  exception
    when undefined_table or invalid_schema_name or insufficient_privilege or undefined_column then
      get stacked diagnostics v_state := returned_sqlstate, v_message := message_text;
      raise exception using errcode = 'PW124',
        message = pg_catalog.format('the tables of %s cannot be read', source),
        detail = pg_catalog.format('PostgreSQL says (%s): %s', v_state, v_message),
        hint = 'Connect to the database in which they are, as a role that may read them. A retry '
          'cannot help.';
  end;
  foreach v_item in array v_items loop
    name := v_item operator(pg_catalog.->>) 'name';
    call := jobs_internal.import_call(v_item);
    differences := array(select pg_catalog.jsonb_array_elements_text(
        v_item operator(pg_catalog.->) 'differences'));
    outcome := coalesce(
      'refused: ' operator(pg_catalog.||) (v_item operator(pg_catalog.->>) 'refused'),
      jobs_internal.try_import(v_item, coalesce(apply, false)));
    return next;
  end loop;
end
$$;
comment on function jobs.import_schedules(text, boolean) is
'Reads the jobs of another scheduler in this database, and says for each by which call of '
'jobs.schedule_sql it would run here, what differs in meaning, and whether that could be done '
'(ready, or refused and why). source: pg_cron, pg_timetable or pgagent. Nothing is changed there.
apply: make the schedules, paused: look at each, switch it off there, then jobs.resume_schedule.
They belong to the caller. Jobs of other roles are refused: connect as those. `pyworker import` '
'prints all that as a script.
Errors: PW123 there is no such source, PW124 its tables cannot be read.';

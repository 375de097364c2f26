-- Who may do what with schedules, beside setup/grants.sql.

grant select on jobs.schedules, jobs.schedule_runs, jobs.schedule_list, jobs.schedule_run_list
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function jobs.current_run(), jobs_internal.current_occurrence()
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function jobs_internal.failures_seen(integer),
  jobs_internal.schedule_in_words(jobs_internal.timetable, text)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- Doors: each says itself for which roles it is.
grant execute on function
  jobs.schedule(text, text, text, jsonb, text, text, text, interval, interval, timestamptz,
      timestamptz, jsonb),
  jobs.schedule_sql(text, text, text, text, text, text, interval, interval, timestamptz,
      timestamptz, jsonb),
  jobs.alter_schedule(text, text, text, text, text, interval, interval, timestamptz, timestamptz,
      integer, text),
  jobs.unschedule(text, text), jobs.pause_schedule(text, text), jobs.resume_schedule(text, text),
  jobs.run_schedule(text, text), jobs.rerun_schedule(text, timestamptz, timestamptz, text),
  jobs.import_schedules(text, boolean)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- What those call with the caller's rights.
grant execute on function
  jobs_internal.try_schedule_settings(jsonb),
  jobs_internal.tell_frozen(jsonb, jsonb),
  jobs_internal.store_schedule(jobs_internal.schedule, jsonb, text, text),
  jobs_internal.read_import(text), jobs_internal.jobs_of_pg_cron(), jobs_internal.pg_cron_zone(),
  jobs_internal.jobs_of_pg_timetable(), jobs_internal.jobs_of_pgagent(),
  jobs_internal.pgagent_field(jsonb, integer, boolean), jobs_internal.is_several(text),
  jobs_internal.import_refusal(text, text), jobs_internal.statement_of_steps(jsonb, boolean),
  jobs_internal.dollar_quoted(text, text), jobs_internal.import_call(jsonb),
  jobs_internal.not_in_one_transaction(jsonb, boolean),
  jobs_internal.try_import(jsonb, boolean)
to jobs_producer;
grant execute on function
  jobs_internal.alter_schedule(jobs_internal.schedule, text),
  jobs_internal.unschedule(text, text), jobs_internal.pause_schedule(text, text),
  jobs_internal.resume_schedule(text, text), jobs_internal.run_schedule(text, text),
  jobs_internal.rerun_schedule(text, timestamptz, timestamptz, text)
to jobs_producer, jobs_operator;

-- Who may do what with snoozing and with results that are reused, beside setup/grants.sql.

-- Doors: each says itself for which roles it is.
grant execute on function jobs.snooze(interval, boolean), jobs.forget(text, jsonb, text)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- What they call with the caller's rights, and what a worker session calls.
grant execute on function jobs_internal.assert_may_snooze() to jobs_producer, jobs_runner;
grant execute on function jobs_internal.snoozed(jobs_internal.attempt_result),
  jobs_internal.is_undone(jobs_internal.attempt_result)
to jobs_runner;
grant execute on function jobs_internal.forget_results(text, integer, jsonb) to jobs_producer;

-- Who may do what with limits, beside setup/grants.sql.

grant select on jobs.concurrency_keys, jobs.concurrency_key_list
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function jobs_internal.seen_keys()
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- Doors: each says itself for which roles it is.
grant execute on function jobs.set_concurrency(text, integer)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- What they call with the caller's rights.
grant execute on function jobs_internal.set_concurrency(text, integer) to jobs_producer;

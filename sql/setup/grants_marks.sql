-- Who may do what with marks, beside setup/grants.sql.

grant select on jobs.marks, jobs.mark_list
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function jobs.compare(bigint, interval)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- A door: it says itself for which roles it is.
grant execute on function jobs.mark(text, text, jsonb)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- What it calls with the caller's rights.
grant execute on function jobs_internal.mark(text, text, jsonb)
to jobs_producer, jobs_operator;

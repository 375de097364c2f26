-- Who may do what with batches, beside setup/grants.sql.

grant select on jobs.batches, jobs.batch_list
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function jobs_internal.batch_jobs_seen(bigint)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- Doors: each says itself for which roles it is.
grant execute on function
  jobs.create_batch(text, text, text, text, jsonb, jsonb), jobs.close_batch(bigint),
  jobs.cancel_batch(bigint), jobs.retry_batch(bigint), jobs.batch_jobs(bigint)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- What those call with the caller's rights.
grant execute on function
  jobs_internal.store_batch(text, text[], integer[], jsonb[], jsonb)
to jobs_producer;
grant execute on function
  jobs_internal.close_batch(bigint), jobs_internal.cancel_batch(bigint),
  jobs_internal.retry_batch(bigint)
to jobs_producer, jobs_operator;

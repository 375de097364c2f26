-- Who may do what with long operations, beside setup/grants.sql.

-- What was measured: the views themselves decide which rows are shown.
grant select on jobs.measurements, jobs.measurement_list
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on function jobs_internal.traffic_now(), jobs_internal.gain(bigint)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- Measuring, in a worker session and in its child session.
grant execute on procedure
  jobs_internal.measure_job(bigint, boolean),
  jobs_internal.measure_operation(jobs_internal.work_item, text, boolean, jsonb,
      jobs_internal.attempt_result)
to jobs_runner;
grant execute on function
  jobs_internal.is_measured(bigint, boolean), jobs_internal.named_queries(bigint),
  jobs_internal.own_traffic(integer), jobs_internal.plan_names_object(bigint, jsonb),
  jobs_internal.add_measurement(bigint, text, text, text), jobs_internal.kept_queries(bigint),
  jobs_internal.store_measurement(bigint, integer, boolean, jsonb),
  jobs_internal.choose_queries(bigint), jobs_internal.measure_query(text, text),
  jobs_internal.plan_shape(jsonb), jobs_internal.report_measurements(bigint)
to jobs_runner;

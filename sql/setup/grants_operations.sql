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
  jobs_internal.add_measurement(bigint, text, text, text),
  jobs_internal.note_choice(bigint, integer), jobs_internal.kept_queries(bigint),
  jobs_internal.store_measurement(bigint, integer, boolean, jsonb),
  jobs_internal.choose_queries(bigint), jobs_internal.measure_query(text, text),
  jobs_internal.plan_shape(jsonb), jobs_internal.report_measurements(bigint)
to jobs_runner;

-- What a worker session waits for before a long operation begins.
grant execute on procedure
  jobs_internal.clear_leftover(bigint, jobs_internal.work_item, integer, jsonb,
      jobs_internal.attempt_result),
  jobs_internal.wait_for_old_transactions(bigint, jobs_internal.work_item,
      jobs_internal.attempt_result),
  jobs_internal.nap_before_start(bigint, jobs_internal.work_item, timestamptz, text, text, text,
      double precision, jobs_internal.attempt_result)
to jobs_runner;

-- Plan and take back.
grant execute on function
  jobs_internal.read_statement(text), jobs_internal.look_up_for_plan(jsonb, boolean),
  jobs_internal.names_of(jsonb), jobs_internal.refuse_missing(text, text, jsonb),
  jobs_internal.assert_allowed(oid, jsonb, boolean), jobs_internal.plan_tables(oid),
  jobs_internal.plan_index_bytes(oid, jsonb), jobs_internal.plan_row(jsonb, jsonb, text),
  jobs_internal.plan_one(integer, text, text, boolean), jobs_internal.steps_given(jsonb),
  jobs_internal.assert_steps(jsonb), jobs_internal.undo(bigint)
to jobs_producer;

-- A rehearsal runs with the caller's rights, and so does what it calls.
grant execute on function
  jobs_internal.texts_for_rehearsal(text, text), jobs_internal.assert_rehearsable(jsonb, oid),
  jobs_internal.run_rehearsal(text, text, text, jsonb, oid, text),
  jobs_internal.copy_for_rehearsal(oid, integer), jobs_internal.run_under(text, text),
  jobs_internal.ask_under(text, text), jobs_internal.real_locks(oid[]),
  jobs_internal.text_on_copy(text, oid, text), jobs_internal.table_state(oid),
  jobs_internal.rehearsed_before(jsonb, jsonb),
  jobs_internal.rehearsed_way_back(text, jsonb), jobs_internal.qualified(oid),
  jobs_internal.lock_in_words(text)
to jobs_producer;

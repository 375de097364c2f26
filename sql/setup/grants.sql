-- Who may do what: all grants stand here and, of long operations, in grants_operations.sql. Only
-- jobs_owner has a right on a table; EXECUTE is revoked from PUBLIC on everything.

revoke all on schema jobs, jobs_internal from public;
revoke all on all tables in schema jobs, jobs_internal from public;
revoke all on all routines in schema jobs, jobs_internal from public;

grant usage on schema jobs, jobs_internal to jobs_producer, jobs_runner, jobs_operator, jobs_reader,
  jobs_supervisor;

-- Views, and the helpers that they call with the caller's rights. The views themselves decide which
-- rows are shown.
grant select on jobs.job, jobs.queued, jobs.running, jobs.failed, jobs.finished, jobs.attempts,
  jobs.cost, jobs.queues,
  jobs.sessions, jobs.supervisors,
  jobs.health, jobs.job_list, jobs.queued_list, jobs.running_list, jobs.failed_list,
    jobs.attempt_list, jobs.queue_list,
  jobs.health_list, jobs.wait_reasons, jobs.finished_list, jobs.cost_list, jobs.session_list,
    jobs.supervisor_list, jobs.publication_list,
  jobs.option_list, jobs.wait_reason_list,
  jobs.settings, jobs.retry_rules, jobs.errors, jobs.options, jobs.quotas, jobs.publications,
    jobs.admitted_roles, jobs.steps, jobs.step_list, jobs.operations,
    jobs.operation_list, jobs.phases, jobs.phase_list
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant select on jobs.audit, jobs.audit_list to jobs_operator, jobs_reader;
grant select on jobs.log_lines, jobs.log_list to jobs_producer, jobs_runner, jobs_operator;
grant execute on function
  jobs_internal.is_asked_by_login(),
  jobs_internal.caller(), jobs_internal.viewer(), jobs_internal.caller_is(text),
    jobs_internal.activity(), jobs_internal.live_operations(), jobs_internal.queue_figures(),
  jobs_internal.live_supervisors(), jobs_internal.look_at_health(), jobs_internal.quota_figures(),
    jobs_internal.privileges_seen(oid),
  jobs_internal.lane_waits(), jobs_internal.functions_gone(),
    jobs_internal.shortened(text, integer), jobs.explain(bigint, bigint), jobs.blockers(bigint),
    jobs.next_runs, jobs_internal.wait_codes(), jobs_internal.reads(oid),
  jobs_internal.measures_no_cost(), jobs_internal.why_child_costs_are_unknown(),
  jobs_internal.eta(timestamptz, numeric, numeric, numeric, timestamptz, boolean),
  jobs.help(text), jobs_internal.help_of_function(oid), jobs_internal.help_of_view(oid),
    jobs_internal.errors_named(text),
  jobs_internal.wrapped(text, text, integer), jobs_internal.folded(text, integer),
    jobs_internal.counted(bigint, text, text)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- Enqueue and control one's own jobs.
grant execute on function
  jobs_internal.resolve(text, jsonb), jobs_internal.functions_by_name(text),
    jobs_internal.cut_parameters(text), jobs_internal.type_of(text),
  jobs_internal.signature_types(text), jobs_internal.argument_mismatch(oid, text[]),
    jobs_internal.parameters(oid),
  jobs_internal.type_name(oid),
  jobs_internal.call_template_of(oid, text[]), jobs_internal.to_canonical_jsonb(record),
    jobs_internal.canonical(jobs_internal.call_template, jsonb),
  jobs_internal.canonical_many(jobs_internal.call_template, jsonb[]),
    jobs_internal.try_settings(jsonb),
  jobs_internal.assert_size(jsonb, text, integer),
  jobs_internal.store_job(integer, jsonb, text, timestamptz, interval, integer, text, text, jsonb,
      jsonb, jsonb, bigint),
  jobs_internal.store_jobs(integer, jsonb[], text, timestamptz, interval, integer, text, jsonb,
      jsonb, jsonb),
  jobs_internal.store_statement(text, text, timestamptz, interval, integer, text, text, jsonb,
      jsonb, text, text, jsonb, text),
  jobs_internal.store_steps(jsonb, text, timestamptz, interval, integer, text, text, jsonb, jsonb,
      jsonb, text),
  jobs_internal.callers_path()
to jobs_producer;
grant execute on function jobs_internal.note_object(bigint),
  jobs_internal.objects_of(bigint, text),
  jobs_internal.operation_text(bigint), jobs_internal.look_up(jsonb, jsonb),
  jobs_internal.restore_statistics(bigint, integer),
  jobs_internal.store_object(bigint, jsonb, boolean),
  jobs_internal.saved_statistics(bigint, integer) to jobs_producer, jobs_runner;
grant execute on function
  jobs_internal.cancel(bigint), jobs_internal.retry(bigint), jobs_internal.run_now(bigint),
  jobs_internal.set_priority(bigint, text), jobs_internal.wait(bigint, interval),
  jobs_internal.dismiss(bigint), jobs_internal.dismiss_failed(text, timestamptz),
  jobs_internal.note(bigint, jsonb),
  jobs_internal.unpublish(integer)
to jobs_producer, jobs_operator;
grant execute on function
  jobs_internal.store_publication(oid, text, text, interval, integer, bigint),
  jobs_internal.enqueue_published(text, jsonb, text, timestamptz, interval, text, jsonb, jsonb)
to jobs_producer;
grant execute on function jobs_internal.waiting_reason(bigint),
  jobs_internal.refusal_of_commit() to jobs_producer, jobs_operator;
grant execute on function jobs_internal.state_of(bigint),
  jobs_internal.assert_controls(bigint, oid),
  jobs_internal.setting(text),
  jobs_internal.is_original(), jobs_internal.assert_not_copy()
to jobs_producer, jobs_runner, jobs_operator, jobs_supervisor;

-- Inside a job.
grant execute on function jobs_internal.current_attempt(), jobs_internal.background(text),
  jobs_internal.run_in_background(text, text, integer, boolean),
  jobs_internal.store_progress(bigint, integer, text),
    jobs_internal.store_log_line(bigint, integer, jsonb),
  jobs_internal.cut_line(integer)
to jobs_producer, jobs_runner;

-- Run one's own jobs.
grant execute on function jobs_internal.start(integer), jobs_internal.launch(integer, interval),
  jobs_internal.assert_own_login(),
  jobs_internal.dispatch_mine(), jobs_internal.my_free_sessions() to jobs_runner;
grant execute on procedure
  jobs_internal.work(integer, text),
  jobs_internal.open_worker(integer, text, jobs_internal.worker_state),
  jobs_internal.wait_for_work(jobs_internal.worker_state),
  jobs_internal.wait_for_more(jobs_internal.worker_state),
  jobs_internal.work_alone(jobs_internal.work_item, jobs_internal.worker_state),
  jobs_internal.work_chunk(jobs_internal.work_item[], integer[], jobs_internal.worker_state),
  jobs_internal.write_end(bigint, integer, boolean, jsonb, jobs_internal.attempt_result, boolean),
  jobs_internal.write_end_later(bigint, integer, boolean, boolean, jobs_internal.attempt_result),
  jobs_internal.note_before(jobs_internal.work_item, text, jsonb, jobs_internal.attempt_result),
  jobs_internal.run_top_level(bigint, jobs_internal.work_item, text, bigint, jsonb,
      jobs_internal.attempt_result),
  jobs_internal.run_child(bigint, jobs_internal.work_item, text, bigint, jsonb,
      jobs_internal.attempt_result),
  jobs_internal.start_child(jobs_internal.work_item, bigint, jobs_internal.attempt_result,
      jobs_internal.child_state),
  jobs_internal.find_lost_child(bigint, jobs_internal.attempt_result, jobs_internal.child_state),
  jobs_internal.note_started_child(bigint, jobs_internal.work_item, jobs_internal.child_state),
  jobs_internal.watch_child(bigint, jobs_internal.work_item, bigint, jobs_internal.attempt_result,
      jobs_internal.child_state)
to jobs_runner;
grant execute on function
  jobs_internal.reset_session(jsonb, text), jobs_internal.role_settings(),
  jobs_internal.baseline(jsonb),
  jobs_internal.worker_settings(jobs_internal.worker_state), jobs_internal.all_settings(),
  jobs_internal.claim_work(jobs_internal.worker_state, jobs_internal.run_stats[]),
  jobs_internal.begin_claim(jobs_internal.worker_state),
  jobs_internal.run_stats_of(integer, jobs_internal.attempt_result[]),
  jobs_internal.trust_after(jobs_internal.worker_trust, jobs_internal.run_stats[], integer),
  jobs_internal.run_alone(jobs_internal.work_item, bigint, text, bigint, jsonb, boolean),
  jobs_internal.run_in_savepoint(jobs_internal.work_item, bigint, text, bigint, jsonb, boolean),
  jobs_internal.begin_attempt(jobs_internal.work_item, bigint),
  jobs_internal.run_call(jobs_internal.work_item, jobs_internal.attempt_result, boolean),
  jobs_internal.run_sql(jobs_internal.work_item, jobs_internal.attempt_result, boolean),
  jobs_internal.end_of_attempt(jobs_internal.attempt_result, boolean, jsonb),
  jobs_internal.save_result(jsonb), jobs_internal.run_statement(text),
  jobs_internal.run_explain(text), jobs_internal.measured(text, boolean),
  jobs_internal.saved_result(), jobs_internal.after_vacuum(bigint, bigint, integer),
  jobs_internal.run_without_savepoint(jobs_internal.work_item, text, bigint, jsonb, boolean),
  jobs_internal.run_together(jobs_internal.work_item[], text, timestamptz, text, bigint, jsonb,
      integer),
  jobs_internal.begin_in_a_row(bigint, bigint, integer, bigint, timestamptz, text, bigint, integer),
  jobs_internal.end_in_a_row(bigint, integer, integer, timestamptz, text, timestamptz, jsonb,
      jsonb, text),
  jobs_internal.result_of(jobs_internal.attempt_result[], bigint),
  jobs_internal.distrusted(jobs_internal.work_item[], jobs_internal.attempt_result[]),
  jobs_internal.stopped_results(jobs_internal.work_item[], timestamptz, text, text),
  jobs_internal.collect_run_stats(integer, jobs_internal.attempt_result[], boolean),
    jobs_internal.has_deferrable_constraints(),
  jobs_internal.run_chunk(jobs_internal.work_item[], boolean, integer, bigint, text, bigint, jsonb,
      integer[], integer),
  jobs_internal.with_cost(jobs_internal.attempt_result, json),
  jobs_internal.collect_log(), jobs_internal.why_stopped(bigint, integer),
    jobs_internal.stop_reason(bigint, integer), jobs_internal.deadline_of(bigint),
  jobs_internal.call_templates_are_current(integer[]),
    jobs_internal.stop_error(text, interval, text, text),
  jobs_internal.interrupted_result(jobs_internal.work_item, timestamptz, text, text, text),
  jobs_internal.stopped_while_waiting(jobs_internal.work_item, timestamptz, text),
    jobs_internal.unwritable_result(jobs_internal.attempt_result, text, text),
  jobs_internal.shutting_down(), jobs_internal.high_water_mark(), jobs_internal.slots_settled(),
    jobs_internal.open_session(integer), jobs_internal.schema_version(),
  jobs_internal.close_session(bigint, jobs_internal.run_stats[]),
  jobs_internal.claim(bigint, bigint, jobs_internal.run_stats[], boolean, integer),
  jobs_internal.open_chunk(integer, bigint[], timestamptz, double precision, boolean),
  jobs_internal.begin_alone(bigint, integer, jobs_internal.work_item, jsonb),
    jobs_internal.finish_chunk(bigint, integer, bigint[], jobs_internal.attempt_result[]),
  jobs_internal.finish_alone(bigint, integer, jobs_internal.attempt_result),
    jobs_internal.fence(bigint, bigint, integer),
  jobs_internal.error_object(text, text, text, text, text, text, text),
    jobs_internal.limit_rows(bigint, jsonb),
  jobs_internal.argument(text, anyelement), jobs_internal.type_name(oid),
    jobs_internal.my_arguments(), jobs_internal.found_by(jsonb),
  jobs_internal.index_definition(oid), jobs_internal.members(oid, boolean),
    jobs_internal.rebuilt_indexes(jsonb, jsonb),
  jobs_internal.maintenance_targets(jsonb), jobs_internal.named_object(text, text),
    jobs_internal.identity_of(jsonb, jsonb),
  jobs_internal.noted(bigint), jobs_internal.store_identity(bigint, bigint, jsonb),
    jobs_internal.count_anew(bigint, bigint),
    jobs_internal.note_identity(bigint, bigint, text), jobs_internal.facts_of(bigint, text),
  jobs_internal.notes_way_back(bigint), jobs_internal.statistics_of(jsonb, jsonb),
  jobs_internal.read_facts(bigint, jsonb, jsonb, jsonb), jobs_internal.undo_error(bigint),
  jobs_internal.assert_still_undoable(bigint), jobs_internal.store_before(bigint, jsonb),
  jobs_internal.facts_in_transaction(bigint), jobs_internal.note_way_back(bigint, text, boolean),
  jobs_internal.judge(bigint), jobs_internal.is_done(),
    jobs_internal.ask(jobs_internal.work_item, text), jobs_internal.unverified(bigint),
  jobs_internal.runs_again(bigint, jsonb), jobs_internal.text_now(bigint),
    jobs_internal.leftovers(bigint),
  jobs_internal.set_lock_timeout(jobs_internal.work_item), jobs_internal.manners(bigint),
  jobs_internal.relations_to_lock(bigint), jobs_internal.was_held(bigint),
  jobs_internal.look_at_operation(bigint, bigint, integer, integer),
  jobs_internal.way_given(bigint, integer),
  jobs_internal.gave_way(jobs_internal.attempt_result, jsonb),
  jobs_internal.path_for(jsonb, text, text), jobs_internal.has_steps(bigint),
  jobs_internal.builds_index(bigint), jobs_internal.only_drops(bigint),
  jobs_internal.store_made_index(bigint, bigint, oid),
    jobs_internal.index_of_child(integer), jobs_internal.in_the_way(oid),
  jobs_internal.say_wait(bigint, bigint, integer, text),
  jobs_internal.say_awaited(bigint), jobs_internal.before_vacuum(bigint, bigint, integer),
  jobs_internal.first_skipped_table(jsonb, text), jobs_internal.skip_error(jsonb, jsonb),
  jobs_internal.attempt_name(jobs_internal.attempt_result),
  jobs_internal.end_before_start(jobs_internal.work_item, text, jobs_internal.attempt_result),
  jobs_internal.prepare_child(jobs_internal.work_item, bigint, jobs_internal.child_state),
  jobs_internal.await_child(jobs_internal.child_state, double precision),
  jobs_internal.note_index(bigint, bigint, integer),
  jobs_internal.note_watched_child(bigint, jobs_internal.work_item, jobs_internal.child_state),
  jobs_internal.child_result(jobs_internal.work_item, bigint, jsonb, jobs_internal.child_state,
      jobs_internal.attempt_result),
  jobs_internal.child_error(jobs_internal.work_item, bigint, jsonb, jobs_internal.child_state,
      jobs_internal.child_report, jobs_internal.attempt_result),
  jobs_internal.child_verdict(jobs_internal.work_item, jsonb, jobs_internal.child_state,
      jobs_internal.attempt_result),
  jobs_internal.child_unseen(jobs_internal.work_item, jobs_internal.child_state,
      jobs_internal.attempt_result),
  jobs_internal.launch_child(text, text), jobs_internal.launch_call(text, text),
  jobs_internal.out_columns(integer), jobs_internal.columns_of(oid, name[]),
    jobs_internal.called_name(text),
  jobs_internal.read_call(integer, bigint, text),
    jobs_internal.note_child(bigint, bigint, integer, integer),
  jobs_internal.wait_child(integer, bigint, integer),
    jobs_internal.find_child(bigint, bigint, integer),
  jobs_internal.signal_late_child(bigint, bigint, integer), jobs_internal.may_connect(),
  jobs_internal.child_outcome(integer, bigint), jobs_internal.detach_child(integer, bigint),
    jobs_internal.child_is_stuck(integer),
  jobs_internal.child_figures(text), jobs_internal.with_child_cost(jobs_internal.attempt_result,
      jsonb,
      jsonb),
  jobs_internal.result_limit(), jobs_internal.alive(integer, timestamptz),
    jobs_internal.mark_top_level(bigint),
  jobs_internal.requeue_uncharged(bigint, bigint, integer)
to jobs_runner;

-- Operate.
grant execute on function
  jobs_internal.create_queue(text, integer, interval, integer, interval, interval, interval,
      boolean, bigint, text, integer, interval, text),
  jobs_internal.alter_queue(text, integer, interval, integer, interval, interval, interval, boolean,
      boolean, bigint, text, integer, interval, text),
  jobs_internal.drop_queue(text), jobs_internal.pause(text), jobs_internal.resume(text),
    jobs_internal.configure(text, text),
  jobs_internal.set_retry_rule(text, boolean, text), jobs_internal.reconcile(),
  jobs_internal.set_quota(text, bigint, integer, integer, integer, integer, bigint, text),
  jobs_internal.maintain()
to jobs_operator;
-- The doors, which say what role is missing, are open to all of ours. current_id, explain and help
-- tell everyone, and no one anything that is another's.
grant execute on function
  jobs.cancel(bigint), jobs.retry(bigint), jobs.run_now(bigint), jobs.set_priority(bigint, text),
  jobs.wait(bigint, interval), jobs.dismiss(bigint), jobs.dismiss_failed(text, timestamptz),
  jobs.publish(text, text, text, interval, integer, bigint), jobs.unpublish(integer),
  jobs.enqueue_published(text, jsonb, text, timestamptz, interval, text, jsonb, jsonb),
  jobs.progress(numeric, numeric, text), jobs.log(text, text, jsonb),
  jobs.current_id(), jobs_internal.current_job(),
  jobs.create_queue(text, integer, interval, integer, interval, interval, interval, boolean,
      bigint, text, integer, interval, text),
  jobs.alter_queue(text, integer, interval, integer, interval, interval, interval, boolean, boolean,
      bigint, text, integer, interval, text),
  jobs.drop_queue(text), jobs.pause(text), jobs.resume(text), jobs.configure(text, text),
    jobs.set_retry_rule(text, boolean, text), jobs.reconcile(),
  jobs.set_quota(text, bigint, integer, integer, integer, integer, bigint, text),
  jobs.enqueue(text, jsonb, text, timestamptz, interval, integer, text, text, jsonb, jsonb, jsonb),
  jobs.enqueue_many(text, jsonb[], text, timestamptz, interval, integer, text, text, jsonb, jsonb,
      jsonb),
  jobs.enqueue_sql(text, text, timestamptz, interval, integer, text, text, jsonb, jsonb, text, text,
      jsonb),
  jobs.not_null_steps(text, text), jobs.constraint_steps(text, text, text),
  jobs.unique_steps(text, text[]), jobs.replace_index_steps(text, text),
  jobs_internal.recipe_relation(text),
  jobs_internal.not_null_recipe(oid, text, text, integer),
  jobs_internal.constraint_recipe(oid, text, text, text, oid),
  jobs_internal.referenced_table(text),
  jobs_internal.unique_recipe(oid, text, text[]),
  jobs_internal.replace_index_recipe(oid, text, text),
  jobs.enqueue_steps(jsonb, text, timestamptz, interval, integer, text, text, jsonb, jsonb, jsonb),
  jobs.plan(text), jobs.plan(jsonb), jobs.undo(bigint), jobs.rehearse(text, text, text),
  jobs.note(bigint, jsonb),
  jobs.admit_role(text), jobs.dismiss_role(text), jobs.start(integer),
    jobs_internal.assert_member(text, text, text)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;
grant execute on procedure jobs.await(bigint, interval)
to jobs_producer, jobs_runner, jobs_operator, jobs_reader, jobs_supervisor;

-- Supervise.
grant execute on function
  jobs_internal.assert_program_fits(integer),
  jobs_internal.supervisor_open(text, text, integer, text),
    jobs_internal.supervisor_serves(bigint, text[]),
  jobs_internal.supervisor_close(bigint), jobs_internal.supervisor_tick(bigint),
  jobs_internal.supervisor_send_stop_signals(bigint),
    jobs_internal.supervisor_sleep(bigint, boolean),
    jobs_internal.take_outcomes(integer),
  jobs_internal.runners(), jobs_internal.maintain(), jobs_internal.note_unreached(bigint, jsonb)
to jobs_supervisor;

-- Administrators alone, who need no grant: jobs_internal.admit_role(text),
-- jobs_internal.dismiss_role(text).

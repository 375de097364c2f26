"""Who may call and read what."""

EVERYBODY = ("app", "producer", "runner", "operator", "reader", "supervisor")


PRODUCERS = ("app", "producer")


STEERS = ("app", "producer", "operator")


RUNNERS = ("app", "runner")


INSIDE = ("app", "runner", "producer")  # a job runs as a runner; a call outside of one does nothing


OPERATORS = ("operator",)


#: A call of each public function, and who may make it.
#: A call that is allowed may be refused for another reason.
CALLS = {
    "enqueue": ("select jobs.enqueue('pg_catalog.no_such')", PRODUCERS),
    "enqueue_many": ("select jobs.enqueue_many('pg_catalog.no_such', '{\"{}\"}')", PRODUCERS),
    "not_null_steps": ("select jobs.not_null_steps('app.t', 'c')", EVERYBODY),
    "constraint_steps": ("select jobs.constraint_steps('app.t', 'c', 'check (true)')", EVERYBODY),
    "unique_steps": ("select jobs.unique_steps('app.t', '{c}')", EVERYBODY),
    "replace_index_steps": ("select jobs.replace_index_steps('app.i', '(c)')", EVERYBODY),
    "enqueue_steps": ("select jobs.enqueue_steps('[]')", PRODUCERS),
    "enqueue_sql": ("select jobs.enqueue_sql('')", PRODUCERS),
    "plan": ("select jobs.plan('')", PRODUCERS),
    "undo": ("select jobs.undo(0)", PRODUCERS),
    "rehearse": ("select jobs.rehearse('')", PRODUCERS),
    "note": ("select jobs.note(0, '{}')", STEERS),
    "cancel": ("select jobs.cancel(0)", STEERS),
    "retry": ("select jobs.retry(0)", STEERS),
    "run_now": ("select jobs.run_now(0)", STEERS),
    "dismiss": ("select jobs.dismiss(0)", STEERS),
    "dismiss_failed": ("select jobs.dismiss_failed('no such')", STEERS),
    "next_runs": ("select jobs.next_runs('@daily')", EVERYBODY),
    "schedule": ("select jobs.schedule('x', '', 'pg_catalog.no_such')", PRODUCERS),
    "schedule_sql": ("select jobs.schedule_sql('x', '', '')", PRODUCERS),
    "alter_schedule": ("select jobs.alter_schedule('no such')", STEERS),
    "unschedule": ("select jobs.unschedule('no such')", STEERS),
    "pause_schedule": ("select jobs.pause_schedule('no such')", STEERS),
    "resume_schedule": ("select jobs.resume_schedule('no such')", STEERS),
    "run_schedule": ("select jobs.run_schedule('no such')", STEERS),
    "import_schedules": ("select jobs.import_schedules('')", PRODUCERS),
    "rerun_schedule": ("select jobs.rerun_schedule('no such', now(), now())", STEERS),
    "create_batch": ("select jobs.create_batch('')", PRODUCERS),
    "close_batch": ("select jobs.close_batch(0)", STEERS),
    "cancel_batch": ("select jobs.cancel_batch(0)", STEERS),
    "retry_batch": ("select jobs.retry_batch(0)", STEERS),
    "batch_jobs": ("select jobs.batch_jobs(0)", EVERYBODY),
    "current_run": ("select * from jobs.current_run()", EVERYBODY),
    "explain": ("select jobs.explain(0)", EVERYBODY),
    "blockers": ("select * from jobs.blockers(0)", EVERYBODY),
    "wait": ("select jobs.wait(0, '1 s')", STEERS),
    "set_priority": ("select jobs.set_priority(0, 'low')", STEERS),
    "publish": ("select jobs.publish('pg_catalog.no_such', 'no such')", PRODUCERS),
    "unpublish": ("select jobs.unpublish(0)", STEERS),
    "enqueue_published": ("select jobs.enqueue_published('no such')", PRODUCERS),
    "await": ("call jobs.await(0, '1 s')", STEERS),
    "current_id": ("select jobs.current_id()", EVERYBODY),
    "progress": ("select jobs.progress(1, 2)", INSIDE),
    "log": ("select jobs.log('x', 'loud')", INSIDE),
    "set_concurrency": ("select jobs.set_concurrency('', 1)", PRODUCERS),
    "forget": ("select jobs.forget()", PRODUCERS),
    "snooze": ("select jobs.snooze('1 s')", INSIDE),
    "start": ("select jobs.start(0)", RUNNERS),
    "help": ("select jobs.help('start')", EVERYBODY),
    "create_queue": ("select jobs.create_queue('a b')", OPERATORS),
    "alter_queue": ("select jobs.alter_queue('no such')", OPERATORS),
    "create_window": ("select jobs.create_window('a b', '@daily', '1 hour')", OPERATORS),
    "alter_window": ("select jobs.alter_window('no such')", OPERATORS),
    "drop_window": ("select jobs.drop_window('no such')", OPERATORS),
    "open_window": ("select jobs.open_window('no such', '1 hour')", OPERATORS),
    "close_window": ("select jobs.close_window('no such')", OPERATORS),
    "mark": ("select jobs.mark('')", STEERS),
    "compare": ("select jobs.compare(0)", EVERYBODY),
    "drop_queue": ("select jobs.drop_queue('no such')", OPERATORS),
    "pause": ("select jobs.pause('no such')", OPERATORS),
    "resume": ("select jobs.resume('no such')", OPERATORS),
    "configure": ("select jobs.configure('no such', '')", OPERATORS),
    "set_quota": ("select jobs.set_quota('no such')", OPERATORS),
    "admit_role": ("select jobs.admit_role('no such')", ()),
    "dismiss_role": ("select jobs.dismiss_role('no such')", ()),
    "reconcile": ("select jobs.reconcile()", OPERATORS),
    "set_retry_rule": ("select jobs.set_retry_rule('no such', true)", OPERATORS),
}


VIEWS = (
    *(
        "job",
        "queued",
        "running",
        "failed",
        "finished",
        "attempts",
        "cost",
        "queues",
        "sessions",
        "supervisors",
        "health",
        *(
            "job_list",
            "queued_list",
            "running_list",
            "failed_list",
            "attempt_list",
            "queue_list",
            "health_list",
        ),
        *("finished_list", "cost_list", "session_list", "supervisor_list", "publication_list"),
        *("option_list", "wait_reason_list", "steps", "step_list"),
        *("operations", "operation_list", "phases", "phase_list"),
        *("measurements", "measurement_list"),
        *("schedules", "schedule_list", "schedule_runs", "schedule_run_list"),
        *("batches", "batch_list"),
        *("concurrency_keys", "concurrency_key_list"),
        *("windows", "window_list"),
        *("marks", "mark_list"),
        "wait_reasons",
    ),
    *("settings", "retry_rules", "errors", "options", "quotas", "publications", "admitted_roles"),
)


#: Views that not every role of ours may read.
NARROWER = ["log_lines", "log_list", "audit", "audit_list", "metrics"]

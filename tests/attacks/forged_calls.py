"""Calls that forge: what an owner says with numbers of another one, and what comes of it."""

from typing import Any

ITEM = (
    "jsonb_populate_record(null::jobs_internal.work_item, jsonb_build_object('msg_id',"
    " %(message)s::bigint,"
    " 'job_id', {job}::bigint, 'attempt', 1, 'mode', '{mode}', 'call',"
    " 'select app.strike(''item'')',"
    " 'statement', 'select app.strike(''item'')', 'verify', false,"
    " 'done_when', 'select jobs_internal.is_done()', 'quick', true))"
)


ENDING = (
    "jsonb_populate_record(null::jobs_internal.attempt_result, jsonb_build_object('job_id',"
    " {job}::bigint, 'attempt', 1,"
    " 'outcome', '{outcome}', 'started_at', now(), 'finished_at', now(), 'result', '1'::jsonb,"
    " 'logs', '[{{\"message\": \"forged\"}}]'::jsonb))"
)


LESSON = (
    "array(select jsonb_populate_record(null::jobs_internal.run_stats,"
    " jsonb_build_object('lane_id', %(lane)s::int,"
    " 'task', 'forged', 'runs', 1, 'failed', 1, 'ms', 1)))"
)


RUNNING, WAITING, STATEMENT = "%(job)s", "%(waiting)s", "%(statement)s"


DONE = ENDING.format(job=WAITING, outcome="succeeded")


FAILED = ENDING.format(job=WAITING, outcome="failed")


#: name -> (query, expected): an SQLSTATE, or the one value that it gives; None: null, or nothing.
FORGED: dict[str, tuple[str, Any]] = {
    # As another session.
    "claim": ("select jobs_internal.claim(%(session)s, 0, null, false, 10)", "PW050"),
    "claim with release": ("select jobs_internal.claim(%(session)s, 0, null, true, 10)", "PW050"),
    "close_session": ("select jobs_internal.close_session(%(session)s, null)", "PW050"),
    "begin_alone": (
        (
            "select jobs_internal.begin_alone(%(session)s, %(lane)s,"
            f" {ITEM.format(job=WAITING, mode='alone')})"
        ),
        "PW050",
    ),
    "finish_alone": (
        (
            "select jobs_internal.finish_alone(%(session)s, %(lane)s,"
            f" {ENDING.format(job=RUNNING, outcome='succeeded')})"
        ),
        "PW050",
    ),
    "note_child": (
        "select jobs_internal.note_child(%(session)s, %(job)s, 1, pg_backend_pid())",
        "PW050",
    ),
    "find_child": ("select pid from jobs_internal.find_child(%(session)s, %(job)s, 1)", "PW050"),
    "signal_late_child": (
        "select jobs_internal.signal_late_child(%(session)s, %(job)s, 1)",
        "PW050",
    ),
    "requeue_uncharged": (
        "select jobs_internal.requeue_uncharged(%(session)s, %(job)s, 1)",
        "PW050",
    ),
    "store_identity": (
        "select jobs_internal.store_identity(%(session)s, %(statement)s, '{}')",
        "PW050",
    ),
    "store_made_index": (
        (
            "select jobs_internal.store_made_index(%(session)s, %(statement)s,"
            " 'pg_class_oid_index'::regclass)"
        ),
        "PW050",
    ),
    "say_wait": ("select jobs_internal.say_wait(%(session)s, %(statement)s, 1, 'x')", "PW050"),
    "fence": ("select jobs_internal.fence(%(session)s, %(job)s, 1)", "PW041"),
    "no session": ("select jobs_internal.claim(null, 0, null, false, 10)", "PW050"),
    # In another lane.
    "open_chunk": (
        "select jobs_internal.open_chunk(%(lane)s, %(messages)s, now(), 10, false)",
        "PW050",
    ),
    "begin_alone there": (
        (
            "select jobs_internal.begin_alone(%(mine)s, %(lane)s,"
            f" {ITEM.format(job=WAITING, mode='alone')})"
        ),
        "PW050",
    ),
    "finish_chunk there": (
        f"select jobs_internal.finish_chunk(%(mine)s, %(lane)s, %(messages)s, array[{DONE}])",
        "PW050",
    ),
    "finish_alone there": (
        (
            "select jobs_internal.finish_alone(%(mine)s, %(lane)s,"
            f" {ENDING.format(job=RUNNING, outcome='succeeded')})"
        ),
        "PW050",
    ),
    "no lane": ("select jobs_internal.open_chunk(null, %(messages)s, now(), 10, false)", "PW050"),
    # As oneself, with the job of somebody else.
    "begin_alone theirs": (
        (
            "select (jobs_internal.begin_alone(%(mine)s, %(my_lane)s,"
            f" {ITEM.format(job=WAITING, mode='alone')})).mode"
        ),
        "gone",
    ),
    "begin_alone their index": (
        (
            "select (jobs_internal.begin_alone(%(mine)s, %(my_lane)s,"
            f" {ITEM.format(job=STATEMENT, mode='child')})).mode"
        ),
        "gone",
    ),
    "finish_chunk theirs": (
        f"select jobs_internal.finish_chunk(%(mine)s, %(my_lane)s, '{{}}', array[{DONE}])",
        False,
    ),
    "finish_chunk theirs as failed": (
        f"select jobs_internal.finish_chunk(%(mine)s, %(my_lane)s, '{{}}', array[{FAILED}])",
        False,
    ),
    "finish_alone theirs": (
        (
            "select jobs_internal.finish_alone(%(mine)s, %(my_lane)s,"
            f" {ENDING.format(job=RUNNING, outcome='succeeded')})"
        ),
        "PW041",
    ),
    "finish_alone theirs as cancelled": (
        (
            "select jobs_internal.finish_alone(%(mine)s, %(my_lane)s,"
            f" {ENDING.format(job=RUNNING, outcome='cancelled')})"
        ),
        "PW041",
    ),
    "note their process as a child": (
        "select jobs_internal.note_child(%(mine)s, %(job)s, 1, %(pid)s)",
        None,
    ),
    "note their process as a child of mine": (
        "select jobs_internal.note_child(%(mine)s, %(own)s, 1, %(pid)s)",
        None,
    ),
    "find their child": ("select pid from jobs_internal.find_child(%(mine)s, %(job)s, 1)", None),
    "press theirs": ("select jobs_internal.signal_late_child(%(mine)s, %(job)s, 1)", ""),
    "press theirs again": ("select jobs_internal.signal_late_child(%(mine)s, %(job)s, 2)", ""),
    "put theirs back": ("select jobs_internal.requeue_uncharged(%(mine)s, %(job)s, 1)", ""),
    "their identity": ("select jobs_internal.store_identity(%(mine)s, %(statement)s, '{}')", ""),
    "their index": (
        (
            "select jobs_internal.store_made_index(%(mine)s, %(statement)s,"
            " 'pg_class_oid_index'::regclass)"
        ),
        "",
    ),
    "what theirs waits for, said": (
        "select jobs_internal.say_wait(%(mine)s, %(statement)s, 1, 'x')",
        "",
    ),
    "their statement at top level": ("select jobs_internal.mark_top_level(%(plain)s)", ""),
    "their deadline": ("select jobs_internal.deadline_of(%(job)s)", None),
    "their reason to stop": ("select jobs_internal.stop_reason(%(job)s, 1)", None),
    "their reason, waited for": ("select jobs_internal.why_stopped(%(job)s, 1)", None),
    "what their index is": ("select target from jobs_internal.noted(%(statement)s)", None),
    "note what theirs is": (
        "select jobs_internal.note_identity(%(mine)s, %(statement)s, 'app')",
        None,
    ),
    "whether theirs is done": (
        "select jobs_internal.judge(%(statement)s) ->> 'why'",
        "nothing was noted before it ran",
    ),
    "what theirs left": ("select count(*) from jobs_internal.leftovers(%(statement)s)", 0),
    "what theirs runs next": ("select jobs_internal.text_now(%(statement)s)", None),
    "why theirs is not verified": ("select jobs_internal.unverified(%(statement)s)", None),
    "whether theirs is repeatable": (
        "select jobs_internal.runs_again(%(statement)s, '{\"done\": false}')",
        None,
    ),
    "whether theirs builds": ("select jobs_internal.builds_index(%(waiting)s)", False),
    "whether theirs cleans up": ("select jobs_internal.only_drops(%(waiting)s)", False),
    "their state": ("select jobs_internal.state_of(%(job)s)", "PW030"),
    "what theirs waits for": ("select jobs_internal.waiting_reason(%(waiting)s)", "PW030"),
    "whether theirs is stuck": ("select jobs_internal.child_is_stuck(%(pid)s)", False),
    "whether they are alive": ("select jobs_internal.alive(%(pid)s, now())", False),
    "their handle": ("select jobs_internal.wait_child(%(pid)s, 1, 1)", "42704"),
    "their child's end": ("select jobs_internal.child_outcome(%(pid)s, 1)", "42704"),
    "their handle, let go": ("select jobs_internal.detach_child(%(pid)s, 1)", "42704"),
    # Progress and log lines, by number and by a forged name of the session.
    "progress": ("select jobs_internal.store_progress(%(job)s, 1, 'forged')", ""),
    "progress of one that waits": (
        "select jobs_internal.store_progress(%(waiting)s, 1, 'forged')",
        "",
    ),
    "log line": (
        'select jobs_internal.store_log_line(%(job)s, 1, \'{"message": "forged"}\')',
        None,
    ),
    "log line of one that is done": (
        'select jobs_internal.store_log_line(%(done)s, 1, \'{"message": "forged"}\')',
        None,
    ),
    "arguments": (
        (
            "select jobs_internal.my_arguments() from set_config('pyworker.job',"
            " %(waiting)s || '/1 1', false)"
        ),
        None,
    ),
    "an argument": (
        (
            "select jobs_internal.argument('n', 0) from set_config('pyworker.job',"
            " %(waiting)s || '/1 1', false)"
        ),
        None,
    ),
    "progress by name": (
        (
            "select jobs.progress(1, 2, 'forged') from set_config('pyworker.job',"
            " %(job)s || '/1 1', false)"
        ),
        "",
    ),
    "log by name": (
        (
            "select jobs.log('forged') from set_config('pyworker.child', 'on', false) as a,"
            " {name} as b"
        ).replace("{name}", "set_config('pyworker.job', %(job)s || '/1 1', false)"),
        "",
    ),
    # Figures.
    "lessons of their lane": (
        f"select (jobs_internal.claim(%(mine)s, 0, {LESSON}, true, 1)).lane_id = %(my_lane)s",
        True,
    ),
    # The supervisor's part.
    "supervisor_open": ("select jobs_internal.supervisor_open('x', 'x', 1, 'x')", "42501"),
    "supervisor_tick": ("select jobs_internal.supervisor_tick(1)", "42501"),
    "supervisor_send_stop_signals": (
        "select jobs_internal.supervisor_send_stop_signals(1)",
        "42501",
    ),
    "supervisor_sleep": ("select jobs_internal.supervisor_sleep(1, true)", "42501"),
    "supervisor_close": ("select jobs_internal.supervisor_close(1)", "42501"),
    "take_outcomes": ("select jobs_internal.take_outcomes(1)", "42501"),
    "note_unreached": (
        """select jobs_internal.note_unreached(1, '{"other": "forged"}')""",
        "42501",
    ),
    "runners": ("select jobs_internal.runners()", "42501"),
    "maintain": ("select jobs_internal.maintain()", "42501"),
    # What nobody calls from outside.
    "end_attempt": (
        (
            "select jobs_internal.end_attempt(1, 'running', 1,"
            f" {ENDING.format(job=RUNNING, outcome='succeeded')})"
        ),
        "42501",
    ),
    "rescue": ("select jobs_internal.rescue()", "42501"),
    "send_stop_signals": ("select jobs_internal.send_stop_signals(%(job)s)", "42501"),
    "stop_job": ("call jobs_internal.stop_job(%(job)s, 1, 'x')", "42501"),
    "launch_stop": ("select jobs_internal.launch_stop(%(job)s, 1, 'x')", "42501"),
    "cancel_waiting": ("select jobs_internal.cancel_waiting(%(waiting)s, 'x')", "42501"),
    "enter_lane": ("select jobs_internal.enter_lane(%(planned)s)", "42501"),
    "record_audit": ("select jobs_internal.record_audit('x', 'x', null, null)", "42501"),
    "put_in_outbox": ("select jobs_internal.put_in_outbox(1, 1, 1, 1, null, null)", "42501"),
    "store_log_lines": ("select jobs_internal.store_log_lines(%(job)s, 1, 0, '[]')", "42501"),
    "record_run_stats": ("select jobs_internal.record_run_stats(null, null)", "42501"),
    "release": ("select jobs_internal.release(null, false)", "42501"),
    "dispatch": ("select jobs_internal.dispatch('other'::regrole::oid, 1)", "42501"),
}

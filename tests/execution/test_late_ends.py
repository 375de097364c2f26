"""Ends that meet a time limit: what came to its end all the same has succeeded, and a limit that is
not reached is no reason.
"""

from stage import attempts, gate_shut, holding, put, put_sql, running, state, wait_at_gate
from support import Database, wait_until

TIME_IS_OVER = (
    "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)"
    " values (%s, 1, 'timed_out', 'a supervisor')"
)


def test_a_child_that_finished_though_its_time_was_over_has_succeeded(database: Database) -> None:
    """Its watcher is gone, and it was its last attempt: the rescue asks the post-condition."""
    database.run("create table app.points (n integer)")
    with holding(database, "insert into app.points values (1)") as holder:
        job = put_sql(
            database, "create index concurrently points_n on app.points (n)", max_attempts=1
        )
        database.run("select jobs.start()")
        wait_until(
            lambda: database.admin(
                "select 1 from pg_stat_progress_create_index where phase like 'waiting%%'"
            )
        )
        watcher = (running(database, job) or {})["pid"]
        database.admin("select pg_terminate_backend(%s)", [watcher])
        wait_until(
            lambda: not database.admin("select 1 from pg_stat_activity where pid = %s", [watcher])
        )
        database.admin(TIME_IS_OVER, [job])
        holder.rollback()
    wait_until(lambda: not database.background())
    database.admin("select jobs_internal.rescue()")
    found = database.job(job)
    assert (found["state"], found["result"]) == (
        "succeeded",
        {"verified": True, "despite": "timed_out"},
    )


def test_a_signal_that_came_before_the_time_was_over_charges_nothing(database: Database) -> None:
    """Who is signalled waits for a reason for a moment; its time may end in that moment."""
    job = put(database, "app.gate", {"n": 1}, max_attempts=1, timeout="1 hour")
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin(TIME_IS_OVER, [job])
        database.admin("select pg_cancel_backend(%s)", [pid])
        wait_until(lambda: not database.background(), 60)
        assert state(database, job) == "scheduled"
        assert attempts(database, job) == []
    database.drain()
    assert database.result(job) == 1

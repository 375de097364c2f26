"""A signal comes while a watcher launches its child: the child that was launched is found,
and has no second copy.
"""

import pytest
from stage import attempts, gate_shut, ledger, put_sql, state, wait_at_gate, wait_for, wait_running
from support import Database, wait_until

#: Launches as ever, and then has not heard of it yet.
SLOW = """
create or replace function
  jobs_internal.launch_child(p_statement text, p_label text, out pid integer, out cookie bigint)
language plpgsql volatile as $$
begin
  execute pg_catalog.format(
    'select h.pid, h.cookie from %s($1, $2, $3) as h', jobs_internal.background('submit'))
  into pid, cookie
  using p_statement, jobs_internal.setting('child_queue_bytes')::integer, 'pyworker ' || p_label;
  perform pg_catalog.pg_advisory_xact_lock_shared(2);
end $$
"""


@pytest.mark.parametrize("done", [None, "exists (select from app.ledger where n = 2)"])
def test_a_watcher_that_is_cut_off_in_its_launch_finds_its_child(
    database: Database, done: str | None
) -> None:
    database.admin(SLOW)
    job = put_sql(database, "call app.watched(2, 'x')", done_when=done, max_attempts=1)
    with gate_shut(database):
        with database.server.connect("postgres", database.name) as holder:
            holder.execute("select pg_advisory_lock(2)")
            database.run("select jobs.start()")
            (child,) = wait_at_gate(database)
            watcher = database.value("select pid from jobs.sessions")
            wait_until(
                lambda: database.admin(
                    "select 1 from pg_locks where pid = %s and not granted", [watcher]
                )
            )
            database.admin("select pg_cancel_backend(%s)", [watcher])
            row = wait_until(
                lambda: wait_running(database, job) if _noted(database, job) else None, 10
            )
        assert (row["pid"], row["child_pid"]) == (watcher, child)
        database.run("select jobs.start()")
        assert ledger(database) == [2], "no second copy beside it"
    assert wait_for(database, job)["state"] == ("in_doubt" if done is None else "succeeded")
    assert attempts(database, job) == [(1, "in_doubt" if done is None else "succeeded")]
    wait_until(lambda: not database.background(), 10)
    assert ledger(database) == [2]


def _noted(database: Database, job: int) -> bool:
    return database.admin(
        "select child_pid is not null from jobs_internal.job where id = %s", [job]
    ) == [(True,)]


def test_a_watcher_that_is_cut_off_before_its_launch_charges_nobody(database: Database) -> None:
    database.admin(
        "create or replace function jobs_internal.launch_child(p_statement text, p_label text,"
        " out pid integer,"
        " out cookie bigint) language plpgsql volatile as $$ begin"
        " perform pg_catalog.pg_advisory_xact_lock_shared(2);"
        " execute pg_catalog.format('select h.pid, h.cookie from %s($1, 65536, $2) as h',"
        " jobs_internal.background('submit')) into pid, cookie using p_statement,"
        " 'pyworker ' || p_label; end $$"
    )
    job = put_sql(database, "call app.two_commits(1)", max_attempts=1)
    with database.server.connect("postgres", database.name) as holder:
        holder.execute("select pg_advisory_lock(2)")
        database.run("select jobs.start()")
        waiting = (
            "select pid from pg_locks where locktype = 'advisory' and objid = 2 and not granted"
        )
        ((watcher,),) = wait_until(lambda: database.admin(waiting), 10)
        database.admin("select pg_cancel_backend(%s)", [watcher])
        wait_until(lambda: state(database, job) == "scheduled", 10)
    database.drain()
    assert attempts(database, job) == [(1, "succeeded")]
    assert ledger(database) == [1, 2]


def test_a_timeout_waits_for_the_child_that_is_being_launched(database: Database) -> None:
    """It hits the child, as soon as that is known, and not its watcher: so its end is seen,
    and nothing is in doubt.
    """
    database.admin(SLOW)
    job = put_sql(database, "call app.watched(2, 'x')", timeout="100 ms", max_attempts=1)
    with gate_shut(database):
        with database.server.connect("postgres", database.name) as holder:
            holder.execute("select pg_advisory_lock(2)")
            database.run("select jobs.start()")
            wait_at_gate(database)
            overdue = (
                "select 1 from jobs_internal.job where id = %s and started_at + timeout <"
                " clock_timestamp()"
            )
            wait_until(lambda: database.admin(overdue, [job]), 5)
            database.admin("select jobs_internal.supervisor_tick(0)")
            assert database.admin("select jobs_internal.supervisor_send_stop_signals(0)") == []
        wait_until(lambda: _noted(database, job), 10)
        ((sent,),) = wait_until(
            lambda: database.admin("select jobs_internal.supervisor_send_stop_signals(0)"), 5
        )
        assert sent["signal"] == "cancel"
        assert wait_for(database, job)["error"]["sqlstate"] == "PWT01"
    assert attempts(database, job) == [(1, "timed_out")]

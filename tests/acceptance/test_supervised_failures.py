"""What holds with supervisors at work when sessions, supervisors and the server fall over."""

import signal
from functools import partial

from kit.daemon import Supervise
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    put,
    put_many,
    put_sql,
    quick_retries,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, wait_until


def test_a_lost_session_is_rescued_without_being_asked(
    database: Database, supervise: Supervise
) -> None:
    quick_retries(database)
    database.run(
        "create function app.die_first(n integer) returns void language plpgsql as $$ begin"
        " insert into app.ledger (n) values (n);"
        " if app.attempt() = 1 then perform set_config('transaction_timeout', '1', false),"
        " pg_sleep(1); end if; end $$"
    )
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.die_first", {"n": 1})
    assert wait_for(database, job)["state"] == "succeeded"
    assert attempts(database, job) == [(1, "lost"), (2, "succeeded")]
    assert ledger(database) == [1]
    one.wait_for("rescued")
    one.stop()


def _more_than(database: Database, count: int) -> bool:
    return len(ledger(database)) > count


def test_sessions_killed_under_load_lose_nothing(database: Database, supervise: Supervise) -> None:
    """Worker sessions are cancelled and terminated at random while two supervisors drain."""
    quick_retries(database)
    put(database, "app.nap", {"seconds": 0, "n": -1})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    both = [supervise(database.dsn("supervisor")) for _ in range(2)]
    jobs = put_many(
        database, "app.nap", [{"seconds": 0.004, "n": n} for n in range(600)], max_attempts=5
    )
    hits = 0
    while len(ledger(database)) < 550 and hits < 25:
        pid = database.admin(
            "select pid from jobs.sessions where job_id is not null order by random() limit 1"
        )
        if pid:
            signal_name = "pg_cancel_backend" if hits % 2 else "pg_terminate_backend"
            database.admin(f"select {signal_name}(%s)", [pid[0][0]])
            hits += 1
            wait_until(partial(_more_than, database, min(len(ledger(database)), 599)), 20)
    assert hits > 3
    wait_until(lambda: not database.admin("select 1 from jobs_internal.job"), 40)
    for one in both:
        assert one.stop() == 0
    states: dict[str, int] = dict(
        database.run("select state, count(*) from jobs.job where id = any (%s) group by 1", [jobs])
    )
    assert states == {"succeeded": 600}
    assert ledger(database) == list(range(600))
    wait_until(lambda: not database.background(), 10)


def test_a_supervisor_that_is_stopped_in_its_tracks(
    database: Database, supervise: Supervise
) -> None:
    """SIGSTOP: it holds connections and does nothing. Another one does it all."""
    first = supervise(database.dsn("supervisor"))
    first.signal(signal.SIGSTOP)
    second = supervise(database.dsn("supervisor"))
    put_many(database, "app.note", [{"n": n} for n in range(200)])
    late = put(database, "app.nap", {"seconds": 600}, timeout="300 ms", max_attempts=1)
    wait_until(lambda: len(ledger(database)) == 200, 20)
    assert wait_for(database, late)["error"]["sqlstate"] == "PWT01"
    first.signal(signal.SIGCONT)
    assert first.stop() == 0
    assert second.stop() == 0


def test_a_left_child_is_watched_over_by_the_supervisor(
    database: Database, supervise: Supervise
) -> None:
    one = supervise(database.dsn("supervisor"))
    job = put_sql(database, "call app.watched(1, 'x')", timeout="3 s", max_attempts=1)
    with gate_shut(database):
        (child,) = wait_at_gate(database)
        row = wait_running(database, job)
        database.admin("select pg_terminate_backend(%s)", [row["pid"]])
        # Its watcher is gone; its time limit is not.
        found = wait_for(database, job, timeout=10)
        assert found["error"]["sqlstate"] == "PWT01"
        assert attempts(database, job) == [(1, "timed_out")]
        assert not database.admin("select 1 from pg_stat_activity where pid = %s", [child])
    assert ledger(database) == [1]
    one.stop()


def test_a_server_that_falls_over_under_load(database: Database, supervise: Supervise) -> None:
    quick_retries(database)
    private = database.server.private
    assert private is not None
    one = supervise(database.dsn("supervisor"))
    slow = put(database, "app.nap", {"seconds": 1.5, "n": 5000}, max_attempts=3)
    child = put_sql(
        database,
        "do $$ begin perform pg_sleep(1.5); insert into app.ledger (n) values (6000);"
        " commit; end $$",
        done_when="exists (select from app.ledger where n = 6000)",
    )
    put_many(database, "app.nap", [{"seconds": 0.002, "n": n} for n in range(1500)], max_attempts=3)
    wait_running(database, slow)
    wait_running(database, child)
    wait_until(lambda: len(ledger(database)) > 100, 20)
    private.stop(mode="immediate")
    one.wait_for("server_lost")
    private.start()
    database.close()
    begun = len(ledger(database))
    wait_until(lambda: len(ledger(database)) > begun)  # before a lease would have ended
    wait_until(lambda: not database.admin("select 1 from jobs_internal.job"), 40)
    assert ledger(database) == [*range(1500), 5000, 6000]
    assert state(database, slow) == "succeeded"
    assert state(database, child) == "succeeded"
    assert attempts(database, slow) == [(1, "succeeded")]
    assert database.run("select distinct state from jobs.job") == [("succeeded",)]
    assert one.stop() == 0


def test_a_fast_stop_is_fast_and_charges_nothing(database: Database, supervise: Supervise) -> None:
    private = database.server.private
    assert private is not None
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.nap", {"seconds": 600, "n": 1}, max_attempts=1)
    quick = put_many(
        database, "app.nap", [{"seconds": 0.005, "n": n} for n in range(2, 300)], max_attempts=1
    )
    wait_running(database, job)
    wait_until(lambda: len(ledger(database)) > 10, 20)
    database.close()
    private.stop(mode="fast")  # it gives up long before the job ends by itself
    private.start()
    wait_running(database, job)
    assert attempts(database, job) == [(1, None)]
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
    wait_until(lambda: not database.admin("select 1 from jobs_internal.job"), 30)
    assert {state(database, one) for one in quick} == {"succeeded"}
    assert ledger(database) == list(range(2, 300))
    one.stop()

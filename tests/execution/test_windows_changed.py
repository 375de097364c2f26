"""Windows that are changed or dropped while jobs name them, and in a copy."""

import psycopg
import pytest
from stage import put, state
from support import Database, sqlstate_of

from .windows import close, in_window, make_window, open_for, opening, ran, tick, waits, work


def test_changed_while_jobs_wait(database: Database) -> None:
    """It opens by its new schedule at once, or closes."""
    make_window(database)
    ran(database, "app.note", 1)
    job = put(database, "app.note", {"n": 1}, options=in_window())
    tick(database)
    assert waits(database) == [job]
    alter = "select jobs.alter_window('night', schedule => %s, duration => %s)"
    database.run(alter, ["every 1 day", "1 day"], role="operator")
    assert database.run("select open from jobs.windows") == [(True,)]
    tick(database)
    database.run(alter, ["0 0 1 1 *", "1 minute"], role="operator")
    work(database)
    assert waits(database) == [job]
    database.run("select jobs.alter_window('night', on_close => 'stop')", role="operator")
    assert opening(database)[0] is None
    database.run(alter, ["every 1 day", "1 day"], role="operator")
    database.drain()
    assert state(database, job) == "succeeded"


def test_what_names_it_keeps_it(database: Database) -> None:
    """Refused, and said by what: a queue, a schedule, jobs."""
    make_window(database)
    database.run("select jobs.create_queue('heavy', window_name => 'night')", role="operator")
    database.run(
        "select jobs.schedule('s', '@daily', 'app.note', '{\"n\": 1}', options => %s)",
        [in_window()],
    )
    jobs = [put(database, "app.note", {"n": 1}, options=in_window()) for _ in range(2)]
    drop = "select jobs.drop_window('night')"

    def refused() -> str:
        with pytest.raises(psycopg.Error) as caught:
            database.run(drop, role="operator")
        assert caught.value.sqlstate == "PW113"
        return str(caught.value.diag.message_detail)

    assert refused() == (
        f"It is named by: queue heavy; schedule 's' of app; 2 jobs, the first is {jobs[0]}."
    )
    database.run("select jobs.alter_queue('heavy', window_name => '')", role="operator")
    database.run("select jobs.unschedule('s')")
    database.run("select jobs.cancel(%s)", [jobs[0]])
    assert refused() == f"It is named by: job {jobs[1]}."
    database.run("select jobs.cancel(%s)", [jobs[1]])
    database.run(drop, role="operator")


def test_dropped_while_a_job_is_enqueued(database: Database) -> None:
    """Who drops it waits for the transaction that enqueues, and sees the job; who enqueues while it
    is dropped waits, and is refused.
    """
    make_window(database)
    enqueue = "select jobs.enqueue('app.note', '{\"n\": 1}', options => %s)"
    with database.connect("app") as enqueuer, database.connect("operator") as dropper:
        enqueuer.autocommit = dropper.autocommit = False
        enqueuer.execute(enqueue, [in_window()])
        # others that enqueue wait for nothing
        other = put(database, "app.note", {"n": 2}, options=in_window())
        database.run("select jobs.cancel(%s)", [other])
        dropper.execute("set local lock_timeout = '100 ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            dropper.execute("select jobs.drop_window('night')")
        dropper.rollback()
        enqueuer.rollback()
        dropper.execute("select jobs.drop_window('night')")
        enqueuer.execute("set local lock_timeout = '100 ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            enqueuer.execute(enqueue, [in_window()])
        enqueuer.rollback()
        dropper.commit()
        assert sqlstate_of(lambda: enqueuer.execute(enqueue, [in_window()])) == "PW111"


def test_an_operators_open_transaction(database: Database) -> None:
    """While one changes it, enqueuers and rounds go on."""
    make_window(database)
    job = put(database, "app.note", {"n": 1}, options=in_window())
    with database.connect("operator") as operator, operator.transaction():
        operator.execute("select jobs.open_window('night', '1 hour')")
        operator.execute("select jobs.alter_window('night', on_close => 'park')")
        put(database, "app.note", {"n": 2}, options=in_window())
        tick(database)
        assert waits(database)[0] == job
    database.drain()
    assert database.value("select count(*) from jobs.job where state = 'succeeded'") == 2


def test_a_copy_opens_nothing(database: Database) -> None:
    """In a copy no window is opened by hand, and after jobs.reconcile() none is open before its
    next occurrence; what waits, waits on.
    """
    make_window(database, schedule="every 1 day", duration="1 day")
    assert database.run("select open from jobs.windows") == [(True,)]
    make_window(database, "other")
    job = put(database, "app.note", {"n": 1}, options=in_window("other"))
    tick(database)
    database.admin(
        "update jobs_internal.installation set system = system + 1, postmaster = 'epoch'"
    )
    for call in (
        "open_window('night', '1 hour')",
        "close_window('night')",
        "drop_window('night')",
        "alter_window('night')",
        "create_window('x', '@daily', '1 hour')",
    ):
        assert (
            sqlstate_of(
                lambda c=call: database.run(f"select jobs.{c}", role="operator")  # type: ignore[misc]
            )
            == "PW060"
        ), call
    database.run("select jobs.reconcile()", role="operator")
    assert opening(database)[:2] == (None, None)
    assert waits(database) == [job]
    assert opening(database)[2] is not None
    open_for(database, name="other")
    database.drain()
    assert state(database, job) == "succeeded"
    close(database, "other")

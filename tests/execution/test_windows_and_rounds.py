"""Windows that open and close while supervisors and sessions are at work."""

import pytest
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    state,
    wait_at_gate,
)
from support import Database, wait_until

from .windows import close, in_window, make_window, move, open_for, ran, tick, told, waits


@pytest.fixture(autouse=True)
def night(database: Database) -> None:
    """Make a window that is closed until a test opens it."""
    make_window(database)


def test_what_has_started_is_looked_at_again(database: Database) -> None:
    """It entered its lane while the window was open, and waits there past the closing: in the
    lane it goes back to wait, uncharged, alone and in a chunk; and runs at the next opening.
    """
    make_lane(database)
    open_for(database)
    jobs = [put(database, "app.note", {"n": n}, options=in_window()) for n in range(4)]
    jobs.append(put_sql(database, "vacuum app.ledger", options=in_window()))
    free = put(database, "app.note", {"n": 9})
    know_as_short(database)
    assert {state(database, job) for job in jobs} == {"queued"}
    close(database)
    assert told(database, jobs[0]) == "window_closed"
    database.drain()
    assert ledger(database) == [9]
    assert state(database, free) == "succeeded"
    assert waits(database) == jobs
    assert {database.job(job)["attempt"] for job in jobs} == {0}
    assert database.admin("select count(*) from pgmq.q_pyworker_1")[0][0] == 0

    open_for(database)
    database.drain()
    assert ledger(database) == [0, 1, 2, 3, 9]
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert attempts(database, jobs[0]) == [(1, "succeeded")]


def test_the_row_closes_it_and_no_round(database: Database) -> None:
    """No start depends on a round that is punctual: once closes_at has passed nothing starts, and
    nothing before opened_at.
    """
    make_lane(database)
    open_for(database)
    job = put(database, "app.note", {"n": 1}, options=in_window())
    assert state(database, job) == "queued"
    for row in ("closes_at = clock_timestamp()", "opened_at = clock_timestamp() + '1 hour'"):
        database.admin(f"update jobs_internal.window_state set {row}")
        database.drain()
        assert state(database, job) == "scheduled", row
        assert not database.value("select open from jobs.windows"), row
        open_for(database)
    database.drain()
    assert state(database, job) == "succeeded"


def test_a_session_that_has_claimed_it_asks_at_its_start(database: Database) -> None:
    """The window closes between the claim and the start: a session has taken the job with others
    and is at the one before it, for longer than a chunk lasts.
    """
    make_lane(database)
    database.run("select jobs.configure('chunk_ms', '1')", role="operator")
    open_for(database)
    with gate_shut(database):
        first = put(database, "app.gate", {"n": 0})
        job = put(database, "app.note", {"n": 1}, options=in_window())
        know_as_short(database)
        database.run("select jobs.start()")
        wait_at_gate(database)
        close(database)
    wait_until(lambda: not database.background())
    database.drain()
    assert state(database, first) == "succeeded"
    assert waits(database) == [job]
    assert ledger(database) == [0]


def test_a_round_opens_it_for_all(database: Database) -> None:
    """A round finds what waits, in the order of the jobs; what another session has locked comes
    with the next one, and nothing is waited for.
    """
    jobs = [put(database, "app.note", {"n": n}, options=in_window()) for n in range(3)]
    tick(database)
    assert waits(database) == jobs
    database.run("select jobs.open_window('night', '1 hour')", role="operator")
    with database.connect("postgres") as holder, holder.transaction():
        holder.execute("select from jobs_internal.job where id = %s for update", [jobs[1]])
        assert move(database) == 2
        assert waits(database) == [jobs[1]]
        assert tick(database)["next_due_ms"] == 0  # it is to come soon
    assert move(database) == 1
    assert move(database) == 0
    database.drain()
    assert ledger(database) == [0, 1, 2]


def test_two_supervisors(database: Database) -> None:
    """Each window is moved by one of them; the other passes it by, and sees to the others."""
    make_window(database, "day")
    database.admin(
        "update jobs_internal.window_state set next_opens_at = clock_timestamp() - interval '1 s'"
    )
    with database.connect("postgres") as first, first.transaction():
        first.execute("select from jobs_internal.window_state where name = 'night' for update")
        move(database)
        with database.connect("postgres") as looker:
            rows = looker.execute(
                "select name from jobs_internal.window_state where next_opens_at < now()"
            ).fetchall()
        assert rows == [("night",)]
    move(database)
    assert not database.admin(
        "select 1 from jobs_internal.window_state where next_opens_at < now()"
    )


def test_the_next_round_heeds_what_comes(database: Database) -> None:
    """next_due_ms is the opening, then the closing; and a supervisor that falls asleep looks once
    more when one has passed.
    """
    tick(database)  # the first one looks whether the clock was set back
    database.admin(
        "update jobs_internal.window_state set next_opens_at = clock_timestamp() + '20 minutes'"
    )
    assert 1_100_000 < tick(database)["next_due_ms"] <= 1_200_000
    open_for(database, "10 minutes")
    assert 500_000 < tick(database)["next_due_ms"] <= 600_000
    me = database.value(
        "select jobs_internal.supervisor_open('w', 'here', 1, '0')", role="postgres"
    )
    asleep = "select jobs_internal.supervisor_sleep(%s, true)"
    assert not database.value(asleep, [me], role="postgres")
    database.admin("update jobs_internal.window_state set closes_at = clock_timestamp()")
    assert database.value(asleep, [me], role="postgres")


def test_alike_ones_are_asked_for_once(database: Database) -> None:
    """Many calls, and many statements, that differ in nothing that counts; one that does not fit
    keeps no other.
    """
    jobs = put_many(database, "app.note", [{"n": n} for n in range(20)], options=in_window())
    jobs += [put_sql(database, "select 1", options=in_window()) for _ in range(20)]
    jobs.append(put(database, "app.note", {"n": 20}, timeout="10 h", options=in_window()))
    unknown = put(database, "pg_catalog.now", options=in_window())
    for task in "app.note", "select":
        ran(database, task, 60_000)
    open_for(database)
    # past the first quarter, in which starts what has never run
    database.admin(
        "update jobs_internal.window_state set opened_at = now() - interval '50 minutes',"
        " closes_at = now() + interval '10 minutes'"
    )
    asked = (
        "select pg_stat_get_xact_function_calls("
        "'jobs_internal.window_hindrance(jobs_internal.job,timestamptz)'::regprocedure)"
    )
    with database.connect("postgres") as line, line.transaction():
        line.execute("set local track_functions = 'pl'")
        line.execute("select jobs_internal.dispatch()")
        assert line.execute(asked).fetchone() == (4,)
    database.drain()
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert waits(database) == [unknown]

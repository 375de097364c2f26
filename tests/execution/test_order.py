"""Which job runs next: pauses, slots, priorities, order in a lane."""

from functools import partial

import pytest
from stage import (
    drain_once,
    gate_shut,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    state,
    wait_at_gate,
    wait_for,
)
from support import Database, wait_until


def test_pause_and_resume(database: Database) -> None:
    database.admin("select jobs.create_queue('side')")
    for queue in ("default", "side"):
        make_lane(database, queue=queue)
    assert database.value("select jobs.pause('default')", role="operator") is True
    assert database.value("select jobs.pause('default')", role="operator") is False
    held = put(database, "app.note", {"n": 1})
    free = put(database, "app.note", {"n": 2}, queue="side")
    database.run("select jobs.start()")
    wait_for(database, free)
    wait_until(lambda: not database.background(), 10)
    assert state(database, held) == "queued"
    assert database.run("select queue, paused from jobs.queues order by 1") == [
        ("default", True),
        ("side", False),
    ]
    assert database.value("select jobs.pause()", role="operator") is True
    later = put(database, "app.note", {"n": 3}, queue="side")
    assert database.value("select jobs.resume('default')", role="operator") is True
    database.run("select jobs.start()")
    wait_until(lambda: not database.background(), 10)
    assert ledger(database) == [2]
    assert database.value("select status from jobs.health where \"check\" = 'switch'") == "warning"
    assert database.value("select jobs.resume()", role="operator") is True
    database.drain()
    assert ledger(database) == [1, 2, 3]
    assert state(database, later) == "succeeded"


@pytest.mark.parametrize("everything", [True, False], ids=["everything", "the queue"])
def test_pause_while_claimed(database: Database, *, everything: bool) -> None:
    put(database, "app.note", {"n": -1})
    put(database, "app.gate", {"n": -1})
    database.drain()
    know_as_short(database)
    database.admin("select jobs.configure('chunk_ms', '1')")
    database.admin("select jobs.configure('lease_seconds', '3600')")
    database.run("truncate app.ledger")
    warm = put_many(database, "app.note", [{"n": n} for n in range(100)])
    gate = put(database, "app.gate", {"n": 100})
    rest = put_many(database, "app.note", [{"n": n} for n in range(101, 300)])
    which = "" if everything else "'default'"
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.run(f"select jobs.pause({which})", role="operator")
    wait_for(database, gate)
    wait_until(lambda: not database.background(), 10)
    # What ran went on; what its session had claimed did not start.
    done = ledger(database)
    assert done[:101] == list(range(101))
    assert len(done) < 180
    assert state(database, rest[-1]) == "queued"
    database.run(f"select jobs.resume({which})", role="operator")
    database.drain(timeout=60)  # what was claimed and not run is not held until its lease ends
    assert ledger(database) == list(range(300))
    assert {state(database, job) for job in (*warm, *rest)} == {"succeeded"}


def _sessions_are(database: Database, count: int) -> bool:
    return len(database.background()) == count


def test_the_concurrency_of_a_queue_holds(database: Database) -> None:
    database.admin("select jobs.create_queue('narrow', 2)")
    put(database, "app.crowd", queue="narrow")
    put(database, "app.gate", queue="narrow")
    database.drain()
    database.run("truncate app.ledger")
    put_many(database, "app.crowd", [{} for _ in range(24)], queue="narrow")
    database.drain(sessions=4)
    assert len(ledger(database)) == 24
    assert max(n or 0 for n in ledger(database)) <= 2
    for concurrency in (3, 1):
        database.run(
            "select jobs.alter_queue('narrow', concurrency => %s)", [concurrency], role="operator"
        )
        put_many(database, "app.gate", [{} for _ in range(6)], queue="narrow")
        # so that no claim takes more than one
        database.admin("update jobs_internal.call_stats set avg_ms = 1000")
        database.admin("update jobs_internal.lane set avg_ms = 1000")
        with gate_shut(database):
            database.run("select jobs.start(5)")
            wait_at_gate(database, concurrency)
            # The other sessions found no free slot, and left.
            wait_until(partial(_sessions_are, database, concurrency), 10)
            assert len(wait_at_gate(database)) == concurrency
            assert database.run(
                "select running, slots from jobs.queues where queue = 'narrow'"
            ) == [(concurrency, concurrency)]
        database.drain()


def test_priorities_decide_the_order(database: Database) -> None:
    for priority in ("high", "normal", "low"):
        make_lane(database, priority=priority)
    for priority, n in [("low", 3), ("normal", 2), ("high", 1)]:
        put_many(database, "app.note", [{"n": n} for _ in range(5)], priority=priority)
    drain_once(database)
    assert [row[0] for row in database.run("select n from app.ledger order by at")] == [1] * 5 + [
        2
    ] * 5 + [3] * 5


@pytest.mark.parametrize("slow", [None, 1.2], ids=["short jobs", "with a slow one"])
def test_first_in_first_out_in_a_lane(database: Database, slow: float | None) -> None:
    put(database, "app.nap", {"seconds": 0, "n": -1})
    database.drain()
    know_as_short(database)
    database.admin("select jobs.configure('claim_jobs', '300')")
    database.run("truncate app.ledger")
    put_many(
        database,
        "app.nap",
        [{"seconds": slow if slow and n == 200 else 0, "n": n} for n in range(1500)],
    )
    drain_once(database)
    order = [row[0] for row in database.run("select n from app.ledger order by at, n")]
    assert order == list(range(1500))


def test_order_when_a_claim_is_given_back(database: Database) -> None:
    """A job of unknown duration sends the rest of its claim back; what comes behind it does not
    overtake.
    """
    put(database, "app.note", {"n": -1})
    database.drain()
    know_as_short(database)
    # so that there is something behind a claim
    database.admin("select jobs.configure('claim_jobs', '100')")
    database.run("truncate app.ledger")
    put_many(database, "app.note", [{"n": n} for n in range(30)])
    put(database, "app.echo", {"what": 1})
    put_many(database, "app.note", [{"n": n} for n in range(30, 400)])
    drain_once(database)
    order = [row[0] for row in database.run("select n from app.ledger order by at, n")]
    assert order == list(range(400))

"""The option deadline: a job that has not begun by then is cancelled, and says so."""

import pytest
from psycopg.types.json import Jsonb
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_sql,
    state,
    wait_at_gate,
)
from support import Database, wait_until

from .deadlines import LATER, counts, end_of, let_pass, round_of_deadlines

STEPS = Jsonb(["select app.note(1)", "select app.gate()", "select app.note(2)"])


def _all_kinds(database: Database) -> dict[str, int]:
    database.run("select jobs.publish('app.note', 'other')")
    options = {"options": LATER}
    return {
        "function": put(database, "app.note", {"n": 1}, **options),
        "procedure": put(database, "app.watched", {"n": 1, "secret": ""}, **options),
        "statement": put_sql(database, "select app.note(1)", **options),
        "at top level": put_sql(database, "vacuum app.ledger", **options),
        "steps": database.value(
            "select jobs.enqueue_steps(%s, options => %s)", [STEPS, Jsonb(LATER)]
        ),
        "one of many": database.value(
            "select jobs.enqueue_many('app.note', array['{\"n\": 1}']::jsonb[], options => %s)",
            [Jsonb(LATER)],
        ),
        "published": database.value(
            "select jobs.enqueue_published('app.note', '{\"n\": 1}', options => %s)",
            [Jsonb(LATER)],
            role="other",
        ),
        "of another priority": put(
            database, "app.note", {"n": 1}, priority="high", unique_key="x", **options
        ),
    }


@pytest.mark.parametrize("by", ["a session", "a round"])
def test_every_kind_of_job_is_cancelled(database: Database, by: str) -> None:
    """By the session that opens it, and by the round of a supervisor: with an error of its own,
    no attempt, and nothing done.
    """
    make_lane(database)
    made = _all_kinds(database)
    for job in made.values():
        let_pass(database, job)
    if by == "a round":
        assert round_of_deadlines(database) == len(made)
    database.drain()
    for kind, job in made.items():
        assert end_of(database, job) == ("cancelled", "PWC03", 0), kind
        found = database.job(job)
        assert found["started_at"] is None, kind
        assert "not started by its deadline" in found["error"]["message"], kind
        assert attempts(database, job) == [], kind
        assert not counts(database, job), kind
    assert ledger(database) == []
    assert database.admin("select count(*) from pgmq.q_pyworker_1")[0][0] == 0


def test_in_time_it_runs(database: Database) -> None:
    """What begins in time runs as any other, in a chunk too, and leaves no row behind."""
    made = _all_kinds(database)
    know_as_short(database)
    assert round_of_deadlines(database) == 0
    database.drain()
    assert {kind: state(database, job) for kind, job in made.items()} == dict.fromkeys(
        made, "succeeded"
    )
    assert not database.admin("select 1 from jobs_internal.job_deadline")


def test_the_late_among_others(database: Database) -> None:
    """In a chunk the late one is cancelled, and those beside it run."""
    jobs = [put(database, "app.note", {"n": n}, options=LATER) for n in range(5)]
    know_as_short(database)
    for late in (jobs[0], jobs[2]):
        let_pass(database, late)
    database.drain()
    assert ledger(database) == [1, 3, 4]
    assert [state(database, job) for job in jobs] == [
        "cancelled",
        "succeeded",
        "cancelled",
        "succeeded",
        "succeeded",
    ]


def test_what_runs_goes_on(database: Database) -> None:
    """A deadline that passes while the job runs is none for that attempt."""
    with gate_shut(database):
        job = put(database, "app.gate", options=LATER)
        database.run("select jobs.start()")
        wait_at_gate(database)
        let_pass(database, job)
        assert round_of_deadlines(database) == 0
    wait_until(lambda: not database.background())
    assert state(database, job) == "succeeded"
    assert not counts(database, job)


def test_a_session_that_holds_its_message_has_begun(database: Database) -> None:
    """A round that meets an open chunk leaves the job alone, and waits for nothing."""
    make_lane(database)
    job = put(database, "app.note", {"n": 1}, options=LATER)
    assert state(database, job) == "queued"
    holder = database.connect("postgres")
    holder.execute("begin")
    holder.execute("select from pgmq.q_pyworker_1 for update")
    let_pass(database, job)
    assert round_of_deadlines(database) == 0
    holder.execute("rollback")
    assert round_of_deadlines(database) == 1
    assert end_of(database, job) == ("cancelled", "PWC03", 0)


def test_a_round_passes_by_what_is_locked(database: Database) -> None:
    """A job whose row an open transaction has locked is left to the next round."""
    jobs = [
        put(database, "app.note", {"n": n}, run_at="2099-01-01", options=LATER) for n in range(3)
    ]
    for job in jobs:
        let_pass(database, job)
    holder = database.connect("postgres")
    holder.execute("begin")
    holder.execute("select from jobs_internal.job where id = %s for update", [jobs[1]])
    assert round_of_deadlines(database) == 2
    holder.execute("rollback")
    assert round_of_deadlines(database) == 1

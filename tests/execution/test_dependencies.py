"""Jobs that wait for others: chains, fans, each end of a parent, and what is asked of them."""

import pytest
from psycopg.types.json import Jsonb
from stage import put, put_many, state
from support import Database

from .dependents import ENDS, after, error, follow, left, states, waits


def test_a_chain(database: Database) -> None:
    """Each one runs after the one before, in one session, without a supervisor."""
    first = put(database, "app.note", {"n": 0})
    jobs = [first]
    for n in range(1, 30):
        jobs.append(after(database, jobs[-1], args={"n": n}))
    assert all(waits(database, job) for job in jobs[1:])
    database.drain()
    assert set(states(database, *jobs)) == {"succeeded"}
    order = database.admin("select n from app.ledger order by at")
    assert [n for (n,) in order] == list(range(30))
    assert left(database) == []


@pytest.mark.parametrize("sessions", [1, 4])
def test_a_fan(database: Database, sessions: int) -> None:
    """Many after one, and one after all of them, which runs once, as the last."""
    first = put(database, "app.note", {"n": 0})
    many = put_many(
        database,
        "app.note",
        [{"n": n} for n in range(1, 301)],
        options=Jsonb({"after": [first]}),
    )
    last = after(database, *many, args={"n": 999})
    assert all(waits(database, job) for job in [*many, last])
    database.drain(sessions=sessions)
    follow(database)
    database.drain()
    assert set(states(database, first, *many, last)) == {"succeeded"}
    order = [n for (n,) in database.admin("select n from app.ledger order by at")]
    assert (order[0], order[-1], len(order)) == (0, 999, 302)
    assert left(database) == []


@pytest.mark.parametrize(
    ("end", "wants", "expected"),
    [
        ("succeeded", None, "succeeded"),
        ("succeeded", "succeeded", "succeeded"),
        ("succeeded", "failed", "cancelled"),
        ("succeeded", "finished", "succeeded"),
        ("failed", None, "cancelled"),
        ("failed", "failed", "succeeded"),
        ("failed", "finished", "succeeded"),
        ("cancelled", None, "cancelled"),
        ("cancelled", "failed", "succeeded"),
        ("cancelled", "finished", "succeeded"),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_each_end(
    database: Database, end: str, wants: str | None, expected: str, late: bool
) -> None:
    """Whether the job comes before or after the end of its parent."""
    task, args = ENDS[end]
    parent = put(database, task, args, max_attempts=1)
    child = None if late else after(database, parent, wants=wants)
    if end == "cancelled":
        assert database.value("select jobs.cancel(%s)", [parent]) == "cancelled"
    database.drain()
    assert state(database, parent) == end
    child = child or after(database, parent, wants=wants)
    follow(database)
    database.drain()
    assert state(database, child) == expected
    if expected == "cancelled":
        says = {"succeeded": "whose failure it waited for, has succeeded"}.get(
            end, f"which it waited for, {'was cancelled' if end == 'cancelled' else 'has failed'}"
        )
        assert error(database, child) == ("PW105", f"job {parent}, {says}")


def test_a_cancel_costs_each_child_the_same(database: Database) -> None:
    """However many wait for one job, and whatever ANALYZE made of that."""

    def pages(children: int) -> float:
        parent = put(database, "app.note", {"n": 1})
        database.run(
            "select jobs.enqueue_many('app.note', array_fill('{\"n\": 1}'::jsonb, array[%s]),"
            " options => %s)",
            [children, Jsonb({"after": [parent]})],
        )
        database.admin("analyze jobs_internal.dependency, jobs_internal.job")
        database.run("select jobs.cancel(%s)", [parent])
        read = 0
        while database.admin("select 1 from jobs_internal.job limit 1"):
            (found,) = database.value(
                "explain (analyze, buffers, timing off, format json) select jobs_internal.follow()",
                role="postgres",
            )
            read += found["Plan"]["Shared Hit Blocks"]
        return read / children

    many = pages(6000)  # first: its plans are made for them
    assert many < 1.3 * pages(600)

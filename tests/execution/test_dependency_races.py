"""Jobs that wait for others, and what may come in between: each moment is held by a lock."""

from psycopg.types.json import Jsonb
from stage import gate_shut, put, put_sql, state, wait_at_gate, wait_for
from support import Database, wait_until

from .dependents import after, chain, error, follow, left, states, waits


def test_the_parent_ends_while_the_child_is_not_committed(database: Database) -> None:
    """Its end sees no child, and the child finds its end."""
    parent = put(database, "app.note", {"n": 1})
    with database.connect("app") as line:
        line.execute("begin")
        child = line.execute(
            "select jobs.enqueue('app.note', '{\"n\": 2}', options => %s)",
            [Jsonb({"after": [parent]})],
        ).fetchone()[0]
        database.drain()
        assert state(database, parent) == "succeeded"
        follow(database)
        line.execute("commit")
    assert waits(database, child)
    follow(database)
    database.drain()
    assert state(database, child) == "succeeded"
    assert left(database) == []


def test_the_child_comes_while_the_end_of_the_parent_is_not_committed(database: Database) -> None:
    """Its end has looked already: the child's event stays until that is committed."""
    parent = put(database, "app.note", {"n": 1})
    with database.connect("app") as line:
        line.execute("begin")
        assert line.execute("select jobs.cancel(%s)", [parent]).fetchone() == ("cancelled",)
        child = after(database, parent)
        follow(database)
        follow(database)
        assert waits(database, child)
        line.execute("commit")
    follow(database)
    assert error(database, child) == (
        "PW105",
        f"job {parent}, which it waited for, was cancelled",
    )
    assert left(database) == [("dependency", parent, child)]


def test_an_end_with_an_old_snapshot(database: Database) -> None:
    """Above READ COMMITTED it cannot see the child at all."""
    parent = put(database, "app.note", {"n": 1})
    with database.connect("app") as line:
        line.execute("begin isolation level repeatable read")
        line.execute("select 1")
        child = after(database, parent)
        follow(database)
        assert left(database) == [("dependency", parent, child)]
        line.execute("select jobs.cancel(%s)", [parent])
        line.execute("commit")
    follow(database)
    assert state(database, child) == "cancelled"


def test_two_parents_end_at_once(database: Database) -> None:
    """Both ends are committed before one of them is followed, and two follow at once."""
    parents = [put(database, "app.note", {"n": n}) for n in (1, 2)]
    child = after(database, *parents, wants="finished")
    with database.connect("app") as one, database.connect("app") as two:
        for line, parent in ((one, parents[0]), (two, parents[1])):
            line.execute("begin")
            line.execute("select jobs.cancel(%s)", [parent])
        one.execute("commit")
        with database.connect("postgres") as first, first.transaction():
            first.execute("select jobs_internal.follow()")
            two.execute("commit")
            follow(database)  # passes it by
            assert waits(database, child)
    assert waits(database, child)
    follow(database)
    database.drain()
    assert state(database, child) == "succeeded"


def test_a_session_dies_before_it_follows(database: Database) -> None:
    """The end of the parent is committed, and any round releases the child."""
    make = put(database, "app.note", {"n": 0})
    database.drain()
    parent = put(database, "app.note", {"n": 1})
    child = after(database, parent)
    owner = database.admin("select 'app'::regrole::oid")[0][0]
    with database.connect("postgres") as held, held.transaction():
        # another one follows, for as long as the session lives
        held.execute("select jobs_internal.become_follower(%s)", [owner])
        database.run("select jobs.start()")
        wait_for(database, parent, "succeeded")
        assert waits(database, child)
        database.admin(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where backend_type = 'pg_background' and datname = current_database()"
        )
        wait_until(lambda: not database.background())
    assert waits(database, child)
    follow(database)
    assert not waits(database, child)
    database.drain()
    assert states(database, make, parent, child) == ["succeeded"] * 3


def test_a_parent_is_retried_while_its_failure_is_followed(database: Database) -> None:
    """The children that were cancelled for it come back."""
    parent = put(database, "app.fail", max_attempts=1)
    children = chain(database, parent, 3)
    database.drain()
    assert state(database, parent) == "failed"
    follow(database)
    assert states(database, *children) == ["cancelled"] * 3
    late = after(database, parent)
    with database.connect("postgres") as first, first.transaction():
        first.execute("select jobs_internal.follow()")
        database.admin("select jobs.retry(%s)", [parent])
        follow(database)
        assert states(database, *children) == ["cancelled"] * 3
    assert state(database, late) == "cancelled"
    follow(database)
    assert all(waits(database, job) for job in [*children, late])


def test_a_child_that_a_person_has_just_now(database: Database) -> None:
    """Its row is locked: what its parent's end means for it comes later, whatever it is."""
    parent = put(database, "app.note", {"n": 1})
    child, other = after(database, parent), after(database, parent)
    with database.connect("app") as line:
        line.execute("begin")
        line.execute("select jobs.cancel(%s)", [child])
        database.drain()
        follow(database)
        assert state(database, other) == "succeeded"
        line.execute("rollback")
    assert waits(database, child)
    follow(database)
    database.drain()
    assert state(database, child) == "succeeded"
    assert left(database) == []


def test_one_of_a_chain_that_a_person_has_just_now(database: Database) -> None:
    """Those before it are cancelled at once, and it and those behind it when it is free."""
    parent = put(database, "app.fail", max_attempts=1)
    first, held, last = chain(database, parent, 3)
    with database.connect("app") as line:
        line.execute("begin")
        line.execute("select jobs.cancel(%s)", [held])
        database.drain()
        follow(database)
        assert states(database, parent, first) == ["failed", "cancelled"]
        assert waits(database, held)
        assert waits(database, last)
        line.execute("rollback")
    follow(database)
    assert states(database, first, held, last) == ["cancelled"] * 3
    assert database.admin("select item from jobs_internal.duty_failure") == []


def test_a_running_parent_is_cancelled(database: Database) -> None:
    """Its end comes later, and then the child's."""
    with gate_shut(database):
        parent = put_sql(database, "select app.gate(1)")
        child = after(database, parent)
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert database.value("select jobs.cancel(%s)", [parent]) == "cancelling"
        wait_for(database, parent, "cancelled")

    def cancelled() -> bool:
        follow(database)  # while a session follows too, this one passes by
        return state(database, child) == "cancelled"

    wait_until(cancelled)

"""Keys of concurrency, and what may come in between: each moment is held by a lock."""

import threading

from psycopg.types.json import Jsonb
from stage import gate_shut, make_lane, put, state, wait_at_gate, wait_for
from support import Database, sqlstate_of, wait_until

from .keyed import admit, holders, is_well, keyed, left, waiters, work_off

ENQUEUE = "select jobs.enqueue('app.note', '{\"n\": 2}', options => '{\"concurrency_key\": \"k\"}')"


def test_the_holder_ends_while_the_next_is_not_committed(database: Database) -> None:
    """Its end finds no job that waits, and the other finds a free place."""
    first = keyed(database)
    admit(database)
    with database.connect("app") as line:
        line.execute("begin")
        job = line.execute(ENQUEUE).fetchone()[0]
        database.drain()
        assert state(database, first) == "succeeded"
        admit(database)
        assert left(database) == []
        line.execute("commit")
    assert waiters(database) == [job]
    assert admit(database) == 1
    assert holders(database) == [job]


def test_the_next_comes_while_the_end_of_the_holder_is_not_committed(database: Database) -> None:
    """The place is held until then, and the end says that it is free."""
    first = keyed(database)
    admit(database)
    with database.connect("app") as line:
        line.execute("begin")
        assert line.execute("select jobs.cancel(%s)", [first]).fetchone() == ("cancelled",)
        job = keyed(database)
        assert admit(database) == 0
        assert (holders(database), waiters(database)) == ([first], [job])
        line.execute("commit")
    assert admit(database) == 1
    assert holders(database) == [job]


def test_the_end_of_the_holder_is_undone(database: Database) -> None:
    """It holds its place as before."""
    first = keyed(database)
    admit(database)
    job = keyed(database)
    with database.connect("app") as line:
        line.execute("begin")
        line.execute("select jobs.cancel(%s)", [first])
        assert admit(database) == 0
        line.execute("rollback")
    assert admit(database) == 0
    assert (holders(database), waiters(database)) == ([first], [job])
    work_off(database)


def test_two_give_places_at_once(database: Database) -> None:
    """The second passes the owner by, and what it did not see is done later."""
    keyed(database, "the first")  # the row that is locked is there from then on
    admit(database)
    jobs = [keyed(database) for _ in range(2)]
    with database.connect("postgres") as one, one.transaction():
        one.execute("select jobs_internal.admit_waiting()")
        assert admit(database) == 0
        other = keyed(database, "another")
        assert admit(database) == 0
    assert (holders(database), waiters(database)) == (jobs[:1], jobs[1:])
    assert admit(database) == 1
    assert holders(database, "another") == [other]
    work_off(database)
    assert left(database) == []


def test_an_old_snapshot_gives_no_place(database: Database) -> None:
    """It does not see what others have given."""
    make_lane(database)
    with database.connect("postgres") as line:
        first, second = keyed(database), keyed(database)
        line.execute("begin isolation level repeatable read")
        line.execute("select 1 from jobs_internal.key_event")
        admit(database)
        assert line.execute("select jobs_internal.admit_waiting()").fetchone() == (0,)
        line.execute("commit")
        # nor does it try, and fail
        assert database.admin("select from jobs_internal.duty_failure where duty = 'keys'") == []
        assert (holders(database), waiters(database)) == ([first], [second])
        line.execute("begin isolation level repeatable read")
        line.execute("select 1 from jobs_internal.key_event")
        database.run("select jobs.cancel(%s)", [first])
        assert line.execute("select jobs_internal.admit_waiting()").fetchone() == (0,)
        line.execute("commit")
    assert admit(database) == 1


def test_an_old_snapshot_ends_a_job(database: Database) -> None:
    """Its end is seen, and so are those that came after the snapshot."""
    first = keyed(database)
    admit(database)
    with database.connect("app") as line:
        line.execute("begin isolation level repeatable read")
        line.execute("select 1")
        job = keyed(database)
        line.execute("select jobs.cancel(%s)", [first])
        line.execute("commit")
    assert admit(database) == 1
    assert holders(database) == [job]


def test_the_next_is_locked(database: Database) -> None:
    """The one behind it gets the place; with none behind it the key is looked at again."""
    first, second, third = (keyed(database) for _ in range(3))
    admit(database)
    with database.connect("app") as line:
        line.execute("begin")
        line.execute("select jobs.cancel(%s)", [second])
        database.run("select jobs.cancel(%s)", [first])
        assert admit(database) == 1
        assert holders(database) == [third]
        database.run("select jobs.cancel(%s)", [third])
        assert admit(database) == 0
        assert is_well(database)
        line.execute("rollback")
    assert admit(database) == 1
    assert holders(database) == [second]
    work_off(database)
    assert left(database) == []


def test_one_that_gets_a_place_is_cancelled_meanwhile(database: Database) -> None:
    """The cancel waits for the place to be given, and gives it back."""
    make_lane(database)
    job, other = keyed(database), keyed(database)
    with database.connect("postgres") as one, database.connect("app") as two:
        one.execute("begin")
        one.execute("select jobs_internal.admit_waiting()")
        two.execute("begin")
        pid = two.info.backend_pid
        done: list[object] = []
        thread = threading.Thread(
            target=lambda: done.append(two.execute("select jobs.cancel(%s)", [job]).fetchone())
        )
        thread.start()
        wait_until(
            lambda: (
                database.admin("select cardinality(pg_blocking_pids(%s)) > 0", [pid]) == [(True,)]
            )
        )
        one.execute("commit")
        thread.join()
        two.execute("commit")
        assert done == [("cancelled",)]
    assert holders(database) == []
    assert admit(database) == 1
    assert holders(database) == [other]


def test_a_session_dies_before_it_hands_over(database: Database) -> None:
    """The end is committed with the word that a place is free: any round gives it."""
    make_lane(database)
    job, other = keyed(database), keyed(database)
    admit(database)
    owner = database.admin("select 'app'::regrole::oid")[0][0]
    with database.connect("postgres") as held, held.transaction():
        # another one gives places, for as long as the session lives
        held.execute("select jobs_internal.takes_key_turn(%s)", [owner])
        database.run("select jobs.start()")
        wait_for(database, job, "succeeded")
        database.admin(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where backend_type = 'pg_background' and datname = current_database()"
        )
        wait_until(lambda: not database.background())
    assert (holders(database), waiters(database)) == ([], [other])
    assert is_well(database)
    assert admit(database) == 1
    database.drain()
    assert state(database, other) == "succeeded"


def test_an_enqueuer_waits_for_no_other(database: Database) -> None:
    """Open transactions that enqueue with the same key, and one that gives places."""
    make_lane(database)
    with database.connect("app") as one, database.connect("app") as two:
        for line in (one, two):
            line.execute("set lock_timeout = '1 ms'")
            line.execute("begin")
            line.execute(ENQUEUE)
            line.execute(ENQUEUE)
        first = keyed(database)
        admit(database)
        assert holders(database) == [first]
        one.execute("commit")
        two.execute("commit")
    assert len(waiters(database)) == 4
    work_off(database)
    assert left(database) == []


def test_a_person_keeps_a_place_by_an_open_transaction(database: Database) -> None:
    """What the key's jobs wait for is the commit; others go on, and no place is given twice."""
    make_lane(database)
    first, second = keyed(database), keyed(database)
    admit(database)
    with database.connect("app") as line:
        line.execute("begin")
        line.execute("select jobs.set_priority(%s, 'high')", [first])
        other = keyed(database, "another")
        database.run("select jobs.start()")
        wait_for(database, other, "succeeded")
        assert (holders(database), waiters(database)) == ([first], [second])
        line.execute("commit")
    work_off(database)
    assert [state(database, job) for job in (first, second)] == ["succeeded"] * 2


def test_a_key_that_two_sessions_set_at_once(database: Database) -> None:
    """The second waits for the first, and its number counts."""
    with database.connect("app") as line:
        line.execute("begin")
        line.execute("select jobs.set_concurrency('k', 2)")
        other = database.connect("app")
        other.execute("set lock_timeout = '10 ms'")
        assert sqlstate_of(lambda: other.execute("select jobs.set_concurrency('k', 3)")) == "55P03"
        other.close()
        line.execute("commit")
    database.run("select jobs.set_concurrency('k', 3)")
    assert database.run("select max from jobs.concurrency_keys") == [(3,)]


def test_a_running_holder_and_a_full_key(database: Database) -> None:
    """A round does not begin a second one beside a job that runs."""
    with gate_shut(database):
        first = keyed(database, task="app.gate")
        database.run("select jobs.start()")
        wait_at_gate(database)
        second = put(database, "app.note", {"n": 3}, options=Jsonb({"concurrency_key": "k"}))
        for _ in range(3):
            assert admit(database) == 0
            database.admin("select jobs_internal.dispatch()")
        assert (holders(database), waiters(database)) == ([first], [second])
    work_off(database)
    assert state(database, second) == "succeeded"

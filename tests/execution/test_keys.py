"""Keys of concurrency: so many of their jobs at once, and in turn."""

from collections.abc import Callable

import pytest
from stage import (
    gate_shut,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    put_steps,
    state,
    wait_at_gate,
    wait_for,
)
from support import Database, sqlstate_of, wait_until

from .keyed import KEY, admit, holders, is_well, keyed, left, waiters, work_off


def test_one_at_a_time_with_eight_sessions(database: Database) -> None:
    """Counted inside of the jobs, by those who see one another run."""
    make_lane(database)
    put_many(database, "app.crowd", [{}] * 30, options=KEY)
    work_off(database, sessions=8)
    assert ledger(database) == [1] * 30
    assert left(database) == []
    assert is_well(database)


def test_as_many_as_allowed(database: Database) -> None:
    """Three of five run, and the others one by one as those end; other keys run beside them."""
    make_lane(database)
    database.admin("update jobs_internal.lane set avg_ms = 1000")  # one at a time
    database.run("select jobs.set_concurrency('k', 3)")
    jobs = put_many(database, "app.gate", [{"n": n} for n in range(5)], options=KEY)
    with gate_shut(database):
        admit(database)  # else sessions that look while the first one does so leave
        database.run("select jobs.start(8)")
        wait_at_gate(database, 3)
        assert holders(database) == jobs[:3]
        assert waiters(database) == jobs[3:]
        other = keyed(database, "another")
        database.run("select jobs.start(1)")
        wait_for(database, other, "succeeded")
        assert database.run(
            "select key, owner, max, held, waiting, oldest_waiting is not null"
            " from jobs.concurrency_keys"
        ) == [("k", "app", 3, 3, 2, True)]
        assert database.run("select * from jobs.concurrency_keys", role="other") == []
    work_off(database)
    assert sorted(n for n in ledger(database) if n is not None) == [0, 1, 1, 2, 3, 4]
    assert left(database) == []


def test_many_sessions_never_exceed_three(database: Database) -> None:
    """Counted inside of the jobs."""
    make_lane(database)
    database.run("select jobs.set_concurrency('k', 3)")
    put_many(database, "app.crowd", [{}] * 40, options=KEY)
    work_off(database, sessions=8)
    assert max(n for n in ledger(database) if n is not None) <= 3
    assert len(ledger(database)) == 40


def test_the_next_is_of_the_highest_priority_then_the_oldest(database: Database) -> None:
    """Also one whose priority was changed while it waited."""
    for priority in ("high", "normal", "low"):
        make_lane(database, priority=priority)
    first = keyed(database, args={"n": 0})
    admit(database)
    keyed(database, args={"n": 3}, priority="low")
    keyed(database, args={"n": 2})
    keyed(database, args={"n": 1}, priority="high")
    lifted = keyed(database, args={"n": 9}, priority="low")
    assert database.value("select jobs.set_priority(%s, 'high')", [lifted]) == "scheduled"
    assert holders(database) == [first]
    work_off(database)
    rows = database.admin("select n from app.ledger where n is not null order by at")
    assert [row[0] for row in rows] == [0, 1, 9, 2, 3]


def test_each_owner_has_its_own(database: Database) -> None:
    """The same key of two owners is two keys."""
    make_lane(database)
    with gate_shut(database):
        mine = keyed(database, task="app.gate")
        database.run("select jobs.start()")
        wait_at_gate(database)
        theirs = put(database, "pg_catalog.now", role="other", options=KEY)
        database.run("select jobs.start()", role="other")
        wait_for(database, theirs, "succeeded")
        assert holders(database) == [mine]
    wait_for(database, mine, "succeeded")


@pytest.mark.parametrize(
    "make",
    [
        lambda database: put(database, "app.note", {"n": 1}, options=KEY),
        lambda database: put_many(database, "app.note", [{"n": 1}], options=KEY)[0],
        lambda database: put_sql(database, "select 1", options=KEY),
        lambda database: put_steps(database, "select 1", "select 2", options=KEY),
        lambda database: put(database, "app.note", {"n": 1}, options=KEY, unique_key="u"),
    ],
    ids=["enqueue", "enqueue_many", "enqueue_sql", "enqueue_steps", "unique_key"],
)
def test_every_kind_of_job(database: Database, make: Callable[[Database], int]) -> None:
    """It waits, runs when it may, and gives its place back."""
    first = keyed(database)
    admit(database)
    job = make(database)
    assert admit(database) == 0
    assert waiters(database) == [job]
    work_off(database)
    assert [state(database, one) for one in (first, job)] == ["succeeded"] * 2
    assert left(database) == []


def test_jobs_of_schedules(database: Database) -> None:
    """The option of a schedule is that of its jobs."""
    first = keyed(database)
    admit(database)
    database.run("select jobs.schedule('s', '@daily', 'pg_catalog.now', options => %s)", [KEY])
    job = database.value("select jobs.run_schedule('s')")
    database.admin("select jobs_internal.dispatch()")
    assert waiters(database) == [job]
    work_off(database)
    assert [state(database, one) for one in (first, job)] == ["succeeded"] * 2


def test_other_numbers(database: Database) -> None:
    """More let the next ones in, fewer let those that are there end, 0 begins none."""
    jobs = [keyed(database, args={"n": n}) for n in range(4)]
    admit(database)
    assert holders(database) == jobs[:1]
    database.run("select jobs.set_concurrency('k', 2)")
    admit(database)
    assert holders(database) == jobs[:2]
    database.run("select jobs.set_concurrency('k', 0)")
    work_off_held(database)
    assert (holders(database), waiters(database)) == ([], jobs[2:])
    assert database.run("select max, held, waiting from jobs.concurrency_keys") == [(0, 0, 2)]
    database.run("select jobs.set_concurrency('k', null)")
    admit(database)
    assert holders(database) == jobs[2:3]
    work_off(database)
    assert database.run("select * from jobs.concurrency_keys") == []


def work_off_held(database: Database) -> None:
    """Run those that hold places."""

    def over() -> bool:
        database.drain()
        admit(database)
        return not holders(database)

    wait_until(over)


def test_fewer_than_there_are(database: Database) -> None:
    """Those that are there count, whatever their place is."""
    database.run("select jobs.set_concurrency('k', 3)")
    jobs = [keyed(database) for _ in range(5)]
    admit(database)
    database.run("select jobs.set_concurrency('k', 2)")
    database.run("select jobs.cancel(%s)", [jobs[0]])
    admit(database)
    assert holders(database) == jobs[1:3]
    database.run("select jobs.cancel(%s)", [jobs[1]])
    admit(database)
    assert holders(database) == jobs[2:4]


@pytest.mark.parametrize("key", ["", "x" * 513])
def test_keys_that_cannot_be(database: Database, key: str) -> None:
    """Refused, and nothing is enqueued."""
    assert sqlstate_of(lambda: keyed(database, key)) == "PW029"
    assert sqlstate_of(lambda: database.run("select jobs.set_concurrency(%s, 1)", [key])) == "PW120"
    assert database.admin("select count(*) from jobs_internal.job") == [(0,)]


@pytest.mark.parametrize("most", [-1, 1001])
def test_numbers_that_cannot_be(database: Database, most: int) -> None:
    """Refused, and nothing is changed."""
    assert (
        sqlstate_of(lambda: database.run("select jobs.set_concurrency('k', %s)", [most])) == "PW119"
    )
    assert database.run("select * from jobs.concurrency_keys") == []


def test_the_longest_key(database: Database) -> None:
    """Of 512 bytes."""
    job = keyed(database, "ü" * 256)
    work_off(database)
    assert state(database, job) == "succeeded"


def test_a_queue_with_waiters_is_not_dropped(database: Database) -> None:
    """They are unfinished jobs."""
    database.admin("select jobs.create_queue('side')")
    keyed(database)
    admit(database)
    keyed(database, queue="side")
    assert sqlstate_of(lambda: database.admin("select jobs.drop_queue('side')")) == "PW028"


def test_without_a_lane_yet(database: Database) -> None:
    """It comes to its key when the lane is there."""
    job = keyed(database)
    assert (state(database, job), left(database)) == ("scheduled", [])
    database.drain()
    assert (state(database, job), left(database)) == ("succeeded", [])


def test_its_lane_goes_while_it_waits(database: Database) -> None:
    """It holds its place, and a round makes the lane anew."""
    make_lane(database)
    job = keyed(database)
    database.admin("delete from jobs_internal.lane")
    assert database.admin("select jobs_internal.admit_waiting()") == [(1,)]
    assert (state(database, job), holders(database)) == ("scheduled", [job])
    assert is_well(database)
    database.admin("select jobs_internal.dispatch()")
    assert state(database, job) == "queued"
    work_off(database)
    assert left(database) == []


def test_upkeep_finds_what_cannot_be(database: Database) -> None:
    """And puts it right; jobs.health shows it until then."""
    make_lane(database)
    gone, later = 999999999, keyed(database, "b", run_at="2100-01-01T00:00:00Z")
    waiting = keyed(database, "c")
    database.admin("delete from jobs_internal.key_event")
    assert not is_well(database)
    owner = database.admin("select 'app'::regrole::oid")[0][0]
    for key, job in (("a", gone), ("b", later)):
        database.admin(
            "insert into jobs_internal.key_held (owner, key, n, job_id) values (%s, %s, 1, %s)",
            [owner, key, job],
        )
    detail = database.admin("select detail, remedy from jobs.health where \"check\" = 'keys'")[0]
    assert detail[0] == (
        "2 places of keys are held by jobs that are not there any more;"
        " jobs wait for 1 key that has a free place"
    )
    database.admin("select jobs_internal.sweep_keys()")
    assert holders(database, "a") == holders(database, "b") == []
    assert is_well(database)
    admit(database)
    assert holders(database, "c") == [waiting]


def test_an_owner_gets_another_number(database: Database) -> None:
    """Its places, those who wait, and its numbers go with it."""
    database.run("select jobs.set_concurrency('k', 2)")
    jobs = [keyed(database) for _ in range(3)]
    admit(database)
    database.admin(
        "select jobs_internal.move_keys(array['app'::regrole::oid], array[4294960001::oid],"
        " array['other'::regrole::oid])"
    )
    rows = database.admin(
        "select distinct owner::regrole::text from (select owner from jobs_internal.key_wait"
        " union all select owner from jobs_internal.key_held"
        " union all select owner from jobs_internal.key_limit) as o"
    )
    assert rows == [("other",)]
    assert (holders(database), waiters(database)) == (jobs[:2], jobs[2:])

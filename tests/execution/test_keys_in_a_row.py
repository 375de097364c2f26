"""Short jobs of a key with one place: one session runs them one after the other, in one commit."""

import pytest
from concurrency.byhand import Worker
from psycopg.types.json import Jsonb
from stage import know_as_short, ledger, make_lane, put, put_many, state
from support import Database

from .keyed import admit, behind, holders, is_well, keyed, left, waiters, work_off

KEY = Jsonb({"concurrency_key": "k"})


@pytest.fixture
def known(database: Database) -> Database:
    """Give a database in which app.note is known to be short."""
    for priority in ("normal", "low"):
        make_lane(database, priority=priority)
    put(database, "app.note", {"n": 0})
    database.drain()
    know_as_short(database)
    database.admin("truncate app.ledger")
    return database


def notes(database: Database, count: int) -> list[int]:
    return put_many(database, "app.note", [{"n": n} for n in range(count)], options=KEY)


def test_they_share_commits_and_keep_their_turn(known: Database) -> None:
    """Twenty at a time, in the order in which they came."""
    notes(known, 50)
    work_off(known)
    assert ledger(known) == list(range(50))
    (commits,) = known.admin("select count(distinct xmin::text) from jobs_internal.finished")[0]
    assert commits <= 1 + 5  # with the one that was there before
    assert (left(known), is_well(known)) == ([], True)


def test_twenty_enter_their_lane(known: Database) -> None:
    """One holds the place, nineteen stand behind it, the others wait."""
    jobs = notes(known, 25)
    admit(known)
    assert (holders(known), behind(known)) == (jobs[:1], jobs[1:20])
    assert waiters(known) == jobs[20:]
    assert known.run("select max, held, waiting from jobs.concurrency_keys") == [(1, 20, 5)]
    (reason,) = known.run("select reason from jobs.explain(%s) where code = 'key'", [jobs[20]])
    assert reason == (f"its key has 1 place, held by job {jobs[0]}",)


@pytest.mark.parametrize(
    ("task", "args", "priority"),
    [("app.crowd", {}, "normal"), ("app.note", {"n": 1}, "low")],
    ids=["a function that is not known to be short", "another lane"],
)
def test_what_is_no_short_job_of_the_lane_ends_the_row(
    known: Database, task: str, args: dict[str, int], priority: str
) -> None:
    """It keeps its turn: no other passes it."""
    first = keyed(known, args={"n": 0})
    other = put(known, task, args, options=KEY, priority=priority)
    later = keyed(known, args={"n": 2}, priority=priority)
    admit(known)
    assert (holders(known), behind(known), waiters(known)) == ([first], [], [other, later])
    work_off(known)


def test_where_there_are_several_places_none_stands_behind(known: Database) -> None:
    """Another session may run the next one at once."""
    known.run("select jobs.set_concurrency('k', 2)")
    jobs = notes(known, 5)
    admit(known)
    assert (holders(known), behind(known), waiters(known)) == (jobs[:2], [], jobs[2:])


def test_another_session_runs_none_of_them_beside_the_first(known: Database) -> None:
    """It has the message of the next one, and puts it back."""
    jobs = notes(known, 3)
    admit(known)
    one, two = Worker(database=known), Worker(database=known)
    one.claim(1)
    one.begin()
    assert len(one.open()) == 1
    two.claim(1)
    two.begin()
    (item,) = two.open()
    assert ",gone," in item
    assert two.finish_chunk([])
    two.commit()
    assert state(known, jobs[1]) == "scheduled"
    assert (holders(known), behind(known)) == (jobs[:1], jobs[2:])
    one.rollback()
    one.die()
    two.die()
    work_off(known)
    assert sorted(n for n in ledger(known) if n is not None) == [0, 1, 2]
    assert (left(known), is_well(known)) == ([], True)


def test_the_next_begins_once_the_first_has_ended(known: Database) -> None:
    """In another session, which has only that one."""
    jobs = notes(known, 2)
    admit(known)
    one, two = Worker(database=known), Worker(database=known)
    one.claim(1)
    two.claim(1)
    one.begin()
    assert len(one.open()) == 1
    assert one.finish_chunk(jobs[:1])
    one.commit()
    two.begin()
    (item,) = two.open()
    assert ",chunk," in item
    two.rollback()
    one.die()
    two.die()
    work_off(known)


def test_the_last_does_not_begin_beside_the_one_before_it(known: Database) -> None:
    """The first has ended, and another session is at the second."""
    jobs = notes(known, 3)
    admit(known)
    one, two = Worker(database=known), Worker(database=known)
    one.claim(1)
    one.begin()
    one.open()
    assert one.finish_chunk(jobs[:1])
    one.commit()
    one.claim(1)
    two.claim(1)
    one.begin()
    (item,) = one.open()
    assert ",chunk," in item
    two.begin()
    (item,) = two.open()
    assert ",gone," in item
    two.rollback()
    one.rollback()
    one.die()
    two.die()
    work_off(known)


def test_one_behind_is_cancelled_and_the_others_go_on(known: Database) -> None:
    """The first one too: the next does not wait for it."""
    jobs = notes(known, 4)
    admit(known)
    for job in (jobs[0], jobs[2]):
        assert known.value("select jobs.cancel(%s)", [job]) == "cancelled"
    work_off(known)
    assert ledger(known) == [1, 3]
    assert left(known) == []


def test_none_of_them_begins_once_it_says_zero(known: Database) -> None:
    """The holder goes on, those behind it wait."""
    jobs = notes(known, 3)
    admit(known)
    known.run("select jobs.set_concurrency('k', 0)")
    known.drain()
    admit(known)
    assert ledger(known) == [0]
    assert (holders(known), behind(known), waiters(known)) == ([], [], jobs[1:])
    known.run("select jobs.set_concurrency('k', null)")
    work_off(known)
    assert ledger(known) == [0, 1, 2]


def test_their_session_dies(known: Database) -> None:
    """Each runs all the same, once."""
    notes(known, 5)
    admit(known)
    one = Worker(database=known)
    one.claim()
    one.begin()
    assert len(one.open()) == 5
    one.die()
    work_off(known)
    assert sorted(n for n in ledger(known) if n is not None) == list(range(5))
    assert (left(known), is_well(known)) == ([], True)

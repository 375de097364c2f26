"""A lane's front: where its messages begin. Dead ones are walked over once a second,
and nothing is passed by.
"""

from stage import make_lane, put, state
from support import Database

from .waiting import begin, lane


def front(database: Database) -> int:
    return int(database.admin("select scan_start from jobs_internal.lane limit 1")[0][0])


def pretend(database: Database, number: int, ago: str = "0 s") -> None:
    """Somebody has looked, and found the first message behind that number."""
    database.admin(
        "update jobs_internal.lane set scan_start = %s, scan_start_at = clock_timestamp() -"
        " %s::interval",
        [number, ago],
    )


def test_what_is_behind_the_front_is_claimed(database: Database) -> None:
    make_lane(database)
    job = put(database, "app.note", {"n": 1})
    number = database.admin(f"select min(msg_id) from {lane(database)}")[0][0]
    pretend(database, number - 1)
    database.drain()
    assert state(database, job) == "succeeded"


def test_a_message_that_was_committed_late_is_found_by_the_next_look(database: Database) -> None:
    """Its number is lower than those that were done meanwhile: sessions and supervisors see it a
    second later.
    """
    make_lane(database)
    late = database.connect()
    begin(late, "select jobs.enqueue('app.note', '{\"n\": 1}')")
    put(database, "app.note", {"n": 2})
    database.drain()
    late.execute("commit")
    pretend(database, 1000, ago="2 s")
    assert database.admin("select session_demand from jobs_internal.session_demand()") == [(1,)], (
        "a supervisor looks again"
    )
    assert front(database) < 1000
    pretend(database, 1000, ago="2 s")
    database.drain()
    assert database.run("select count(*) from jobs.job where state = 'succeeded'") == [(3,)]


def test_a_front_of_the_future_is_looked_at_again(database: Database) -> None:
    """The clock was set back."""
    make_lane(database)
    job = put(database, "app.note", {"n": 1})
    pretend(database, 1000, ago="-1 hour")
    database.drain()
    assert state(database, job) == "succeeded"


def test_nobody_waits_for_who_looks(database: Database) -> None:
    make_lane(database)
    job = put(database, "app.note", {"n": 1})
    pretend(database, 0)
    holder = database.connect("postgres")
    begin(holder, "select count(*) from (select from jobs_internal.lane for update) as l")
    database.drain()
    assert state(database, job) == "succeeded"
    holder.execute("rollback")

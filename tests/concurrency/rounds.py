"""What an owner holds open, and a supervisor whose rounds are to go on."""

from collections.abc import Callable, Iterator

import pytest
from psycopg import Connection
from stage import make_lane, put, state
from support import Database, Row, wait_until

FAILURES = (
    "select duty, item, owner::regrole::text, error ->> 'sqlstate' from jobs_internal.duty_failure"
    " order by 1, 2"
)


HELD = "55P03"


@pytest.fixture
def rounds(database: Database) -> Iterator[Callable[[], None]]:
    """A supervisor's whole round, which must not wait: tick, press, outcomes,
    maintenance and a fresh registration.
    """
    make_lane(database)
    make_lane(database, role="other")
    line = database.connect("supervisor")
    number = open_supervisor(line)

    def rounds() -> None:
        _every_round(line, number)
        open_supervisor(database.connect("supervisor"))

    yield rounds
    line.close()


def open_supervisor(line: Connection[Row]) -> int:
    row = line.execute("select jobs_internal.supervisor_open('one', 'here', 1, '1')").fetchone()
    assert row
    return int(row[0])


def _every_round(line: Connection[Row], number: int) -> None:
    line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    line.execute("select jobs_internal.supervisor_send_stop_signals(%s)", [number])
    line.execute("select jobs_internal.take_outcomes(1000)")
    line.execute("select jobs_internal.supervisor_sleep(%s, true)", [number])
    line.execute("select jobs_internal.supervisor_sleep(%s, false)", [number])
    line.execute("select jobs_internal.maintain()")


def hold(database: Database, *statements: str, role: str = "app") -> Connection[Row]:
    """Do something in a transaction that stays open; a thousand lanes take their time on a machine
    that works.
    """
    line = database.connect(role, statement_timeout="200s")
    line.execute("begin")
    for statement in statements:
        line.execute(statement.encode())
    return line


def others_go_on(database: Database) -> None:
    """Enqueue as somebody else; a supervisor's round has to bring it to its lane."""
    job = put(database, "pg_catalog.now", role="other")
    database.run("select jobs.start()", role="other")
    wait_until(lambda: state(database, job) == "succeeded")


def failures(database: Database) -> list[Row]:
    return database.admin(FAILURES)


def persist(database: Database, rounds: Callable[[], None]) -> None:
    """Let what fails now fail a few times: a lock that is held for a moment is not spoken of."""
    for _ in range(3):
        retry_now(database)
        rounds()


def retry_now(database: Database) -> None:
    database.admin("update jobs_internal.duty_failure set retry_at = clock_timestamp()")


def health(database: Database) -> tuple[str, str]:
    row = database.admin("select status, detail from jobs.health where \"check\" = 'rounds'")[0]
    return row[0], row[1]

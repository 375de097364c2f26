"""The next time of a schedule agrees with a clock that is walked minute by minute."""

import random
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from support import Database, Row

from tests.sql.next_times import Case, differing, far_ahead, near_changes, zones_that_differ
from tests.sql.wall_clock import ZONES, Clock, zone_directory

SEED = 16
#: Rules of the clock, by hand: schedule, zone, after, and when it runs (UTC).
BY_HAND = (
    # 02:30 is skipped on 29 March: once, at the end of the gap; all times in the gap as one.
    ("30 2 * * *", "Europe/Zurich", "2026-03-29 00:00", "2026-03-29 01:00"),
    ("0,30 2 * * *", "Europe/Zurich", "2026-03-29 01:00", "2026-03-30 00:00"),
    ("0 3 * * *", "Europe/Zurich", "2026-03-28 23:00", "2026-03-29 01:00"),
    # It comes twice on 25 October: the first time.
    ("30 2 * * *", "Europe/Zurich", "2026-10-25 00:00", "2026-10-25 00:30"),
    ("30 2 * * *", "Europe/Zurich", "2026-10-25 00:30", "2026-10-26 01:30"),
    ("0 3 * * *", "Europe/Zurich", "2026-10-25 00:30", "2026-10-25 02:00"),
    # With a wildcard both readings count, and what is skipped does not.
    ("30 * * * *", "Europe/Zurich", "2026-10-25 00:30", "2026-10-25 01:30"),
    ("*/30 2 * * *", "Europe/Zurich", "2026-10-25 00:30", "2026-10-25 01:00"),
    ("*/30 2 * * *", "Europe/Zurich", "2026-03-28 02:00", "2026-03-30 00:00"),
    # Half an hour; a whole day; a gap that begins at midnight.
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03 15:00", "2026-10-03 15:30"),
    ("*/15 1 * * *", "Australia/Lord_Howe", "2026-04-04 14:45", "2026-04-04 15:00"),
    ("0 12 30 12 *", "Pacific/Apia", "2011-12-29 12:00", "2011-12-30 10:00"),
    ("* * 30 12 *", "Pacific/Apia", "2011-12-29 12:00", "2012-12-29 10:00"),
    ("0 0 24 4 *", "Africa/Cairo", "2026-04-01 00:00", "2026-04-23 22:00"),
    # Day or weekday; and, where one begins with *.
    ("0 0 13 * fri", "UTC", "2026-11-01 00:00", "2026-11-06 00:00"),
    ("0 0 */13 * fri", "UTC", "2026-11-01 00:00", "2026-11-27 00:00"),
    ("0 0 13 * */5", "UTC", "2026-11-01 00:00", "2026-11-13 00:00"),
    ("0 0 13 * */4", "UTC", "2026-11-01 00:00", "2026-12-13 00:00"),
    # The last day; 29 February, and the one that is a Sunday.
    ("0 0 L * *", "UTC", "2028-02-01 00:00", "2028-02-29 00:00"),
    ("0 0 $,1 * *", "UTC", "2027-02-01 00:00", "2027-02-28 00:00"),
    ("0 0 29 2 *", "UTC", "2096-03-01 00:00", "2104-02-29 00:00"),
    ("0 0 29 2 */7", "UTC", "2088-03-01 00:00", "2128-02-29 00:00"),
    ("0 0 * * 7", "UTC", "2026-11-30 00:00", "2026-12-06 00:00"),
    # Strictly after, to the microsecond.
    ("0 0 * * *", "UTC", "2026-11-29 23:59:59.999999", "2026-11-30 00:00"),
    ("0 0 * * *", "UTC", "2026-11-30 00:00", "2026-12-01 00:00"),
    # Elapsed time.
    ("every 15 minutes", "UTC", "2026-11-30 00:15", "2026-11-30 00:30"),
    ("every 7 days", "UTC", "1970-01-01 00:00", "1970-01-08 00:00"),
    ("after 90 seconds", "UTC", "2026-11-30 00:15:01.5", "2026-11-30 00:16:31.5"),
)
NEXT = (
    "select jobs_internal.next_time(jobs_internal.parse_schedule(%s), %s, %s::timestamp"
    " at time zone 'UTC') at time zone 'UTC'"
)


@pytest.fixture(scope="module")
def line(shared: Database) -> Iterator[Connection[Row]]:
    """A session of the administrator, in a zone of its own that nothing may depend on."""
    with shared.connect("postgres") as connection:
        connection.execute("set timezone = 'Pacific/Apia'")
        yield connection


@pytest.fixture(scope="module")
def clocks(line: Connection[Row]) -> dict[str, Clock]:
    """The clocks of the zones, read from the server's own files."""
    directory = zone_directory(line)
    return {name: Clock.read(directory, name) for name in ZONES}


@pytest.fixture(scope="module")
def cases(clocks: dict[str, Clock]) -> list[Case]:
    """Some 2,000 cases, at a twelfth of all changes."""
    return [case for some in near_changes(random.Random(SEED), clocks, 9, 0.08) for case in some]


@pytest.mark.parametrize(("schedule", "zone", "after", "due"), BY_HAND)
def test_by_hand(line: Connection[Row], schedule: str, zone: str, after: str, due: str) -> None:
    row = line.execute(f"select ({NEXT})::text, %s::timestamp::text".encode(),
                       [schedule, zone, after, due]).fetchone()  # fmt: skip
    assert row is not None
    assert row[0] == row[1]


def test_the_server_reads_these_zones(line: Connection[Row], clocks: dict[str, Clock]) -> None:
    """Else the oracle would judge another server."""
    assert zones_that_differ(line, clocks) == []


def test_at_changes_of_the_clock(line: Connection[Row], cases: list[Case]) -> None:
    assert len(cases) > 1500
    assert differing(line, cases) == []


def test_years_ahead(line: Connection[Row], clocks: dict[str, Clock]) -> None:
    assert differing(line, far_ahead(random.Random(SEED), clocks, 60)) == []


@pytest.mark.parametrize(
    ("function", "right", "wrong"),
    [
        ("next_fixed", "if v_shown > v_next then", "if false then"),
        ("next_fixed", "if v_unset > v_wall then", "if false then"),
        ("next_fixed", "if v_unset > v_next then", "if false then"),
        ("next_wild", "if v_ahead < v_wall then", "if false then"),
        ("next_wild", "exit when v_shown = v_next or v_next is null", "exit when true"),
        ("next_wild", "if v_unset > v_next and", "if false and"),
        ("next_wall", "if (case when v_both", "if (case when true"),
    ],
)
def test_a_planted_bug_is_found(
    line: Connection[Row], cases: list[Case], function: str, right: str, wrong: str
) -> None:
    with line.transaction() as transaction:
        row = line.execute(
            "select pg_get_functiondef(%s::regproc)", [f"jobs_internal.{function}"]
        ).fetchone()
        assert row is not None
        assert right in row[0]
        line.execute(row[0].replace(right, wrong).encode())
        assert differing(line, cases) != []
        raise psycopg.Rollback(transaction)


def test_other_files_are_found(line: Connection[Row], clocks: dict[str, Clock]) -> None:
    """A zone whose file says something else than the server is named."""
    assert zones_that_differ(line, {"Asia/Tokyo": clocks["Pacific/Apia"]}) == ["Asia/Tokyo"]


@pytest.mark.parametrize(
    ("anchor", "after", "due"),
    [
        ("2026-11-30 10:07", "2026-11-30 10:00", "2026-11-30 10:07"),
        ("2026-11-30 10:07", "2026-11-30 10:07", "2026-11-30 10:22"),
        ("2026-11-30 10:07", "2026-12-30 10:06:59.999999", "2026-12-30 10:07"),
        (None, "2026-11-30 10:07", "2026-11-30 10:15"),
        (None, "1969-12-31 23:50", "1970-01-01 00:00"),
        (None, "9999-12-01 00:00", "9999-12-01 00:15"),
    ],
)
def test_every_is_counted_from_its_anchor(
    line: Connection[Row], anchor: str | None, after: str, due: str
) -> None:
    row = line.execute(
        "select jobs_internal.next_time(jobs_internal.parse_schedule('every 15 minutes'), null,"
        " %s::timestamptz, %s::timestamptz) = %s::timestamptz",
        [f"{after}+00", anchor and f"{anchor}+00", f"{due}+00"],
    ).fetchone()
    assert row == (True,)


@pytest.mark.parametrize("after", ["infinity", "-infinity", None, "10000-01-01", "0044-03-15 BC"])
def test_outside_of_the_calendar_there_is_none(line: Connection[Row], after: str | None) -> None:
    assert line.execute(NEXT.encode(), ["0 0 * * *", "UTC", after]).fetchone() == (None,)

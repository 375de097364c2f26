"""What people write as a schedule: what is taken, how it is said in words, and what is refused with
what was expected.
"""

from collections.abc import Callable

import psycopg
import pytest
from psycopg import Connection
from support import Database, Row

Refused = Callable[..., psycopg.errors.Diagnostic]

READ = "select (jobs_internal.parse_schedule(%s)).*"
WORDS = "select jobs_internal.schedule_in_words(jobs_internal.parse_schedule(%s), %s)"
ALL_DAYS, ALL_MONTHS, ALL_WEEK = list(range(1, 32)), list(range(1, 13)), list(range(7))

FIELDS = (
    ("30 2 * * *", [30], [2], ALL_DAYS, ALL_MONTHS, ALL_WEEK),
    ("0,30 8-10 1,15 1,7 *", [0, 30], [8, 9, 10], [1, 15], [1, 7], ALL_WEEK),
    ("*/20 20-23/2 */10 */4 *", [0, 20, 40], [20, 22], [1, 11, 21, 31], [1, 5, 9], ALL_WEEK),
    ("59 23 31 12 7", [59], [23], [31], [12], [0]),
    ("0 0 * JAN,mar-May Mon-FRI", [0], [0], ALL_DAYS, [1, 3, 4, 5], [1, 2, 3, 4, 5]),
    ("0 0 * * fri-sun", [0], [0], ALL_DAYS, ALL_MONTHS, [0, 5, 6]),
    ("0 0 * * sun-tue,0,7", [0], [0], ALL_DAYS, ALL_MONTHS, [0, 1, 2]),
    ("0 0 L * *", [0], [0], [32], ALL_MONTHS, ALL_WEEK),
    ("0 0 l,$,1 2 *", [0], [0], [1, 32], [2], ALL_WEEK),
    ("0 0 29 2 *", [0], [0], [29], [2], ALL_WEEK),
    ("  5\t4 *  * * \n", [5], [4], ALL_DAYS, ALL_MONTHS, ALL_WEEK),
    ("@yearly", [0], [0], [1], [1], ALL_WEEK),
    ("@annually", [0], [0], [1], [1], ALL_WEEK),
    ("@monthly", [0], [0], [1], ALL_MONTHS, ALL_WEEK),
    ("@weekly", [0], [0], ALL_DAYS, ALL_MONTHS, [0]),
    ("@Daily", [0], [0], ALL_DAYS, ALL_MONTHS, ALL_WEEK),
    ("@midnight", [0], [0], ALL_DAYS, ALL_MONTHS, ALL_WEEK),
    ("@hourly", [0], list(range(24)), ALL_DAYS, ALL_MONTHS, ALL_WEEK),
)
#: Schedule, day and weekday must both match, follows elapsed time.
RULES = (
    ("0 0 1 * 1", False, False),
    ("0 0 */2 * 1", True, False),
    ("0 0 1 * */2", True, False),
    ("0 0 1,*/9 * 1", False, False),
    ("*/5 1 * * *", True, True),
    ("0 * * * *", True, True),
    ("0 1,*/6 * * *", True, True),
    ("0-59 0-23 * * *", True, False),
)
ELAPSED = (
    ("every 15 minutes", 900),
    ("every 1 second", 1),
    ("every minute", 60),
    ("Every 1 hour 30 min", 5400),
    ("every 90s", 90),
    ("every 2 weeks 1 d", 15 * 86400),
    ("every 14975 days", 14975 * 86400),
)
IN_WORDS = (
    ("30 2 * * mon-fri", "Europe/Zurich", "at 02:30 on Monday to Friday, Europe/Zurich"),
    ("30 2 * * *", None, "at 02:30, UTC"),
    ("* * * * *", None, "every minute, UTC"),
    ("*/15 * * * *", None, "every 15 minutes, UTC"),
    ("*/15 9-17 * * *", None, "every 15 minutes of hours 9 to 17, UTC"),
    ("* 3 * * *", None, "every minute of hour 3, UTC"),
    ("0 * * * *", None, "every hour, UTC"),
    ("7 * * * *", None, "at minute 7 of every hour, UTC"),
    ("0,20 8,9 * * *", None, "at 08:00, 08:20, 09:00 and 09:20, UTC"),
    ("1,2,7 3-23/2 * * *", None, "at minutes 1, 2 and 7 of hours 3 to 23 in steps of 2, UTC"),
    ("0 0 13 * fri", None, "at 00:00 on day 13 of the month, and on Friday, UTC"),
    ("0 0 13 * */5", None, "at 00:00 on day 13 of the month, if that is Friday and Sunday, UTC"),
    ("0 0 1-31 * fri", None, "at 00:00, UTC"),
    ("0 0 L * *", None, "at 00:00 on the last day of the month, UTC"),
    ("0 0 1,L 1,7 *", None, "at 00:00 on day 1 and the last day of January and July, UTC"),
    ("0 0 29 2 sun", None, "at 00:00 on day 29 of February, and on Sunday in February, UTC"),
    ("0 0 * 6-8 sat,sun", None, "at 00:00 on Saturday and Sunday in June to August, UTC"),
    ("0 0 * 12 *", None, "at 00:00 in December, UTC"),
    ("every 15 minutes", "Europe/Zurich", "every 15 minutes"),
    ("every 1 day", None, "every day"),
    ("every 90 minutes", None, "every 1 hour 30 minutes"),
    ("after 1 hour", None, "1 hour after the end of the last run"),
)
#: Schedule, and what message, detail and hint must say of it.
REFUSED = (
    (None, "the schedule is null,", "five fields"),
    ("", "it is empty", "five fields"),
    (" \n", "it is empty"),
    ("0 0 * * * *", "six fields", "seconds are not taken", "every 10 seconds"),
    ("0 0 * * * * *", "it has 7 fields"),
    ("0 0 * *", "it has 4 fields"),
    ("tomorrow", "it has 1 field,", "five fields"),
    ("@reboot", "a start of the server is no time"),
    ("@fortnightly", "it has 1 field"),
    ("60 * * * *", 'minute "60" is out of range', "0 to 59"),
    ("* 24 * * *", 'hour "24" is out of range', "0 to 23"),
    ("* * 0 * *", 'day "0" is out of range', "1 to 31", "L for the last day"),
    ("* * 32 * *", 'day "32" is out of range'),
    ("* * * 13 *", 'month "13" is out of range', "jan to dec"),
    ("* * * 0 *", 'month "0" is out of range'),
    ("* * * * 8", 'weekday "8" is out of range', "0 and 7 are Sunday"),
    ("-1 * * * *", '"-1" is no minute'),
    ("1.5 * * * *", '"1.5" is no minute'),
    ("99999 * * * *", '"99999" is no minute'),
    ("mon * * * *", '"mon" is no minute'),
    ("* * * * jan", '"jan" is no weekday'),
    ("* * * january *", '"january" is no month'),
    ("* * ? * *", '"?" is no day'),
    ("* * 15W * *", '"15w" is no day'),
    ("* * * * 5L", '"5l" is no weekday'),
    ("* * L-3 * *", '"l-3" is no day'),
    ("1,,2 * * * *", "an empty place"),
    ("1, * * * *", "an empty place"),
    ("1- * * * *", '"1-" is no minute'),
    ("*/0 * * * *", 'the step of "*/0" is out of range', "from 1 to 60"),
    ("*/90 * * * *", "out of range", "Did you mean: every 90 minutes?"),
    ("5/15 * * * *", "a step, but no range", "5-59/15"),
    ("0 22-6 * * *", 'the range "22-6" runs backwards', "22-23,0-6"),
    ("0 0 * * sat-mon", "runs backwards"),
    ("0 0 30 2 *", "its date never comes", "Day 30", "For the last day of a month write L."),
    ("0 0 31 4,6,9,11 *", "its date never comes"),
    ("0 0 30,31 2 mon", "its date never comes"),
    ("every", "that is no duration", "every 15 minutes"),
    ("every 0 minutes", "out of range", "from 1 second"),
    ("every 14976 days", "out of range", "to 41 years"),
    ("every 1.5 hours", "that is no duration"),
    ("every -5 minutes", "that is no duration"),
    ("every 2 months", "months and years differ in length", "@monthly"),
    ("every year", "months and years differ in length"),
    ("every 15", "that is no duration"),
    ("every minutes", "that is no duration"),
    ("after lunch", "that is no duration", "after 10 minutes"),
    ("everyday", "it has 1 field"),
    ("'; drop table x; --", "is no minute"),
    ("1 " * 400, "longer than 500 characters"),
)
ZONES_REFUSED = (
    ("CET", "Europe/Brussels"),
    ("cest", "Europe/Brussels"),
    ("EST", "America/New_York"),
    ("EST5EDT", "America/New_York"),
    ("EET", "Europe/Athens"),
    ("MET", "Europe/Paris"),
    ("WET", "Europe/Lisbon"),
    ("HST", "Pacific/Honolulu"),
    ("MST", "America/Denver"),
    ("PST", "America/Los_Angeles"),
    ("IST", "Asia/Kolkata, Europe/Dublin or Asia/Jerusalem"),
    ("Zulu", "UTC"),
    ("NZ", "Pacific/Auckland"),
    ("Foo/Bar3", "a name like"),
    ("UTC+2", "a name like"),
    ("<+02>-2", "a name like"),
    ("+02:00", "a name like"),
    ("posix/Europe/Zurich", "Europe/Zurich"),
    ("right/Europe/Zurich", "Europe/Zurich"),
    ("Zurich", "Europe/Zurich"),
    ("new york", "America/New_York"),
    ("localtime", "a name like"),
    ("Factory", "a name like"),
    ("Mars/Olympus", "a name like"),
    ("", "a name like"),
)


@pytest.fixture(scope="module")
def line(shared: Database) -> Connection[Row]:
    return shared.connect("postgres")


@pytest.mark.parametrize(("schedule", "fields"), [(one[0], one[1:]) for one in FIELDS])
def test_fields(line: Connection[Row], schedule: str, fields: tuple[object, ...]) -> None:
    row = line.execute(READ.encode(), [schedule]).fetchone()
    assert row is not None
    assert row[:5] == fields
    assert row[7:] == (None, None)


@pytest.mark.parametrize(("schedule", "both", "wild"), RULES)
def test_stars(line: Connection[Row], schedule: str, both: bool, wild: bool) -> None:
    row = line.execute(READ.encode(), [schedule]).fetchone()
    assert row is not None
    assert row[5:7] == (both, wild)


@pytest.mark.parametrize(("schedule", "seconds"), ELAPSED)
def test_elapsed(line: Connection[Row], schedule: str, seconds: int) -> None:
    for text, column in ((schedule, "every"), (f"after {schedule[6:]}", "after_end")):
        row = line.execute(
            f"select extract(epoch from p.{column})::bigint, num_nonnulls(p.every, p.after_end,"
            f" p.minutes) from jobs_internal.parse_schedule(%s) as p".encode(),
            [text],
        ).fetchone()
        assert row == (seconds, 1)


@pytest.mark.parametrize(("schedule", "zone", "words"), IN_WORDS)
def test_in_words(line: Connection[Row], schedule: str, zone: str | None, words: str) -> None:
    assert line.execute(WORDS.encode(), [schedule, zone]).fetchone() == (words,)


@pytest.mark.parametrize(("schedule", "says"), [(one[0], one[1:]) for one in REFUSED])
def test_refused(refused: Refused, schedule: str | None, says: tuple[str, ...]) -> None:
    said = refused("PW100", "select jobs.next_runs(%s)", [schedule])
    text = f"{said.message_primary}, {said.message_detail} {said.message_hint}"
    assert [part for part in says if part not in text] == []
    assert len(said.message_primary or "") < 200
    assert (said.message_detail or "").startswith("Expected: ")
    assert (said.message_hint or "").endswith("A retry cannot help.")


@pytest.mark.parametrize(("zone", "hint"), ZONES_REFUSED)
def test_zone_refused(refused: Refused, zone: str, hint: str) -> None:
    said = refused("PW101", "select jobs.next_runs('@daily', %s)", [zone])
    assert zone in (said.message_primary or "")
    assert "Expected: UTC, or the full name" in (said.message_detail or "")
    assert hint in (said.message_hint or "")
    assert (said.message_hint or "").endswith("A retry cannot help.")


@pytest.mark.parametrize(
    ("zone", "name"),
    [
        (None, "UTC"),
        ("utc", "UTC"),
        ("gmt", "GMT"),
        ("europe/zurich", "Europe/Zurich"),
        ("EUROPE/ZURICH", "Europe/Zurich"),
        ("Etc/GMT+5", "Etc/GMT+5"),
        ("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires"),
    ],
)
def test_zone(line: Connection[Row], zone: str | None, name: str) -> None:
    assert line.execute("select jobs_internal.assert_zone(%s)", [zone]).fetchone() == (name,)


def test_no_zone_is_taken_for_another(line: Connection[Row]) -> None:
    """What the server makes of a name that is taken is what the file of that name says, whatever
    the TimeZone of the session: no name is an abbreviation to it.
    """
    for zone in ("Asia/Kolkata", "Europe/Dublin", "America/Havana", "Etc/UTC"):
        line.execute("select set_config('TimeZone', %s, false)", [zone])
        rows = line.execute(
            "select t.name from jobs_internal.time_zone as t, pg_timezone_abbrevs as a"
            " where lower(a.abbrev) = t.folded and t.name not in ('UTC', 'GMT')"
        ).fetchall()
        assert rows == []


def test_zones_are_kept(database: Database) -> None:
    """What the server has no more goes, what it has anew comes; the digest changes with it."""
    before = database.admin("select * from jobs_internal.time_zone order by 1")
    digest = database.admin("select jobs_internal.zones_hash()")
    database.admin("delete from jobs_internal.time_zone where name = 'Europe/Zurich'")
    database.admin("insert into jobs_internal.time_zone values ('europe/paris ', 'Europe/Paris ')")
    assert database.admin("select jobs_internal.keep_zones()") == [(2,)]
    assert database.admin("select jobs_internal.keep_zones()") == [(0,)]
    assert database.admin("select * from jobs_internal.time_zone order by 1") == before
    assert database.admin("select jobs_internal.zones_hash()") == digest
    database.admin("update jobs_internal.time_zone set name = 'Asia/Tokyo' where folded ~ 'zurich'")
    assert database.admin("select jobs_internal.zones_hash()") != digest


def test_next_runs_says_what_it_read(shared: Database) -> None:
    """In words, with the zone, and that no zone means UTC."""
    with shared.connect("producer") as connection:
        said: list[tuple[str | None, str]] = []
        connection.add_notice_handler(
            lambda one: said.append((one.message_primary, one.message_detail or ""))
        )
        rows = connection.execute(
            "select jobs.next_runs('0 12 * * *', null, 2, '2026-11-30 00:00+00')::text"
            " from set_config('TimeZone', 'UTC', true)"
        ).fetchall()
        assert [row[0] for row in rows] == ["2026-11-30 12:00:00+00", "2026-12-01 12:00:00+00"]
        connection.execute("select jobs.next_runs('0 12 * * *', 'asia/tokyo')")
        connection.execute("select jobs.next_runs('after 1 hour', 'UTC')")
    assert [words for words, _ in said] == [
        "at 12:00, UTC",
        "at 12:00, Asia/Tokyo",
        "1 hour after the end of the last run",
    ]
    assert "No timezone is given: the schedule is read in UTC." in said[0][1]
    assert "UTC" not in said[1][1]


@pytest.mark.parametrize("n", [0, -1, 1001, None])
def test_runs_are_bounded(refused: Refused, n: int | None) -> None:
    said = refused("PW026", "select jobs.next_runs('@daily', n => %s)", [n])
    assert "1 to 1000" in (said.message_detail or "")


def test_a_thousand_runs(sql: Connection[Row]) -> None:
    found = sql.execute("select count(distinct r) from jobs.next_runs('* * * * *', n => 1000) as r")
    assert found.fetchone() == (1000,)

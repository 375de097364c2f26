"""The last stage of the demo, with a supervisor: its checks see a bug in each of its parts."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from kit.daemon import Supervise
from support import Database, Row, wait_until

from pyworker.demo import order
from pyworker.demo.checks import Check, check_database
from pyworker.demo.order import Order
from pyworker.demo.screen import Screen
from pyworker.errors import PyworkerError

Connection = psycopg.Connection[Row]

FIRED_TWICE = Path(__file__).parents[1] / "torture/mutants/fired_twice.sql"
NIGHT = (
    "10 Mar 06:30 fired 1, 10 Mar 07:00 fired 1, 11 Mar 05:30 missed 0, 03 Nov 05:30 fired 1,"
    " 03 Nov 07:30 fired 1; 4"
)


@pytest.fixture
def stage(database: Database, demo: Connection, supervise: Supervise) -> Iterator[Order]:
    """The stage, on a handful of flights; the job that its window stops is a short one."""
    source = demo.execute(
        "select replace(pg_get_functiondef('demo.recount'::regproc), '0.25', '0.1')"
    ).fetchone()
    assert source
    demo.execute(source[0].encode())
    brief = {"PYWORKER_SESSION_LINGER": "0.2"}
    dsn = database.dsn("supervisor")
    supervise(dsn, "--owner", "app", "--log-format", "json", environment=brief)
    with database.connect("postgres") as admin:
        yield Order(demo, admin, Screen(), lambda: None)


def plant(database: Database, function: str, old: str, new: str) -> None:
    """Put a bug into a function of the engine."""
    ((source,),) = database.admin("select pg_get_functiondef(%s::regproc)", [function])
    assert source.count(old) == 1, function
    database.admin(source.replace(old, new))


def found(connection: Connection, begin: str) -> Check:
    (check,) = [check for check in check_database(connection) if check.name.startswith(begin)]
    return check


def test_all_of_it(stage: Order, demo: Connection, capsys: pytest.CaptureFixture[str]) -> None:
    assert [check.found for check in stage.run() if not check.ok] == []
    assert found(demo, "the night report").found == NIGHT
    assert found(demo, "the job of each second").found.startswith(("4, ", "5, "))
    assert found(demo, "the batch").found == (
        "finished, 12 of 12, 1: batch 1, 12 months, 4 flights, 5481 miles"
    )
    assert found(demo, "the chain, brought back").found.startswith(
        "succeeded 2, succeeded 1, succeeded 1"
    )
    assert found(demo, "the job that its window stopped").found == "succeeded 1, 12, 4"
    assert found(demo, "jobs of the window").ok
    printed = capsys.readouterr().out
    assert "    Sun 10 Mar 03:00  07:00            1  fired          0\n" in printed
    assert "    Mon 11 Mar 01:30  05:30          474  missed\n" in printed
    assert "    finished     12         12       0          0    100.0          1\n" in printed
    assert "window_too_short  it has never run here, and its timeout of 00:30:00" in printed
    assert "  False             2             0  window_closed  its window night is clo" in printed


def test_a_time_that_runs_again_when_the_clock_is_set_back(
    database: Database, stage: Order, demo: Connection
) -> None:
    """And not at all in a gap: fixed times as if minute or hour had a `*`."""
    plant(database, "jobs_internal.next_time", "p_timetable.wild then", "true then")
    stage.nights()
    assert found(demo, "the night report").found == (
        "10 Mar 06:30 fired 1, 11 Mar 05:30 missed 0, 03 Nov 05:30 fired 1, 03 Nov 06:30 fired 1,"
        " 03 Nov 07:30 fired 1; 4"
    )


def test_an_occurrence_that_runs_twice(database: Database, stage: Order, demo: Connection) -> None:
    database.admin(FIRED_TWICE.read_text(encoding="utf-8"))
    stage.nights()
    wait_until(lambda: found(demo, "the night report").found == NIGHT.replace("; 4", "; 8"))


def test_a_callback_that_is_not_enqueued(
    database: Database, stage: Order, demo: Connection
) -> None:
    plant(database, "jobs_internal.call_back", "if v_kinds = '{}' then", "if true then")
    stage.batch()
    assert found(demo, "the batch").found == "finished, 12 of 12, 0: "


def test_children_that_do_not_come_back(database: Database, stage: Order, demo: Connection) -> None:
    plant(database, "jobs_internal.bring_back", "if jobs_internal.relive(", "if null and (")
    assert stage.chain().ok
    wait_until(lambda: found(demo, "the chain, brought back").found.startswith("succeeded 2"))
    assert found(demo, "the chain, brought back").found == (
        "succeeded 2, cancelled 0, cancelled 0, "
    )


@pytest.mark.parametrize(
    ("part", "function", "old", "new"),
    [
        ("chain", "jobs_internal.archive_children", "\nbegin\n", "\nbegin return;\n"),
        ("window", "jobs_internal.window_hindrance", "'too_long'", "null"),
        ("window", "jobs_internal.stops_jobs", "'stop'", "'finish'"),
    ],
)
def test_what_does_not_come_is_an_error(
    database: Database,
    stage: Order,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    function: str,
    old: str,
    new: str,
) -> None:
    """Children that are not cancelled; a job that starts without fitting, or is not stopped."""
    monkeypatch.setattr(order, "_TIMEOUT", 3.0)
    plant(database, function, old, new)
    with pytest.raises(PyworkerError, match="have not come on"):
        getattr(stage, part)()

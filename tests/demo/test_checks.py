"""The checks of the demo find what is planted. A handful of flights stands for all of them."""

import psycopg
import pytest
from support import Row

from pyworker.demo.checks import check_database

Connection = psycopg.Connection[Row]


def found(connection: Connection, begin: str) -> str:
    (check,) = [check for check in check_database(connection) if check.name.startswith(begin)]
    return check.found


def test_columns_go_by_name_and_na_is_null(demo: Connection) -> None:
    row = demo.execute(
        "select flight_date::text, dep_time, dep_delay, tailnum, dest from demo.flights"
        " where flight = 1141"
    )
    assert row.fetchone() == ("2013-01-01", None, None, None, "MIA")
    day = demo.execute(
        "select flights, departed, cancelled, mean_dep_delay, median_dep_delay, max_arr_delay"
        " from demo.daily"
    )
    assert day.fetchone() == (3, 2, 1, 3, 3.0, 11)


def test_nothing_differs_when_nothing_is_wrong(demo: Connection) -> None:
    assert found(demo, "daily rows that differ") == "0"
    assert found(demo, "rows of the refreshed view") == "0"
    assert found(demo, "days and airports") == "2 of 2"


@pytest.mark.parametrize(
    "plant",
    [
        "update demo.daily set median_dep_delay = median_dep_delay + 1 where origin = 'JFK'",
        "delete from demo.daily where origin = 'JFK'",
        "update demo.daily set mean_dep_delay = null where origin = 'JFK'",
    ],
)
def test_a_wrong_row_is_found(demo: Connection, plant: str) -> None:
    demo.execute(plant.encode())
    assert found(demo, "daily rows that differ") != "0"


def test_a_day_counted_twice_is_found(demo: Connection) -> None:
    demo.execute("select demo.count_day('2013-01-01', 'EWR')")
    assert found(demo, "daily rows that differ") == "0"
    assert found(demo, "days and airports") == "1 of 2"


def test_a_stale_view_is_found(demo: Connection) -> None:
    demo.execute("insert into demo.flights (year, month, day, origin) values (2013, 3, 1, 'LGA')")
    assert found(demo, "rows of the refreshed view") == "1"


def test_an_advisory_lock_is_found(demo: Connection) -> None:
    demo.execute("select pg_advisory_lock(1)")
    assert found(demo, "advisory locks") == "1"


def test_missing_jobs_are_wrong_and_no_error(demo: Connection) -> None:
    wrong = {check.name for check in check_database(demo) if not check.ok}
    assert {
        name for name in wrong if name.startswith(("the job", "jobs of", "create index", "queue"))
    } != set()

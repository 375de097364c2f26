"""The checks of the demo find what is planted. A handful of flights stands for all of them."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest
from support import Database, Row

from pyworker.demo.checks import check_database
from pyworker.demo.data import TABLES, load
from pyworker.demo.statements import read_file
from pyworker.server.progress import Quiet

HEADERS = {
    "airlines": "carrier,name",
    "airports": "faa,name,lat,lon,alt,tz,dst,tzone",
    "planes": "tailnum,year,type,manufacturer,model,engines,seats,speed,engine",
    "weather": "origin,year,month,day,hour,temp",
    "flights": (
        "month,year,day,dep_time,dep_delay,arr_delay,carrier,flight,tailnum,origin,dest,distance"
    ),
}
FLIGHTS = """\
1,2013,1,517,2,11,UA,1545,N14228,EWR,IAH,1400
1,2013,1,533,4,NA,UA,1714,N24211,EWR,IAH,1416
1,2013,1,NA,NA,NA,AA,1141,NA,EWR,MIA,1089
2,2013,28,544,-1,-18,B6,725,N804JB,JFK,BQN,1576
"""

Connection = psycopg.Connection[Row]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for table, name in TABLES.items():
        text = f"{HEADERS[table]}\n{FLIGHTS if table == 'flights' else ''}"
        if name.endswith(".zip"):
            with ZipFile(tmp_path / name, "w") as archive:
                archive.writestr(f"{table}.csv", text)
        else:
            (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def demo(database: Database, data: Path) -> Iterator[Connection]:
    """A connection as app, the data loaded, every day counted."""
    database.run("create schema demo authorization app", role="postgres")
    with database.connect() as connection:
        connection.execute(read_file("tables.sql").encode())
        connection.execute(read_file("functions.sql").encode())
        load(connection, data, Quiet())
        connection.execute(read_file("filled.sql").encode())
        connection.execute(
            "select demo.count_day('2013-01-01', 'EWR'), demo.count_day('2013-02-28', 'JFK')"
        )
        connection.execute("refresh materialized view demo.monthly")
        yield connection


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

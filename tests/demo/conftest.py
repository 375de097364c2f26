"""A handful of flights that stands for all of them."""

from collections.abc import Iterator
from pathlib import Path
from zipfile import ZipFile

import psycopg
import pytest
from kit.daemon import supervise  # noqa: F401  a fixture of this tier too
from support import Database, Row

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

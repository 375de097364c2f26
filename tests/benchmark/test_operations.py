"""The measurement of progress runs, and what does not hang on time holds: no percent goes back or
reaches 100 before the end.
"""

from support import Server

from bench.database import make_database
from bench.operations import measure


def test_no_percent_goes_back(server: Server) -> None:
    assert server.private is not None
    with make_database(server.private, "operations_small") as database:
        runs = list(measure(database, 20_000, 1))
    assert len({run.statement for run in runs}) == 7
    assert [run.statement for run in runs if run.back] == []
    assert [run.statement for run in runs if run.last >= 100] == []

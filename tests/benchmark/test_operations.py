"""The measurement of progress runs, and what does not hang on time holds: no percent goes back or
reaches 100 before the end.
"""

from support import Server

from bench.database import make_database
from bench.operations import measure

KINDS = 7
SAMPLES = 10


def test_no_percent_goes_back(server: Server) -> None:
    assert server.private is not None
    with make_database(server.private, "operations_small") as database:
        runs = []
        # a fast machine is done between two looks, mostly: it needs more rounds
        for run in measure(database, 20_000, 20):
            runs.append(run)
            if len(runs) >= KINDS and sum(run.seen for run in runs) >= SAMPLES:
                break
    assert sum(run.seen for run in runs) >= SAMPLES
    assert len({run.statement for run in runs}) == KINDS
    assert [run.statement for run in runs if run.back] == []
    assert [run.statement for run in runs if run.last >= 100] == []

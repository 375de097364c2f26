"""The measurement of progress runs, and what does not hang on time holds: no percent goes back or
reaches 100 before the end.
"""

from support import Server

from bench.database import make_database
from bench.operations import measure, sampled

KINDS = 7
SAMPLES = 10
#: So they sleep nearly all the time, for some seconds: a percent is shown from the second one on.
SLOW = {
    "vacuum": {"vacuum_cost_delay": "20ms", "vacuum_cost_limit": "5"},
    "analyze": {"vacuum_cost_delay": "10ms", "vacuum_cost_limit": "1"},
}


def test_no_percent_goes_back(server: Server) -> None:
    assert server.private is not None
    with make_database(server.private, "operations_small") as database:
        runs = list(measure(database, 20_000, 1))
        assert len({run.statement for run in runs}) == KINDS
        for statement, settings in SLOW.items():
            database.rows("update bench.wide set r = r + 1 where id % 2 = 0")
            runs.append(sampled(database, f"{statement} bench.wide", settings))
    assert min(run.samples for run in runs[KINDS:]) >= SAMPLES, runs
    assert min(run.last for run in runs[KINDS:]) > 0, runs
    assert [run.statement for run in runs if run.back] == []
    assert [run.statement for run in runs if run.last >= 100] == []

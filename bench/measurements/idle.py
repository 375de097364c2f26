"""An idle system: statements that reach the server, and processor time of the supervisor and the
server.
"""

import time
from collections.abc import Iterator

from bench.database import Database
from bench.drain import teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement
from bench.process import cpu_seconds, server_cpu_seconds
from bench.supervised import BRIEFLY, supervisor, wait_idle

_CALLS = """
select coalesce(sum(calls), 0) from pg_stat_statements
where toplevel and dbid = (select oid from pg_database where datname = current_database())
"""


def _calls(database: Database) -> int:
    known = database.value("select count(*) from pg_extension where extname = 'pg_stat_statements'")
    return int(database.value(_CALLS)) if known else -1


@measurement("idle", "statements per second and processor time of an idle system")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Measure the server by itself first: what it does anyway is part of the figure, and told
    beside it.
    """
    database, size = bench.database, bench.size
    postmaster = bench.server.status().pid
    teach(database)
    bench.say(f"the server by itself, {size.idle_seconds:g} s")
    before = server_cpu_seconds(postmaster) if postmaster else 0.0
    time.sleep(size.idle_seconds)
    alone = (
        100 * (server_cpu_seconds(postmaster) - before) / size.idle_seconds if postmaster else 0.0
    )
    statements, processor = [], []
    with supervisor(database, linger=BRIEFLY) as daemon:
        for run in range(1, size.runs + 1):
            bench.say(f"idle for {size.idle_seconds:g} s, run {run} of {size.runs}")
            wait_idle(database)
            time.sleep(min(6.0, size.idle_seconds / 4))  # what the last look has begun
            calls, begun = _calls(database), time.monotonic()
            cpu = cpu_seconds(daemon) + (server_cpu_seconds(postmaster) if postmaster else 0.0)
            time.sleep(size.idle_seconds)
            cpu = (
                cpu_seconds(daemon) + (server_cpu_seconds(postmaster) if postmaster else 0.0) - cpu
            )
            seconds = time.monotonic() - begun
            processor.append(100 * cpu / seconds)
            if calls >= 0:
                ours = 2  # the look for the extension and the count itself, at the start
                statements.append(max(0, _calls(database) - calls - ours) / seconds)
    if statements:
        yield Figure(
            text="idle: statements that reach the server", unit="/s", values=tuple(statements),
            goals=("idle_statements",),
        )  # fmt: skip
    yield Figure(
        text="idle: processor time of the supervisor and the whole server",
        unit="%",
        values=tuple(processor),
        goals=("idle_cpu",),
        note=f"the server by itself, before: {alone:.2f} %",
    )

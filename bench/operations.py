"""How well the percent of long operations tells their end, and what watching them costs.

    python -m bench.operations [ROWS [ROUNDS]]

Each round runs seven kinds of operations on a table of so many rows, on a database of its own on
the private server. What is learned in one round weighs in the next. Of each sample the predicted
total, elapsed time by percent, is compared with what it came to: by the percent of jobs.operations,
and by done of total within the phase. Compared are samples above 3 %, which both have.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from bench.database import Database, make_database
from bench.process import cpu_seconds
from pyworker.server import PrivateServer

__all__ = ["Run", "measure", "sampled"]

_PAUSE = 0.1  # seconds between two samples
_LEAST = 3.0  # percent: below that a sample says nothing
_TABLE = """
create table bench.wide as
select n as id, (random() * 1e9)::integer as r, md5(n::text) as m, repeat('x', 60) as pad
from generate_series(1, {rows}) as n
"""
_WORKERS = "select pid from pg_stat_activity where leader_pid = %s"
_ROUND = (
    "create index concurrently wide_r on bench.wide (r)",
    "create index wide_m on bench.wide (m)",
    "reindex table concurrently bench.wide",
    "update",
    "vacuum bench.wide",
    "analyze bench.wide",
    "vacuum full bench.wide",
    "cluster bench.wide using wide_r",
)


@dataclass
class Run:
    """One operation: errors of the predicted total at each sample, and what it cost. `seen`: how
    often it was looked at while it ran; `samples`: of these, those with a percent.
    """

    statement: str
    seconds: float = 0.0
    weighted: list[float] = field(default_factory=list)
    in_phase: list[float] = field(default_factory=list)
    seen: int = 0
    samples: int = 0
    back: int = 0
    last: float = 0.0
    child_cpu: float = 0.0
    watcher_cpu: float = 0.0

    def error(self) -> float:
        """Return the mean error by the percent over all phases."""
        return sum(self.weighted) / len(self.weighted) if self.weighted else 0.0

    def error_in_phase(self) -> float:
        """Return the mean error by the percent of the phase."""
        return sum(self.in_phase) / len(self.in_phase) if self.in_phase else 0.0


def sampled(database: Database, statement: str, settings: dict[str, str] | None = None) -> Run:
    """Run a statement as a job, with these settings, and look at it until it is over."""
    run = Run(statement)
    samples: list[tuple[float, dict[str, Any]]] = []
    watcher_first = None
    workers: dict[int, float] = {}  # the parallel workers of the child
    with database.connect() as line:
        cursor = line.cursor(row_factory=dict_row)
        found = cursor.execute(
            "select jobs.enqueue_sql(%s, settings => %s) as id", [statement, Jsonb(settings or {})]
        ).fetchone()
        job = (found or {})["id"]
        cursor.execute("select jobs.start()")
        while True:
            row = cursor.execute("select * from jobs.running where id = %s", [job]).fetchone()
            if row is not None:
                samples.append((time.time(), row))
                if row["child_pid"]:
                    for worker in cursor.execute(_WORKERS, [row["child_pid"]]).fetchall():
                        workers[worker["pid"]] = cpu_seconds(worker["pid"])
                    spent = cpu_seconds(row["child_pid"]) + sum(workers.values())
                    run.child_cpu = max(run.child_cpu, spent)
                    spent = cpu_seconds(row["pid"])
                    watcher_first = spent if watcher_first is None else watcher_first
                    run.watcher_cpu = spent - watcher_first
            over = cursor.execute(
                "select finished_at - started_at as took, started_at, state from jobs.job"
                " where id = %s and finished_at is not null",
                [job],
            ).fetchone()
            if over is not None:
                break
            time.sleep(_PAUSE)
    run.seconds = over["took"].total_seconds()
    began = over["started_at"].timestamp()
    run.seen = len(samples)
    for at, row in samples:
        if row["percent"] is None:
            continue
        percent = float(row["percent"])
        run.samples += 1
        run.back += percent < run.last
        run.last = max(run.last, percent)
        within = 100 * float(row["done"] or 0) / float(row["total"]) if row["total"] else 0.0
        if percent > _LEAST and within > _LEAST:
            for share, errors in ((percent, run.weighted), (within, run.in_phase)):
                predicted = (at - began) / (share / 100)
                errors.append(abs(predicted - run.seconds) / run.seconds)
    return run


def measure(database: Database, rows: int, rounds: int) -> Iterator[Run]:
    """Run all kinds so many times."""
    database.rows("grant create on schema bench to app; set role app")
    database.rows(_TABLE.format(rows=rows))
    # a larger sample, so that ANALYZE takes some time
    database.rows("alter table bench.wide alter r set statistics 2000, alter m set statistics 2000")
    database.rows("vacuum analyze bench.wide")
    for number in range(rounds):
        for statement in _ROUND:
            if statement == "update":
                database.rows(f"update bench.wide set r = r + 1 where id % 5 = {number % 5}")
            else:
                yield sampled(database, statement)
        database.rows("alter table bench.wide set without cluster; drop index bench.wide_r")
        database.rows("drop index bench.wide_m")


def _main(rows: int, rounds: int) -> None:
    server = PrivateServer()
    server.start()
    runs = []
    with make_database(server, "operations") as database:
        for run in measure(database, rows, rounds):
            runs.append(run)
            print(  # noqa: T201
                f"{run.statement:52} {run.seconds:6.1f} s  error {100 * run.error():4.0f} %,"
                f" within the phase {100 * run.error_in_phase():4.0f} %, back {run.back},"
                f" last {run.last}",
                flush=True,
            )
    seen = [run for run in runs if run.weighted]
    mean = sum(run.error() for run in seen) / len(seen)
    within = sum(run.error_in_phase() for run in seen) / len(seen)
    child = sum(run.child_cpu for run in runs)
    watcher = sum(run.watcher_cpu for run in runs)
    print(  # noqa: T201
        f"{len(seen)} operations of {len({run.statement for run in seen})} kinds: error"
        f" {100 * mean:.0f} %, within the phase {100 * within:.0f} %, ratio {mean / within:.2f};"
        f" steps back {sum(run.back for run in runs)};"
        f" watching {watcher:.2f} s of {child:.1f} s: {100 * watcher / child:.2f} %"
    )


if __name__ == "__main__":
    _given = [int(given) for given in sys.argv[1:]]
    _main(*(_given or [2_000_000]), *([3] if len(_given) < 2 else []))

"""Drains, enqueues and views with many finished jobs kept, against a database with few."""

import statistics
import time
from collections.abc import Iterator

from psycopg import Connection

from bench.clients import pgbench
from bench.database import Database, Row, operator
from bench.drain import Batch, drain, enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement

_AT_ONCE = 500_000  # rows of one INSERT
_VIEWS = """
select relname from pg_class
where relkind = 'v' and relnamespace = 'jobs'::regnamespace
  and has_table_privilege(%s, oid, 'select') order by 1
"""
#: All columns of the history but the number and what the server makes itself.
_COLUMNS = """
select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
where attrelid = 'jobs_internal.finished'::regclass and attnum > 0 and not attisdropped
  and attname <> 'id' and attgenerated = '' and attidentity <> 'a'
"""


def _copy(bench: Bench, database: Database, rows: int) -> None:
    """Copy one finished job until there are so many: as many real drains would take hours."""
    kept = int(database.value("select count(*) from jobs_internal.finished"))
    model = int(
        database.value("select max(id) from jobs_internal.finished where state = 'succeeded'")
    )
    columns = database.value(_COLUMNS)
    while kept < rows:
        count = min(_AT_ONCE, rows - kept)
        database.rows(
            f"insert into jobs_internal.finished (id, {columns})"
            f" select nextval('jobs_internal.job_id_seq'), {columns}"
            " from jobs_internal.finished, generate_series(1, %s::int) where id = %s",
            (count, model),
        )
        kept += count
        bench.say(f"{kept:,} of {rows:,} finished jobs are there")
    database.rows("vacuum (analyze) jobs_internal.finished")
    database.rows("checkpoint")


def _life(database: Database) -> None:
    """Let the views have something to show: jobs that failed and jobs that wait."""
    database.rows(
        "create or replace function bench.fail() returns void language plpgsql"
        " as $$ begin raise division_by_zero; end $$"
    )
    with database.connect() as app:
        app.execute("select jobs.enqueue('bench.fail') from generate_series(1, 20)")
        app.execute(
            "select jobs.enqueue('bench.noop', run_at => now() + interval '1 day')"
            " from generate_series(1, 200)"
        )
    teach(database)


def _queries(database: Database, role: str) -> dict[str, str]:
    found = {
        str(name): f"select * from jobs.{name} limit 100"
        for (name,) in database.rows(_VIEWS, (role,))
    }
    newest = database.value("select max(id) from jobs_internal.finished")
    oldest = database.value("select min(id) from jobs_internal.finished")
    found["job by id, the newest"] = f"select * from jobs.job where id = {newest}"
    found["job by id, the oldest"] = f"select * from jobs.job where id = {oldest}"
    found["job, order by id desc limit 20"] = "select * from jobs.job order by id desc limit 20"
    return found


def _time(one: Connection[Row], query: str) -> float:
    begun = time.monotonic()
    one.execute(query.encode()).fetchall()
    return (time.monotonic() - begun) * 1000


def _times(few: Database, many: Database, calls: int) -> dict[str, tuple[float, float]]:
    """Time each query as the owner of the jobs and as an operator, call by call in turn; the
    medians, ms.
    """
    times = {}
    for role, label in (("app", "owner"), (operator(), "operator")):
        queries = [_queries(few, role), _queries(many, role)]
        with few.connect(role) as one, many.connect(role) as other:
            for name in queries[1]:
                samples: tuple[list[float], list[float]] = ([], [])
                for call in range(calls + 1):
                    sides = list(zip(samples, (one, other), queries, strict=True))
                    for kept, line, query in sides if call % 2 else reversed(sides):
                        taken = _time(line, query[name])
                        if call:  # the first one plans and reads from disk
                            kept.append(taken)
                times[f"{name} ({label})"] = (
                    statistics.median(samples[0]),
                    statistics.median(samples[1]),
                )
    return times


def _views(bench: Bench, database: Database, kept: Database) -> Iterator[Figure]:
    """Take turns between the two databases, and tell the slowest and the one that suffers most."""
    bench.say("views")
    few: dict[str, list[float]] = {}
    many: dict[str, list[float]] = {}
    for _ in range(bench.size.runs):
        for name, (short, long) in _times(database, kept, bench.size.view_calls).items():
            few.setdefault(name, []).append(short)
            many.setdefault(name, []).append(long)
    rows = f"{bench.size.history_rows[-1]:,} finished jobs kept"
    slowest = max(many, key=lambda name: statistics.median(many[name]))
    ratio = {name: statistics.median(few[name]) / statistics.median(many[name]) for name in many}
    worst = min(ratio, key=lambda name: ratio[name])
    for name, times in many.items():
        goals = tuple(
            goal
            for goal, chosen in (("history_views", slowest), ("history_views_ratio", worst))
            if chosen == name
        )
        yield Figure(
            text=f"jobs.{name}, {rows}",
            unit="ms",
            values=tuple(times),
            rivals=tuple(few[name]),
            inverse=True,
            rival="its time with few",
            goals=goals,
        )


@measurement(
    "history", "drains, enqueues and views with a long history, against a short one", quick=False
)
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns between two databases; a drain at each size on the way gives the plot."""
    database, size = bench.database, bench.size
    rows = size.history_rows[-1]
    with bench.twin("history") as kept:
        for one in (database, kept):
            _life(one)
        points = [(0.0, drain(kept, enqueue(kept, size.side_jobs)).rate)]
        for count in size.history_rows:
            _copy(bench, kept, count)
            points.append((float(count), drain(kept, enqueue(kept, size.side_jobs)).rate))
        drained, drained_few, enqueued, enqueued_few = [], [], [], []
        script = "select jobs.enqueue('bench.noop');"
        for run in range(1, size.runs + 1):
            bench.say(
                f"drains and enqueues beside {rows:,} finished jobs, run {run} of {size.runs}"
            )
            drained_few.append(drain(database, enqueue(database, size.side_jobs)).rate)
            drained.append(drain(kept, enqueue(kept, size.side_jobs)).rate)
            enqueued_few.append(pgbench(database, script, size.client_seconds))
            enqueued.append(pgbench(kept, script, size.client_seconds))
            for one in (database, kept):
                _drain_all(one)
        views = list(_views(bench, database, kept))
    text = f"with {rows:,} finished jobs kept"
    yield Figure(
        text=f"drain of {size.side_jobs:,} jobs {text}", unit="jobs/s", values=tuple(drained),
        rivals=tuple(drained_few), rival="the same with few", goals=("history_drain",),
    )  # fmt: skip
    yield Figure(
        text=f"jobs.enqueue, one to a transaction, {text}", unit="jobs/s", values=tuple(enqueued),
        rivals=tuple(enqueued_few), rival="the same with few", goals=("history_enqueue",),
    )  # fmt: skip
    yield from views
    yield Curve(plot="history", label="drain", points=tuple(points))


def _drain_all(database: Database) -> None:
    """Drain what the clients enqueued: it would be in the way of the next drain's figure."""
    first, last, jobs = database.rows(
        "select min(id), max(id), count(*) from jobs_internal.job where state = 'queued'"
    )[0]
    if jobs:
        drain(database, Batch(first=first, last=last, jobs=jobs))

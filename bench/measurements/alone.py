"""Jobs that have a transaction of their own: of functions never seen before, and of a queue that
shares none.
"""

from collections.abc import Iterator

from bench.clients import pgbench
from bench.database import Database
from bench.drain import SESSIONS, Batch, drain, enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement


def _new_functions(database: Database, count: int) -> None:
    """Make the functions, or make them anew: a replaced one is new to every session."""
    database.rows(f"""
        do $$
        begin
          create schema if not exists unseen authorization app;
          set role app;
          for i in 1 .. {count} loop
            execute format('create or replace function unseen.f%s() returns void'
              ' language sql as %L', i, 'select');
          end loop;
          reset role;
        end $$""")


def _enqueue_each(database: Database, count: int, queue: str) -> Batch:
    with database.connect() as app:
        row = app.execute(
            "select min(t.j), max(t.j) from (select jobs.enqueue(format('unseen.f%%s', n),"
            " queue => %s) as j"
            " from generate_series(1, %s::int) as n) as t",
            (queue, count),
        ).fetchone()
    assert row is not None  # noqa: S101  an aggregate returns a row
    return Batch(first=row[0], last=row[1], jobs=count)


@measurement("alone", "functions never seen before, and a queue without batches, jobs per second")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Take turns: unseen functions in a queue of their own, a known one in a queue with
    share_commits off, INSERT commits.
    """
    database, size = bench.database, bench.size
    database.rows(
        "select jobs.create_queue('unseen'), jobs.create_queue('one_by_one', share_commits =>"
        " false)"
    )
    teach(database, queue="one_by_one")
    unseen, alone, inserted = [], [], []
    for run in range(1, size.runs + 1):
        bench.say(f"jobs that run alone, run {run} of {size.runs}")
        database.empty()
        _new_functions(database, size.unseen_functions)
        unseen.append(
            drain(database, _enqueue_each(database, size.unseen_functions, "unseen")).rate
        )
        alone.append(drain(database, enqueue(database, size.alone_jobs, queue="one_by_one")).rate)
        inserted.append(
            pgbench(database, "insert into bench.plain default values;", size.client_seconds)
        )
    rival = "single-row INSERT commits of 2 clients"
    yield Figure(
        text=f"{size.unseen_functions:,} functions never seen before, {SESSIONS} sessions",
        unit="jobs/s",
        values=tuple(unseen),
        rivals=tuple(inserted),
        rival=rival,
        goals=("unseen",),
    )
    yield Figure(
        text=f"{size.alone_jobs:,} jobs of a queue with share_commits => off, {SESSIONS} sessions",
        unit="jobs/s",
        values=tuple(alone),
        rivals=tuple(inserted),
        rival=rival,
        goals=("alone",),
    )

"""The measurements themselves."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pyworker.bench.place import Place, bench_database
from pyworker.errors import WorkError
from pyworker.server import PrivateServer

__all__ = ["Figures", "measure"]

CLIENTS = 2


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one run measured; each list holds one figure per repetition.

    drained: no-op function jobs per second, 2 worker sessions, exactly once, one history row each.
    inserted: single-row INSERT commits per second of 2 pgbench clients.
    enqueued: jobs.enqueue commits per second of 2 pgbench clients.
    many: jobs per second of one jobs.enqueue_many call.
    cold_ms, warm_ms: from enqueue to the start of the job, ms, without and with a worker session that waits.
    idle: statements per second that reach the server while a supervisor has nothing to do.
    """

    jobs: int
    drained: list[float] = field(default_factory=list)
    inserted: list[float] = field(default_factory=list)
    enqueued: list[float] = field(default_factory=list)
    many: list[float] = field(default_factory=list)
    cold_ms: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)


def measure(server: PrivateServer, *, quick: bool, say: Callable[[str], None]) -> Figures:
    """Run all measurements. quick: fewer repetitions and jobs, for daily use."""
    figures = Figures(jobs=20_000 if quick else 100_000)
    seconds = 2 if quick else 5
    with bench_database(server) as place:
        for number in range(1, 4):
            say(f"round {number} of 3: INSERT, enqueue, drain of {figures.jobs:,} jobs")
            figures.inserted.append(_pgbench(place, "insert into bench.plain default values;", seconds))
            figures.enqueued.append(_pgbench(place, "select jobs.enqueue('bench.noop');", seconds))
            _drain(place)
            figures.many.append(_enqueue_many(place, figures.jobs))
            figures.drained.append(_drain(place))
        with _supervisor(place):
            say("latency")
            figures.cold_ms.extend(_latency(place, 10 if quick else 50, cold=True))
            figures.warm_ms.extend(_latency(place, 50 if quick else 200, cold=False))
            say("idle")
            figures.idle.append(_idle(place, 10 if quick else 30))
    return figures


def _pgbench(place: Place, statement: str, seconds: int) -> float:
    """Return the commits per second of pgbench with one statement per transaction."""
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(statement + "\n")
        script.flush()
        Path(script.name).chmod(0o644)
        done = subprocess.run(
            [str(place.server.bin("pgbench")), "-n", "-M", "prepared", "-c", str(CLIENTS), "-T", str(seconds),
             "-f", script.name, place.dsn()],
            capture_output=True, text=True, check=False, env=place.server.environment("app"),
        )  # fmt: skip
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        raise WorkError("pgbench did not run", detail=done.stderr.strip()[-500:])
    return float(found[1])


def _enqueue_many(place: Place, jobs: int) -> float:
    with place.connect() as app:
        begun = time.monotonic()
        app.execute(
            "select count(*) from jobs.enqueue_many('bench.noop',"
            " (select array_agg('{}'::jsonb) from generate_series(1, %s)))",
            (jobs,),
        )
        return jobs / (time.monotonic() - begun)


def _drain(place: Place) -> float:
    """Drain all jobs with two worker sessions; return jobs per second from the launch to the last end.

    Every job must have succeeded exactly once, or the figure is worth nothing.
    """
    with place.connect() as app:
        waiting = _number(app.execute("select count(*) from jobs.queued").fetchone())
        start = app.execute("select clock_timestamp()").fetchone()
        assert start is not None  # noqa: S101  a select without FROM returns a row
        while _number(app.execute("select count(*) from jobs.queued").fetchone()):
            app.execute("select jobs.start(2)")
            _until(lambda: not _number(app.execute("select count(*) from jobs.sessions").fetchone()), 600)
        row = app.execute(
            "select count(*), count(distinct id), extract(epoch from max(finished_at) - %s)"
            " from jobs.job where finished_at > %s and state = 'succeeded'",
            (start[0], start[0]),
        ).fetchone()
        assert row is not None  # noqa: S101  an aggregate returns a row
        if row[0] != waiting or row[1] != waiting:
            raise WorkError("the drain is not exactly once", detail=f"{waiting} jobs waited, {row[0]} succeeded.")
        return waiting / float(str(row[2]))


def _latency(place: Place, samples: int, *, cold: bool) -> Iterator[float]:
    """Yield the time from enqueue to the start of the job, ms, by the server's clock."""
    with place.connect() as app:
        for _ in range(samples):
            if cold:
                _until(lambda: not _number(app.execute("select count(*) from jobs.sessions").fetchone()), 30)
                time.sleep(0.3)  # so that the supervisor is asleep again
            row = app.execute("select jobs.enqueue('bench.stamp'), extract(epoch from clock_timestamp())").fetchone()
            assert row is not None  # noqa: S101  a select without FROM returns a row
            job, sent = _number(row), float(str(row[1]))
            query = "select result from jobs.job where id = %s and state = 'succeeded'"
            _until(lambda query=query, job=job: app.execute(query, (job,)).fetchone() is not None, 30)  # type: ignore[misc]
            found = app.execute(query, (job,)).fetchone()
            assert found is not None  # noqa: S101  waited for
            yield (float(str(found[0])) - sent) * 1000


def _idle(place: Place, seconds: int) -> float:
    """Return the statements per second that reach the server, ours not counted."""
    counted = (
        "select sum(calls) from pg_stat_statements where toplevel"
        " and dbid = (select oid from pg_database where datname = current_database())"
    )
    with place.connect("postgres") as admin:
        _until(lambda: not _number(admin.execute("select count(*) from jobs.sessions").fetchone()), 30)
        time.sleep(6)  # owner connections close, the last stop rows go
        before = _number(admin.execute(counted).fetchone())
        time.sleep(seconds)
        after = _number(admin.execute(counted).fetchone())
    return (after - before - 1) / seconds


@contextmanager
def _supervisor(place: Place) -> Iterator[None]:
    process = subprocess.Popen(
        [sys.executable, "-m", "pyworker", "run", "--dsn", place.dsn("supervisor")], stdout=subprocess.DEVNULL
    )
    try:
        with place.connect() as app:
            _until(lambda: _number(app.execute("select count(*) from jobs.supervisors").fetchone()) > 0, 30)
        yield
    finally:
        process.terminate()
        process.wait(30)


def _until(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise WorkError("a measurement waits in vain", detail=f"Not there after {seconds} s.")
        time.sleep(0.002)


def _number(row: tuple[object, ...] | None) -> int:
    return int(str(row[0])) if row and row[0] is not None else 0

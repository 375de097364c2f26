"""One turn of one system: a backlog that is enqueued and drained, single calls, and starts."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from bench.figures import percentile
from bench.peers.meter import Meter
from bench.peers.place import fresh_database
from bench.peers.program import Program, Worker
from bench.peers.systems import BATCH, System
from bench.size import Size
from bench.waiting import wait_until
from pyworker.errors import WorkError
from pyworker.server import PrivateServer

__all__ = ["COLUMNS", "take"]

#: What is measured, in the order of the table: name, heading, unit.
COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("drain", "drain", "jobs/s"),
    ("processor", "processor per 1,000", "s"),
    ("wal", "WAL per 1,000", "kB"),
    ("images", "full pages per 1,000", "kB"),
    ("one", "enqueue, one a call", "jobs/s"),
    ("many", f"enqueue, {BATCH:,} a call", "jobs/s"),
    ("warm_p50", "start p50", "ms"),
    ("warm_p95", "start p95", "ms"),
)
_PAUSE = 60  # ms between two jobs whose start is measured
_FIRST = 5  # jobs before those that count: connections and plans are there then
_LONGEST = 600.0  # seconds
_LOOK = 0.02  # seconds between two looks whether all is done


def take(server: PrivateServer, system: System, size: Size) -> Mapping[str, float]:
    """Measure a system once. Variants of ours are only drained."""
    with _program(server, system) as (program, meter):
        found = _drain(program, meter, size.peer_jobs)
    if system.variant:
        return found
    with _program(server, system) as (program, meter):
        if system.runs:
            found |= _latency(program, size.peer_samples)
        meter.checkpoint()
        found["one"] = size.peer_calls / program.ask("enqueue", size.peer_calls, 1)
    return found


@contextmanager
def _program(server: PrivateServer, system: System) -> Iterator[tuple[Program, Meter]]:
    """Set a system up in a fresh database."""
    with (
        fresh_database(server, system.name) as database,
        closing(Meter(server)) as meter,
        closing(Program(server, system, database)) as program,
    ):
        program.ask("setup")
        meter.checkpoint()
        yield program, meter


def _drain(program: Program, meter: Meter, jobs: int) -> dict[str, float]:
    thousands = jobs / 1000
    before = meter.moment()
    seconds = program.ask("enqueue", jobs, BATCH)
    written = meter.wal(before, meter.moment())
    meter.checkpoint()
    with program.worker(jobs=jobs) as worker:
        begun = meter.moment(worker.pid)
        _wait_done(program, worker)
        ended = meter.moment(worker.pid)
        written += meter.wal(begun, ended)
    check = program.system.check
    if check and program.value(check) != jobs:
        raise WorkError(f"{program.system.title}: not every job was done exactly once")
    return {
        "many": jobs / seconds,
        "drain": jobs / (ended.at - begun.at),
        "processor": (ended.cpu - begun.cpu) / thousands,
        "wal": written.records / thousands,
        "images": written.images / thousands,
    }


def _wait_done(program: Program, worker: Worker) -> None:
    """Wait for the program's word, or for the last job; then until the database says so of all."""
    last, finished = program.system.last, program.system.finished
    if last:
        wait_until(lambda: program.value(last), _LONGEST, what="the last job", step=_LOOK)
    else:
        worker.wait_for("done", _LONGEST)
    wait_until(lambda: program.value(finished), 60, what="the end of all jobs", step=_LOOK)


def _latency(program: Program, samples: int) -> dict[str, float]:
    """Send jobs at uneven times to a worker that waits; gives percentiles, ms."""
    with program.worker(stamps=True) as worker:

        def starts() -> list[tuple[float, float]]:
            query = program.system.starts
            return sorted(program.rows(query) if query else worker.starts)

        def send(jobs: int) -> list[tuple[float, float]]:
            before = len(starts())
            program.ask("send", jobs, _PAUSE)
            wait_until(lambda: len(starts()) == before + jobs, 60, what="the starts", step=0.2)
            return starts()[before:]

        send(_FIRST)  # the worker is connected, and has run jobs
        sent = send(_FIRST + samples)[_FIRST:]  # and the client has enqueued some
        took = [(started - enqueued) * 1000 for enqueued, started in sent]
    return {f"warm_p{percent}": percentile(took, percent) for percent in (50, 95)}

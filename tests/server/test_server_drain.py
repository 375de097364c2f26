"""`pyworker server stop` says which jobs it cuts; with --drain it waits for them,
and the next start goes on.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest
from kit import warm
from support import wait_until

from pyworker.schema import apply_schema
from pyworker.server import PrivateServer


def _run(server: PrivateServer, query: str, role: str = "app") -> list[tuple[object, ...]]:
    with psycopg.connect(server.dsn(role), autocommit=True) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(name="ready")
def _ready(running: PrivateServer) -> Iterator[PrivateServer]:
    """A server with pyworker, and a function that runs until its door is opened."""
    apply_schema(running.dsn(), "install")
    _run(running, "grant jobs_producer, jobs_runner to app", "postgres")
    _run(running, "create schema if not exists app authorization app", "postgres")
    _run(
        running,
        "create or replace function app.stand() returns void language plpgsql as"
        " $$ begin perform pg_advisory_xact_lock(4711); end $$",
    )
    yield running
    running.start()
    _run(running, "select jobs.resume()", "postgres")
    _run(running, "select jobs.cancel(id) from jobs.job where finished_at is null")


def _stand(server: PrivateServer) -> int:
    """Run a job that waits for the lock that the test holds."""
    job = int(str(_run(server, "select jobs.enqueue('app.stand')")[0][0]))
    _run(server, "select jobs.start()")
    wait_until(lambda: _run(server, f"select id from jobs.running where id = {job}"))
    return job


def _stop(server: PrivateServer, *arguments: str) -> "subprocess.Popen[str]":
    argv = [
        sys.executable,
        "-m",
        "pyworker",
        "server",
        "stop",
        "--dir",
        str(server.dir),
        *arguments,
    ]
    # What runs the tests in the background has SIGINT ignored, and so would this.
    return warm.Warm(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.fixture(name="holder")
def _holder(ready: PrivateServer) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Holds the lock that the standing job waits for."""
    holder = psycopg.connect(ready.dsn(), autocommit=True)
    holder.execute("select pg_advisory_lock(4711)")
    yield holder
    holder.close()


def _paused(server: PrivateServer) -> bool:
    return bool(_run(server, "select paused from jobs_internal.switch", "postgres")[0][0])


def test_a_stop_says_what_it_cuts(ready: PrivateServer, holder: object) -> None:
    job = _stand(ready)
    with _stop(ready) as process:
        _, said = process.communicate(timeout=60)

    assert process.returncode == 0
    assert said == (
        f'pyworker: this stop cuts 1 running job ({job} in database "pyworker");'
        " --drain waits for them\n"
    )


def test_a_stop_of_an_idle_server_says_nothing(ready: PrivateServer) -> None:
    with _stop(ready) as process:
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_a_drain_waits_and_the_next_start_goes_on(
    ready: PrivateServer, holder: "psycopg.Connection[tuple[object, ...]]"
) -> None:
    job = _stand(ready)
    with _stop(ready, "--drain") as process:
        assert process.stderr is not None
        assert (
            process.stderr.readline()
            == f'pyworker: waiting for 1 running job ({job} in database "pyworker")\n'
        )
        assert _paused(ready)
        # it does not begin any more
        late = _run(ready, "select jobs.enqueue('pg_catalog.now')")[0][0]
        assert process.poll() is None
        holder.execute("select pg_advisory_unlock(4711)")
        assert process.wait(60) == 0
    assert ready.status().state == "stopped"

    ready.start()
    assert not _paused(ready)
    assert _run(ready, f"select state from jobs.job where id = {job}") == [("succeeded",)]
    assert _run(ready, f"select attempt from jobs.attempts where job_id = {job}") == [(1,)]
    assert _run(ready, f"select state from jobs.job where id = {late}") == [("queued",)]


def test_a_pause_of_others_outlives_a_drain(ready: PrivateServer) -> None:
    _run(ready, "select jobs.pause()", "postgres")
    with _stop(ready, "--drain") as process:
        assert process.wait(60) == 0

    ready.start()
    assert _paused(ready)


def test_an_interrupted_drain_leaves_all_as_it_was(ready: PrivateServer, holder: object) -> None:
    _stand(ready)
    with _stop(ready, "--drain") as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert ready.status().state == "running"
    assert not _paused(ready)

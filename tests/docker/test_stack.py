"""docker/, really built and run: `make test-docker`. Root on Debian; elsewhere it is skipped,
with the reason.
"""

import pytest
from psycopg import Connection
from psycopg.rows import TupleRow
from support import wait_until

from .stack import Stack

pytestmark = pytest.mark.timeout(900)  # the first waits for the images, and others may be at work


def _state(connection: "Connection[TupleRow]", job: int) -> str:
    row = connection.execute("select state from jobs.job where id = %s", [job]).fetchone()
    return str(row[0]) if row else "absent"


def test_install_and_grant_end_well(stack: Stack) -> None:
    assert stack.state("install") == ("exited", 0)
    assert stack.state("grant") == ("exited", 0)


def test_app_makes_a_table_and_its_jobs_run(stack: Stack) -> None:
    with stack.connect() as app:
        app.execute("create table visits (id int primary key, seen int not null)")
        app.execute(
            "create function see(visit int) returns void begin atomic insert into visits"
            " values (visit, 1); end"
        )
        first = app.execute("""select jobs.enqueue('see', '{"visit": 7}')""").fetchone()
        second = app.execute(
            "select jobs.enqueue_sql('create index concurrently on visits (seen)')"
        ).fetchone()
        for row in (first, second):
            assert row is not None
            wait_until(lambda job=row[0]: _state(app, job) == "succeeded", 30, 0.1)
        assert app.execute("select id from visits").fetchall() == [(7,)]
        assert app.execute(
            "select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'app'"
        ).fetchone() == ("app",)


def test_the_supervisor_says_that_it_is_well(stack: Stack) -> None:
    container = stack.container("supervisor")
    wait_until(lambda: stack.engine.docker("exec", container, "pyworker", "healthcheck"), 30, 0.5)
    health = ("inspect", "--format={{.State.Health.Status}}", container)
    wait_until(lambda: stack.engine.docker(*health).strip() == "healthy", 90, 0.5)


def test_a_job_goes_on_after_the_server_was_killed(stack: Stack) -> None:
    server = stack.container("server")
    with stack.connect() as app:
        row = app.execute("""select jobs.enqueue('pg_catalog.pg_sleep', '{"$1": 3}')""").fetchone()
        assert row is not None
        wait_until(lambda: _state(app, row[0]) == "running", 30, 0.1)
        stack.engine.docker("kill", server)
    stack.engine.docker("start", server)

    with stack.back() as app:
        wait_until(lambda: _state(app, row[0]) == "succeeded", 60, 0.2)
        outcomes = app.execute(
            "select outcome from jobs.attempts where job_id = %s order by attempt", [row[0]]
        ).fetchall()
        assert outcomes[-1] == ("succeeded",)
    assert stack.state("supervisor")[0] == "running"


def test_the_check_finds_nothing_that_must_be_mended(stack: Stack) -> None:
    stack.compose("run", "--rm", "--no-deps", "--entrypoint", "pyworker check", "install")


def test_the_supervisor_stops_when_told(stack: Stack) -> None:
    stack.compose("stop", "supervisor")
    try:
        assert stack.state("supervisor") == ("exited", 0)
    finally:
        stack.compose("start", "supervisor")

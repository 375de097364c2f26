"""The views that people look at first fit a terminal of 160 columns, as psql prints them, with long values."""

import subprocess
from collections.abc import Iterator

import pytest
from support import Database, Server, clone, drop, wait_until

NARROW = ("job_list", "queued_list", "running_list", "failed_list", "attempt_list", "queue_list", "health_list")
LONG_NAME = "nightly_refresh_of_customer_totals"
LONG = "insert or update on table ''orders'' violates foreign key constraint ''orders_customer_id_fkey'' and more"


@pytest.fixture(scope="module")
def psql(server: Server) -> str:
    """The psql of the server."""
    return str(server.private.bin("psql")) if server.private else "psql"


@pytest.fixture(scope="module")
def busy(server: Server, template: str) -> Iterator[Database]:
    """Jobs of a long name in a queue of a long name, with long errors, results and reasons; trouble in the health."""
    database = clone(server, template, "wide")
    database.run("select jobs.create_queue('maintenance_of_the_archive_tables')", role="operator")
    database.run(
        f"create function app.{LONG_NAME}(n integer) returns text language plpgsql as"
        f" $$ begin if n = 0 then raise '{LONG}'; end if; return repeat('a result of some length ', 40); end $$"
    )
    for n in (0, 1):
        for queue in ("default", "maintenance_of_the_archive_tables"):
            database.run(
                f"select jobs.enqueue('app.{LONG_NAME}', jsonb_build_object('n', %s), %s, max_attempts => 1)",
                [n, queue],
            )
    database.drain()
    database.admin("select setval('jobs_internal.job_id_seq', 12345678)")
    database.run(f"select jobs.enqueue('app.{LONG_NAME}', '{{\"n\": 1}}', 'maintenance_of_the_archive_tables')")
    database.admin(
        "update jobs_internal.job set run_at = now() - interval '400 days', created_at = now() - interval '400 days'"
    )
    database.run("select jobs.enqueue('pg_catalog.now')", role="producer")
    yield database
    drop(database)


@pytest.fixture
def shown(busy: Database, view: str) -> Iterator[Database]:
    """The same, and a job of a long title that runs, for the view of those."""
    if view != "running_list":
        yield busy
        return
    nap = busy.value(
        "select jobs.enqueue('pg_catalog.pg_sleep', '{\"$1\": 600}', 'maintenance_of_the_archive_tables',"
        " priority => 'high', options => jsonb_build_object('title', repeat('a long title ', 10)))"
    )
    busy.run("select jobs.start()")
    wait_until(lambda: busy.run("select 1 from jobs.running where id = %s", [nap]))
    yield busy
    busy.run("select jobs.cancel(%s)", [nap])
    wait_until(lambda: busy.run("select 1 from jobs.job where state = 'cancelled' and id = %s", [nap]))


@pytest.mark.parametrize("view", NARROW)
def test_it_fits_160_columns(shown: Database, psql: str, view: str) -> None:
    """No line that psql prints is longer, and there is something to print."""
    printed = subprocess.run(
        [psql, "-X", "-P", "pager=off", "-d", shown.dsn("postgres"), "-c", f"select * from jobs.{view}"],
        check=True,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C.UTF-8", "PGCLIENTENCODING": "UTF8"},
    ).stdout
    lines = printed.splitlines()

    assert len(lines) > 4, printed
    assert max(map(len, lines)) <= 160, "\n".join(line for line in lines if len(line) > 160)


@pytest.mark.parametrize("view", NARROW)
def test_it_has_what_the_wide_one_has(shown: Database, view: str) -> None:
    """As many rows as its wide sibling."""
    wide = {
        "job_list": "job",
        "queued_list": "queued",
        "running_list": "running",
        "failed_list": "failed",
        "attempt_list": "attempts",
        "queue_list": "queues",
    }
    counts = shown.admin(
        f"select (select count(*) from jobs.{view}), (select count(*) from jobs.{wide.get(view, 'health')})"
    )[0]

    assert counts[0] == counts[1]
    assert counts[0] > 0


def test_attempts_come_in_their_order(busy: Database) -> None:
    """Within a job the first attempt comes first."""
    job = busy.value(f"select jobs.enqueue('app.{LONG_NAME}', '{{\"n\": 0}}', max_attempts => 3)")
    busy.run("select jobs.alter_queue('default', backoff => '0', backoff_cap => '0')", role="operator")
    busy.drain()

    assert busy.run("select attempt from jobs.attempts where job_id = %s", [job]) == [(1,), (2,), (3,)]

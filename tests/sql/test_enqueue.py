"""Enqueue keeps every option, and the job belongs to the login."""

from datetime import timedelta

import psycopg
import pytest
from psycopg import Connection
from support import Database, Row

from .conftest import Enqueue, enqueue_on


def _job(sql: Connection[Row], job: int, columns: str) -> Row:
    row = sql.execute(f"select {columns} from jobs.job where id = %s".encode(), [job]).fetchone()
    assert row is not None
    return row


def _count(sql: Connection[Row]) -> int:
    row = sql.execute("select count(*) from jobs.job").fetchone()
    assert row is not None
    return int(row[0])


def test_plain(sql: Connection[Row], enqueue: Enqueue) -> None:
    """A job has the queue's defaults, is queued at once where its lane exists,
    and belongs to the login.
    """
    job = enqueue("app.add", {"a": 1})

    columns = (
        "queue, owner, task, state, attempt, max_attempts, priority, timeout, unique_key, args,"
        " settings, note"
    )
    assert _job(sql, job, columns) == (
        *("default", "app", "app.add", "queued", 0, 3, "normal", None, None),
        *({"a": 1}, {}, {}),
    )
    assert _job(
        sql, job, "run_at = now(), created_at = now(), started_at, finished_at, result, error"
    ) == (*(True, True, None, None, None, None),)


def test_every_option(sql: Connection[Row], enqueue: Enqueue) -> None:
    """Every option is kept as it was given."""
    job = enqueue(
        "app.add",
        {"b": 2, "a": 1},
        queue="default",
        run_at="2100-01-01 00:00:00+00",
        timeout="1 min 30 s",
        max_attempts=7,
        unique_key="k",
        priority="low",
        settings={"work_mem": "8MB", "my.own": "x"},
        note={"ticket": "OPS-1"},
    )

    columns = (
        "state, max_attempts, unique_key, priority, settings, note, timeout, date_part('year',"
        " run_at + '1 day')"
    )
    assert _job(sql, job, columns) == (
        *("scheduled", 7, "k", "low", {"work_mem": "8MB", "my.own": "x"}, {"ticket": "OPS-1"}),
        *(timedelta(seconds=90), 2100),
    )


def test_nulls_mean_the_default(sql: Connection[Row]) -> None:
    """An option that is null is as if it had not been given."""
    row = sql.execute(
        "select jobs.enqueue('app.nothing', null, null, null, null, null, null, null, null, null)"
    ).fetchone()
    assert row is not None

    columns = "queue, priority, max_attempts, run_at = now(), args, settings, note"
    assert _job(sql, row[0], columns) == ("default", "normal", 3, True, {}, {}, {})


@pytest.mark.parametrize(
    ("run_at", "state"),
    [("infinity", "scheduled"), ("-infinity", "queued"), ("tomorrow", "scheduled")],
)
def test_run_at(sql: Connection[Row], enqueue: Enqueue, run_at: str, state: str) -> None:
    """A job that is not due is scheduled; one that was due already is queued."""
    job = enqueue("app.nothing", run_at=run_at)

    assert _job(sql, job, "state") == (state,)


def test_infinite_timeout_is_none(sql: Connection[Row], enqueue: Enqueue) -> None:
    """timeout 'infinity' is no timeout, whatever the queue has."""
    job = enqueue("app.nothing", timeout="infinity")

    assert _job(sql, job, "timeout") == (None,)


def test_ids_rise(enqueue: Enqueue) -> None:
    """Ids are unique, and rise in a session."""
    ids = [enqueue("app.nothing") for _ in range(20)]

    assert ids == sorted(set(ids))


def test_owner_is_the_login_in_a_definer_function(database: Database) -> None:
    """Inside another role's SECURITY DEFINER function the owner is the login,
    never the function's owner.
    """
    database.run(
        "create function other.helper() returns bigint language sql security definer "
        "as $$ select jobs.enqueue('pg_catalog.now') $$",
        role="other",
    )
    job = database.value("select other.helper()")

    assert database.job(job)["owner"] == "app"
    assert database.run("select * from jobs.job", role="other") == []


def test_owner_is_the_login_under_set_role(database: Database) -> None:
    """Under SET ROLE the owner is the login, and worker sessions are not launched under
    another name.
    """
    group = f"group_of_{database.name}"
    database.admin(f"create role {group}")
    database.admin(f"grant {group} to app; grant jobs_producer, jobs_runner to {group}")
    try:
        with database.connect() as connection:
            connection.execute(f"set role {group}".encode())
            job = enqueue_on(connection, "pg_catalog.now")
            with pytest.raises(psycopg.Error) as caught:
                connection.execute("select jobs.start()")
    finally:
        database.admin(f"drop role {group}")

    assert database.job(job)["owner"] == "app"
    assert caught.value.sqlstate == "PW051"
    assert caught.value.diag.message_detail
    assert caught.value.diag.message_hint


def test_notes_and_settings_travel(database: Database, put: Enqueue) -> None:
    """Settings hold for that job alone; the note stays with it."""
    first = put(
        "app.show", {"name": "work_mem"}, settings={"work_mem": "7MB"}, note={"why": "test"}
    )
    second = put("app.show", {"name": "work_mem"})
    path = put("app.path", settings={"search_path": "other, app"})
    own = put("app.show", {"name": "my.own"}, settings={"my.own": "o'wn"})
    database.drain()

    assert database.result(first) == "7MB"
    assert database.result(second) != "7MB"
    assert database.result(path) == "other, app"
    assert database.result(own) == "o'wn"
    assert database.job(first)["note"] == {"why": "test"}


def test_trying_settings_leaves_them_alone(sql: Connection[Row], enqueue: Enqueue) -> None:
    """Checking a job's settings changes nothing in the session that enqueues."""
    before = sql.execute(
        "select current_setting('work_mem'), current_setting('search_path')"
    ).fetchone()
    enqueue("app.nothing", settings={"work_mem": "7MB", "search_path": "other"})

    assert (
        sql.execute("select current_setting('work_mem'), current_setting('search_path')").fetchone()
        == before
    )


def test_path_of_the_role(database: Database, put: Enqueue) -> None:
    """A job runs with its owner's own search_path, and a name at enqueue is looked up with the
    caller's.
    """
    database.admin(f"alter role app in database {database.name} set search_path = other, app")
    database.run(
        "create function other.add(a integer, b integer default 1) returns text"
        " language sql return 'other'",
        role="other",
    )
    with database.connect() as connection:
        of_role = enqueue_on(connection, "add", {"a": 1})
        connection.execute("set search_path = app")
        of_session = enqueue_on(connection, "add", {"a": 1})
        path = enqueue_on(connection, "app.path")
    database.drain()

    assert database.result(of_role) == "other"
    assert database.result(of_session) == 11
    assert database.result(path) == "other, app"


def test_many_of_none(sql: Connection[Row]) -> None:
    """No arguments are no jobs."""
    before = _count(sql)

    assert (
        sql.execute("select * from jobs.enqueue_many('app.nothing', '{}'::jsonb[])").fetchall()
        == []
    )
    assert sql.execute("select * from jobs.enqueue_many('app.nothing', null)").fetchall() == []
    assert _count(sql) == before


def test_many_keep_options(sql: Connection[Row]) -> None:
    """Options of enqueue_many are those of each of its jobs."""
    ids = sql.execute(
        "select * from jobs.enqueue_many('app.add', array['{\"a\": 1}', '{\"a\": 2}']::jsonb[],"
        " run_at => '2100-01-01',"
        " timeout => '5 s', max_attempts => 2, priority => 'high',"
        ' settings => \'{"work_mem": "1MB"}\')'
    ).fetchall()

    for (job,) in ids:
        assert _job(sql, job, "state, timeout, max_attempts, priority, settings") == (
            *("scheduled", timedelta(seconds=5), 2, "high", {"work_mem": "1MB"}),
        )


def test_prepared_enqueue_survives_a_replaced_function(database: Database) -> None:
    """A session that has enqueued many times goes on when the function is replaced,
    with its new parameters.
    """
    with database.connect() as connection:
        for _ in range(8):
            enqueue_on(connection, "app.add", {"a": 1})
        database.run(
            "drop function app.add; create function app.add(a text) returns text"
            " language sql return a || '!'"
        )
        job = enqueue_on(connection, "app.add", {"a": "x"})
    database.drain()

    assert database.result(job) == "x!"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("90 s", 90),
        ("1 day", 86_400),
        ("1 month", 30 * 86_400),
        ("-1 month 31 days", 86_400),
        ("1 day -23 hours", 3600),
        ("0.000001 s", 0.000001),
        ("999 years", 999 * 365.25 * 86_400),
    ],
)
def test_timeout_means_seconds(shared: Database, given: str, seconds: float) -> None:
    """What is stored is what is enforced: a number of seconds, which added to any start on any day
    is the same.
    """
    job = shared.value(
        "select jobs.enqueue('app.nothing', run_at => '2100-01-01', timeout => %s)", [given]
    )
    stored, shift = shared.run(
        """select extract(epoch from timeout)::float8, array(
        select distinct extract(epoch from t + timeout - t)::float8
        from unnest(
          array['2026-03-01', '2026-03-29', '2026-10-25', '2028-02-29']::timestamptz[]) as t)
        from jobs.job where id = %s""",
        [job],
    )[0]

    assert (stored, shift) == (seconds, [seconds])


def test_largest_note(shared: Database) -> None:
    """A note of 64 kB is taken, and is in the history."""
    note = {"x": "x" * (65_536 - len('{"x": ""}'))}
    job = enqueue_on(shared.line(), "app.nothing", {}, note=note)
    shared.drain()

    assert shared.value("select note from jobs.job where id = %s", [job]) == note

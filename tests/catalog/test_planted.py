"""Nothing that somebody planted on a caller's path is ever called by our functions."""

from pathlib import Path

import psycopg
import pytest
from support import Database

PLANTED = Path(__file__).with_name("planted.sql")

CALLS = (
    """select jobs.enqueue('app.add', '{"a": 1, "b": 2}')""",
    """select jobs.enqueue('app.add(integer, integer)', '{"a": 1, "b": 2}')""",
    """select jobs.enqueue('app."add"', '{"a": 1, "b": 2}', settings => '{"work_mem": "1MB"}',
        note => '{"x": 1}',
    timeout => '1 s', unique_key => 'k', priority => 'high', max_attempts => 2,
    run_at => '2100-01-01')""",
    """select jobs.enqueue('app.add', '{"a": 1, "b": 2}', unique_key => 'k')""",
    """select jobs.enqueue('app.over', '{"b": 2}')""",
    """select jobs.enqueue_many('app.add',
        '{"{\\"a\\": 1, \\"b\\": 1}", "{\\"b\\": 1, \\"a\\": 2}"}',
    settings => '{"work_mem": "1MB"}')""",
    """select jobs.enqueue_sql('create index concurrently on app.t (i)',
        settings => '{"work_mem": "1MB"}',
    done_when => 'true', rollback => 'select 1')""",
    "select jobs.cancel(1)",
    "select jobs.retry(1)",
    "select jobs.run_now(1)",
    "select jobs.dismiss(1)",
    "select jobs.dismiss_failed()",
    "select jobs.wait(1, '1 s')",
    "select jobs.current_id()",
    "select jobs.progress(1, 2)",
    "select jobs.log('x')",
    "call jobs.await(1, '1 s')",
    "select jobs.start(1)",
    *(
        f"select * from jobs.{view}"
        for view in [
            "job",
            "queued",
            "running",
            "failed",
            "finished",
            "attempts",
            "queues",
            "sessions",
            "supervisors",
            "health",
            "settings",
            "errors",
        ]
    ),
)

#: Refused calls: the same refusal as without the traps.
REFUSED = (
    ("PW001", "select jobs.enqueue('app.no_such')"),
    ("PW001", "select jobs.enqueue('')"),
    ("PW002", """select jobs.enqueue('app.over', '{"a": 1}')"""),
    ("PW003", """select jobs.enqueue('app.add', '{"z": 1}')"""),
    ("PW005", """select jobs.enqueue('app.add', '{"a": "x", "b": 1}')"""),
    ("PW005", """select jobs.enqueue_many('app.add', '{"{\\"a\\": \\"x\\", \\"b\\": 1}"}')"""),
    ("PW011", "select jobs.enqueue('app.add', '[]')"),
    ("PW012", """select jobs.enqueue('app.add', '{"a": 1, "b": 1}', settings => '{"x": 1}')"""),
    (
        "PW013",
        """select jobs.enqueue('app.add', '{"a": 1, "b": 1}', settings => '{"work_mem": "x"}')""",
    ),
    ("PW015", f"select jobs.enqueue('app.{'x' * 64}')"),
    ("PW022", "select jobs.enqueue_many('app.add', '{}', unique_key => 'k')"),
)


@pytest.fixture
def trapped(database: Database) -> Database:
    """Functions of app, made in peace; then traps of another role, first on app's path."""
    database.run(
        "create table app.t (i integer);"
        "create function app.add(a integer, b integer) returns integer language plpgsql"
        " set search_path = pg_catalog as 'begin return a + b; end';"
        "create function app.over(a integer) returns integer language sql return a;"
        "create function app.over(a text) returns integer language sql return 1;"
        "create function app.over(b bigint) returns integer language sql return 2"
    )
    database.admin(f"grant create on database {database.name} to other")
    database.run(PLANTED.read_text(encoding="utf-8"), role="other")
    return database


def test_traps_work(trapped: Database) -> None:
    """The traps are real: plain SQL on that path falls into them."""
    with trapped.connect() as connection:
        connection.execute("set search_path = trap, pg_catalog")
        for query in (
            "select 1 + 1",
            "select 'a'::text || 'b'::text",
            "select '{}'::pg_catalog.jsonb -> 'a'",
            "select now()",
            "select array[1] || array[2]",
        ):
            with pytest.raises(psycopg.Error, match="planted"):
                connection.execute(query.encode())


def test_nothing_planted_is_called(trapped: Database) -> None:
    """With traps first on the path, every public function and view works, and none of the traps is
    sprung.
    """
    with trapped.connect() as connection:
        connection.execute("set search_path = trap, pg_catalog")
        sprung = []
        for query in CALLS:
            try:
                connection.execute(query.encode())
            except psycopg.Error as error:
                if not (error.sqlstate or "").startswith("PW03"):
                    sprung.append((query, str(error)))
        for code, query in REFUSED:
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(query.encode())
            if caught.value.sqlstate != code:
                sprung.append((query, str(caught.value)))
    trapped.drain()

    assert sprung == []


def test_nothing_planted_is_called_by_the_worker(trapped: Database) -> None:
    """A worker session whose login has the traps on its own path runs jobs of every mode,
    and springs none.
    """
    trapped.admin(f"alter role app in database {trapped.name} set search_path = trap, pg_catalog")
    with trapped.connect(search_path="pg_catalog") as connection:
        connection.execute("""select jobs.enqueue('app.add', '{"a": 1, "b": 2}')""")
        connection.execute(
            """select jobs.enqueue('app.add', '{"a": 1, "b": 2}', timeout => '10 s')"""
        )
        connection.execute("select jobs.enqueue_sql('vacuum app.t')")
        connection.execute("select jobs.enqueue_sql('create index concurrently on app.t (i)')")
        connection.execute("select jobs.start()")
        for job in (1, 2, 3, 4):
            connection.execute(f"call jobs.await({job}, '10 s')".encode())
        found = connection.execute("select state, error from jobs.job order by id").fetchall()

    assert found == [("succeeded", None)] * 4

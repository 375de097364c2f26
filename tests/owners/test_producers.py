"""A producer who is no runner: told when it enqueues, a warning in the health,
and no trouble of the installation.
"""

from psycopg import Connection
from stage import put
from support import Database, Row


def _notices(line: Connection[Row], query: str) -> list[tuple[str | None, str | None]]:
    heard: list[tuple[str | None, str | None]] = []
    line.add_notice_handler(
        lambda notice: heard.append((notice.message_primary, notice.message_hint))
    )
    line.execute(query.encode())
    return heard


def _age(database: Database) -> None:
    """Make what waits due for a long time."""
    database.admin(
        "update jobs_internal.job set due_at = '2000-01-01', run_at = '2000-01-01'"
        " where due_at is not null"
    )


def test_a_producer_is_told_that_its_jobs_will_not_run(database: Database) -> None:
    """Each way to enqueue says it, with the line that mends it; a runner hears nothing."""
    told = [
        (
            "jobs of producer do not run: it is no login member of jobs_runner",
            "grant jobs_runner to producer;",
        )
    ]
    for query in (
        "select jobs.enqueue('pg_catalog.now')",
        "select jobs.enqueue_many('pg_catalog.now', array['{}'::jsonb])",
        "select jobs.enqueue_sql('select 1')",
    ):
        with database.server.connect("producer", database.name) as line:
            assert _notices(line, query) == told, query
    assert _notices(database.connect("app"), "select jobs.enqueue('pg_catalog.now')") == []


def test_a_producer_makes_no_installation_critical(database: Database) -> None:
    """However long its jobs are due; those of an owner who could run are critical as before."""
    put(database, "pg_catalog.now", role="producer")
    _age(database)
    health = {
        row[0]: row[1:]
        for row in database.run('select "check", status, detail from jobs.health', role="reader")
    }
    assert health["due jobs"][0] == "ok"
    assert health["owners"][0] == "warning"
    assert "producer" in health["owners"][1]

    put(database, "app.note", {"n": 1})
    _age(database)
    health = {
        row[0]: row[1:]
        for row in database.run('select "check", status, detail from jobs.health', role="reader")
    }
    assert health["due jobs"][0] == "critical"
    assert health["due jobs"][1].endswith("of: app")


def test_the_short_way_of_an_enqueue_asks_nothing_more(database: Database) -> None:
    """Where the lane is there nothing is said, and nothing is asked."""
    put(database, "app.note", {"n": 1})
    database.drain()
    database.admin(
        "create or replace function jobs_internal.is_runner(p_role oid) returns boolean"
        " language plpgsql as"
        " $$ begin raise 'asked'; end $$"
    )
    put(database, "app.note", {"n": 2})
    database.admin("delete from jobs_internal.job")

"""unique_key: at most one unfinished job per owner, queue and key."""

import threading
from typing import Any

import psycopg
import pytest
from psycopg import Connection
from support import Database, Row, wait_until

from .conftest import Enqueue, enqueue_on


def _noticed(connection: Connection[Row]) -> list[str]:
    notices: list[str] = []
    connection.add_notice_handler(lambda said: notices.append(str(said.message_primary)))
    return notices


def test_again_is_the_same_job(database: Database) -> None:
    """Enqueueing a key again returns the existing id and says so in a NOTICE;
    the first job stays as it is.
    """
    with database.connect() as connection:
        notices = _noticed(connection)
        first = enqueue_on(connection, "app.add", {"a": 1}, unique_key="k", note={"n": 1})
        silent = list(notices)
        second = enqueue_on(connection, "app.add", {"a": 2}, unique_key="k", note={"n": 2})

    assert second == first
    assert silent == []
    assert len(notices) == 1
    assert str(first) in notices[0]
    assert database.run("select args, note from jobs.job") == [({"a": 1}, {"n": 1})]


def test_finished_job_frees_its_key(database: Database, put: Enqueue) -> None:
    """A finished or cancelled job has no claim to its key."""
    first = put("app.nothing", unique_key="k")
    database.drain()
    second = put("app.nothing", unique_key="k")
    database.run("select jobs.cancel(%s)", [second])
    third = put("app.nothing", unique_key="k")

    assert len({first, second, third}) == 3


def test_keys_are_per_queue_and_owner(database: Database, put: Enqueue) -> None:
    """The same key in another queue, or of another owner, is another job; of a statement too."""
    database.run("select jobs.create_queue('second')", role="operator")
    mine = put("app.nothing", unique_key="k")
    there = put("app.nothing", unique_key="k", queue="second")
    theirs = enqueue_on(database.line("other"), "pg_catalog.now", unique_key="k")
    statement = database.value("select jobs.enqueue_sql('select 1', unique_key => 'k')")

    assert len({mine, there, theirs}) == 3
    assert statement == mine
    assert database.job(mine)["task"] == "app.nothing"


@pytest.mark.parametrize("key", [" ", "k" * 512, "ä" * 256, "'; drop table x --", "\t\n"])
def test_any_text_is_a_key(enqueue: Enqueue, key: str) -> None:
    """A key is any text of 1 to 512 bytes."""
    assert enqueue("app.nothing", unique_key=key) == enqueue("app.nothing", unique_key=key)


@pytest.mark.parametrize("commits", [True, False], ids=["commit", "rollback"])
def test_concurrent_enqueuers(database: Database, *, commits: bool) -> None:
    """The second of two concurrent enqueuers waits for the first; then it has that job,
    else its own.
    """
    first, second, watch = database.connect(), database.connect(), database.connect("postgres")
    notices = _noticed(second)
    first.autocommit = False
    id_of_first = enqueue_on(first, "app.nothing", unique_key="k")
    found: list[Any] = []
    thread = threading.Thread(
        target=lambda: found.append(enqueue_on(second, "app.nothing", unique_key="k"))
    )
    thread.start()
    pids = {"blocked": second.info.backend_pid, "by": first.info.backend_pid}
    blocked = wait_until(
        lambda: (
            watch.execute("select %(by)s = any (pg_blocking_pids(%(blocked)s))", pids).fetchone()
            == (True,)
        )
    )
    if commits:
        first.commit()
    else:
        first.rollback()
    thread.join(10)

    assert blocked
    assert (found == [id_of_first]) is commits
    assert len(notices) == commits
    assert database.run("select id from jobs.job") == [(found[0],)]


def test_other_keys_do_not_wait(database: Database) -> None:
    """An open transaction with a key makes nobody wait who has another one."""
    with database.connect() as first, database.connect(lock_timeout="500ms") as second:
        first.autocommit = False
        one = enqueue_on(first, "app.nothing", unique_key="a")
        two = enqueue_on(second, "app.nothing", unique_key="b")
        first.commit()

    assert one != two


def test_invisible_twin_is_a_serialization_failure(database: Database) -> None:
    """A key whose job the snapshot cannot see is 40001: never a second job, never a wrong id."""
    with database.connect() as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.autocommit = False
        old.execute("select count(*) from jobs.job")
        enqueue_on(database.line(), "app.nothing", unique_key="k")
        with pytest.raises(psycopg.errors.SerializationFailure) as caught:
            enqueue_on(old, "app.nothing", unique_key="k")

    assert caught.value.sqlstate == "40001"
    assert database.value("select count(*) from jobs.job") == 1

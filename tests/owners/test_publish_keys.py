"""The unique keys of a published function: each enqueuer has a space of its own,
and hears of no other.
"""

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.types.json import Jsonb
from stage import put, state
from support import Database, sqlstate_of, wait_until

SETUP = """
create function app.refund(n integer) returns text language sql as $$ select 'refund ' || n $$;
create function app.charge_back(n integer) returns text language sql as
  $$ select 'charge back ' || n $$;
"""
CALL = "select jobs.enqueue_published(%s, %s, unique_key => %s)"


@pytest.fixture(name="shared_task")
def _shared_task(database: Database) -> Database:
    """A database where app has published app.refund to all producers: app, other and producer are
    members.
    """
    database.run(SETUP)
    database.run("select jobs.publish('app.refund', 'jobs_producer')")
    return database


def _put(
    database: Database, role: str, key: str | None = "k", n: int = 1, task: str = "app.refund"
) -> int:
    return int(database.value(CALL, [task, Jsonb({"n": n}), key], role=role))


def _unfinished(database: Database) -> list[tuple[str, str, int]]:
    return database.admin(
        "select coalesce(enqueued_by, owner), unique_key, (args ->> 'n')::integer from jobs.job"
        " where finished_at is null order by id"
    )


def test_two_enqueuers_have_two_jobs(shared_task: Database) -> None:
    database = shared_task
    first, second = _put(database, "other", n=1), _put(database, "producer", n=2)
    assert first != second, "the id of another's job is never returned"
    assert _put(database, "other", n=3) == first
    assert _put(database, "producer", n=4) == second
    assert _unfinished(database) == [("other", "k", 1), ("producer", "k", 2)]
    assert (
        database.value("select unique_key from jobs.job where id = %s", [first], role="other")
        == "k"
    )


def test_nothing_waits_for_the_transaction_of_another(shared_task: Database) -> None:
    database = shared_task
    with database.connect("other") as line:
        line.autocommit = False
        line.execute(CALL, ["app.refund", Jsonb({"n": 1}), "k"])
        with database.connect("producer", lock_timeout="2s") as second:
            assert second.execute(CALL, ["app.refund", Jsonb({"n": 2}), "k"]).fetchone()
        line.commit()
    assert sorted(row[0] for row in _unfinished(database)) == ["other", "producer"]


def test_one_enqueuer_twice_at_once_is_one_job(shared_task: Database) -> None:
    """The second one waits for its own other transaction, and gets that job's id when it has
    committed.
    """
    database = shared_task
    with (
        database.connect("other") as line,
        database.connect("other") as second,
        ThreadPoolExecutor() as pool,
    ):
        line.autocommit = False
        first = line.execute(CALL, ["app.refund", Jsonb({"n": 1}), "k"]).fetchone()
        waiting = pool.submit(
            lambda: second.execute(CALL, ["app.refund", Jsonb({"n": 2}), "k"]).fetchone()
        )
        waits = "select count(*) from pg_locks where pid = %s and not granted"
        wait_until(lambda: database.admin(waits, [second.info.backend_pid]) == [(1,)])
        line.commit()
        assert waiting.result(20) == first
    assert len(_unfinished(database)) == 1


def test_they_are_no_keys_of_the_publisher(shared_task: Database) -> None:
    """Not where the publisher is an enqueuer itself either; nor is one publication another."""
    database = shared_task
    database.run("select jobs.publish('app.charge_back', 'jobs_producer')")
    own = put(database, "app.refund", {"n": 1}, unique_key="k")
    jobs = {
        own,
        _put(database, "app"),
        _put(database, "other"),
        _put(database, "other", task="app.charge_back"),
    }
    assert len(jobs) == 4
    assert put(database, "app.refund", {"n": 9}, unique_key="k") == own


def test_a_key_may_be_as_long_as_elsewhere(shared_task: Database) -> None:
    assert _put(shared_task, "other", "x" * 512) > 0
    assert sqlstate_of(lambda: _put(shared_task, "other", "x" * 513)) == "PW015"


def test_a_retry_meets_the_keys_of_its_enqueuer_alone(shared_task: Database) -> None:
    database = shared_task
    job = _put(database, "other")
    database.run("select jobs.cancel(%s)", [job])
    _put(database, "producer")
    put(database, "app.refund", {"n": 1}, unique_key="k")
    assert database.value("select jobs.retry(%s)", [job]) == "retrying"
    assert _put(database, "other") == job
    database.run("select jobs.cancel(%s)", [job])
    again = _put(database, "other")
    assert again != job
    with pytest.raises(psycopg.Error) as refused:
        database.run("select jobs.retry(%s)", [job])
    assert refused.value.sqlstate == "PW032"
    database.drain()
    assert state(database, again) == "succeeded"

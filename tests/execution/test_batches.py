"""Batches: what is counted, when they call back, and what is asked of them."""

import pytest
from psycopg.types.json import Jsonb
from stage import put, state
from support import Database, sqlstate_of

from .batches import add, add_many, calls, close, counts, finish, fold, make, stage
from .dependents import follow


@pytest.fixture(autouse=True)
def _staged(database: Database) -> None:
    stage(database)


@pytest.mark.parametrize("sessions", [1, 4])
def test_all_succeed(database: Database, sessions: int) -> None:
    """Its callbacks are enqueued by a session that works, without a supervisor."""
    batch = make(database)
    add_many(database, batch, 500)
    single = add(database, batch)
    assert counts(database, batch) == ("open", 501, 501, 0, 0, 0, 0)
    database.drain(sessions=sessions)
    assert counts(database, batch) == ("open", 501, 0, 501, 0, 0, 0)
    assert calls(database, batch) == []
    close(database, batch)
    finish(database)
    assert sorted(calls(database, batch)) == ["finish", "success"]
    assert counts(database, batch) == ("finished", 501, 0, 501, 0, 0, 0)
    finish(database)
    assert sorted(calls(database, batch)) == ["finish", "success"]
    assert database.value("select batch from jobs.job where id = %s", [single]) == batch


def test_the_session_that_ends_the_last_job_calls_back(database: Database) -> None:
    """By its next commit."""
    batch = make(database)
    add_many(database, batch, 300)
    close(database, batch)
    database.drain()
    assert sorted(calls(database, batch)) == ["finish", "success"]
    assert database.admin("select count(*) from jobs_internal.batch_delta") == [(0,)]


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_one_does_not_succeed(database: Database, end: str) -> None:
    """What is cancelled has ended, and has not succeeded."""
    batch = make(database)
    add(database, batch)
    other = add(database, batch, "app.fail", max_attempts=1)
    if end == "cancelled":
        database.run("select jobs.cancel(%s)", [other])
    close(database, batch)
    finish(database)
    assert state(database, other) == end
    assert sorted(calls(database, batch)) == ["failure", "finish"]
    assert counts(database, batch)[3:6] == (1, end == "failed", end == "cancelled")


def test_an_attempt_that_is_tried_again_is_no_end(database: Database) -> None:
    """Nor is a snooze."""
    batch = make(database)
    add(database, batch, "app.stumble", {"n": 3}, max_attempts=3)
    close(database, batch)
    database.drain()
    database.admin("update jobs_internal.job set due_at = now() where due_at is not null")
    database.admin("select jobs_internal.dispatch()")
    finish(database)
    assert sorted(calls(database, batch)) == ["finish", "success"]


def test_an_empty_batch(database: Database) -> None:
    """It calls back when it is closed, as one of which all have succeeded."""
    batch = make(database)
    fold(database)
    assert calls(database, batch) == []
    close(database, batch)
    finish(database)
    assert sorted(calls(database, batch)) == ["finish", "success"]
    assert database.value("select jobs.close_batch(%s)", [batch]) is False


def test_a_batch_without_callbacks(database: Database) -> None:
    """It is finished all the same."""
    batch = database.value("select jobs.create_batch('silent')")
    add(database, batch)
    close(database, batch)
    finish(database)
    assert counts(database, batch)[0] == "finished"


def test_arguments_are_cast_when_it_is_made(database: Database) -> None:
    """With the path and the rights of then; what does not fit makes no batch."""
    with database.connect("app") as line:
        line.execute("set search_path = app, public")
        batch = line.execute(
            "select jobs.create_batch('a', on_finish => 'note', args => '{\"n\": \"7\"}',"
            ' options => \'{"title": "the end", "priority": "high"}\')'
        ).fetchone()[0]
    close(database, batch)
    finish(database)
    assert database.run(
        "select j.args, j.title, j.priority, j.state from jobs.batches as b"
        " join jobs.job as j on j.id = any (b.callback_jobs) where b.id = %s",
        [batch],
    ) == [({"n": 7}, "the end", "high", "succeeded")]
    for call, code in (
        ("on_finish => 'app.no_such'", "PW001"),
        ("on_finish => 'app.note'", "PW004"),
        ("on_success => 'app.note', args => '{\"n\": \"x\"}'", "PW005"),
        ("on_failure => 'other.work'", "PW006"),
    ):
        assert sqlstate_of(lambda call=call: make(database, call)) == code, call
    assert database.value("select count(*) from jobs.batches") == 1


def test_the_jobs_of_a_batch(database: Database) -> None:
    """They are listed, wherever they are, and no others."""
    batch, other = make(database), make(database)
    mine, its = [], []
    for n in range(80):
        (mine if n % 3 else its).append(add(database, batch if n % 3 else other))
    put(database, "app.note", {"n": 1})
    many = add_many(database, batch, 50)
    listed = "select array(select jobs.batch_jobs(%s))"
    assert database.value(listed, [batch]) == mine + many
    database.drain()
    assert database.value(listed, [batch]) == mine + many
    assert database.value(listed, [other]) == its
    assert database.value(listed, [batch], role="other") == []


def test_a_job_of_the_batch_adds_to_it(database: Database) -> None:
    """As long as it is open."""
    batch = make(database)
    add(database, batch, "app.add_to", {"batch": batch})
    database.drain()
    assert counts(database, batch) == ("open", 2, 0, 2, 0, 0, 0)
    late = add(database, batch, "app.add_to", {"batch": batch}, max_attempts=1)
    close(database, batch)
    finish(database)
    assert database.job(late)["error"]["sqlstate"] == "PW116"
    assert calls(database, batch) == ["finish", "failure"]


def test_after_with_a_batch(database: Database) -> None:
    """A child that is cancelled for its parent has ended; with it, it comes back."""
    batch = make(database)
    parent = add(database, batch, "app.stumble", {"n": 1}, max_attempts=1)
    child = add(database, batch, options={"after": [parent]})
    close(database, batch)
    database.drain()
    follow(database)
    finish(database)
    assert state(database, child) == "cancelled"
    assert calls(database, batch) == ["finish", "failure"]
    assert counts(database, batch)[3:6] == (0, 1, 1)
    assert database.value("select jobs.retry_batch(%s)", [batch]) == 1
    database.drain()
    fold(database)
    follow(database)
    database.drain()
    finish(database)
    assert state(database, child) == "succeeded"
    assert calls(database, batch) == ["finish", "failure", "finish", "success"]


def test_what_enqueues_nothing_adds_nothing(database: Database) -> None:
    """A unique_key that an unfinished job has, and a result that is reused."""
    batch = make(database)
    first = put(database, "app.note", {"n": 1}, unique_key="k", run_at="infinity")
    assert add(database, batch, unique_key="k", run_at="infinity") == first
    done = put(database, "app.note", {"n": 2}, options=Jsonb({"reuse_for": "1 hour"}))
    database.drain()
    assert add(database, batch, args={"n": 2}, options={"reuse_for": "1 hour"}) == done
    assert counts(database, batch)[:3] == ("open", 0, 0)
    close(database, batch)
    finish(database)
    assert calls(database, batch) == ["finish", "success"]

"""What becomes of a queued job when its function changes before it runs."""

import pytest
from support import Database

from .conftest import Enqueue

TWICE = "create or replace function app.change(a integer) returns integer language sql return a * 2"


@pytest.fixture
def job(database: Database, put: Enqueue) -> int:
    """A queued call of app.change(21)."""
    database.run("create function app.change(a integer) returns integer language sql return a")
    return put("app.change", {"a": 21}, max_attempts=1)


def _error(database: Database, job: int) -> dict[str, str]:
    found = database.job(job)
    assert found["state"] == "failed", found
    return dict(found["error"])


def test_replaced(database: Database, job: int) -> None:
    """A replaced function is called as it is when the job runs."""
    database.run(TWICE)
    database.drain()

    assert database.result(job) == 42


def test_replaced_with_a_new_default(database: Database, put: Enqueue) -> None:
    """A default is the one that the function has when the job runs."""
    database.run(
        "create function app.defaults(a integer default 1) returns integer language sql return a"
    )
    job = put("app.defaults")
    database.run(
        "create or replace function app.defaults(a integer default 2) returns integer"
        " language sql return a"
    )
    database.drain()

    assert database.result(job) == 2


def test_replaced_in_the_transaction_that_enqueues(database: Database) -> None:
    """The same where the function was made, used and replaced by one transaction,
    also in savepoints of it.
    """
    make = (
        "create or replace function app.defaults(a integer default {}) returns integer"
        " language sql return a"
    )
    jobs = {}
    with database.connect() as connection, connection.transaction():
        for number in range(1, 4):
            connection.execute(make.format(number).encode())
            jobs["call", number] = connection.execute(
                "select jobs.enqueue('app.defaults')"
            ).fetchone()
            jobs["call of many", number] = connection.execute(
                "select jobs.enqueue_many('app.defaults', array['{}']::jsonb[])"
            ).fetchone()
        with connection.transaction(force_rollback=True):
            connection.execute(make.format(8).encode())
            connection.execute("select jobs.enqueue('app.defaults')")
        with connection.transaction():
            connection.execute(make.format(9).encode())
            jobs["in a savepoint", 9] = connection.execute(
                "select jobs.enqueue('app.defaults')"
            ).fetchone()
        connection.execute(make.format(4).encode())
    after = database.value("select jobs.enqueue('app.defaults')")
    database.drain()

    assert {name: database.result(job[0]) for name, job in jobs.items() if job} == dict.fromkeys(
        jobs, 4
    )
    assert database.result(after) == 4


def test_another_kind_of_routine(database: Database, put: Enqueue) -> None:
    """A function that a procedure took the place of, and the reverse, is not what was enqueued:
    PW042 says so.
    """
    function = "create {} function app.kind(a integer) returns integer language sql return a"
    procedure = "create {} procedure app.kind(a integer) language plpgsql as $$ begin null; end $$"
    for before, after, kind in (
        (function, procedure, "function"),
        (procedure, function, "procedure"),
    ):
        database.run(before.format(""))
        job = put("app.kind", {"a": 1})
        database.run(f"drop {kind} app.kind")
        database.run(after.format(""))
        database.drain()

        error = _error(database, job)
        assert error["sqlstate"] == "PW042"
        assert "app.kind(integer) is a" in error["message"]
        assert database.job(job)["attempt"] == 1
        database.run("drop routine app.kind")


def test_renamed(database: Database, job: int) -> None:
    """A renamed function is still the same one."""
    database.run("alter function app.change rename to changed")
    database.drain()

    assert database.result(job) == 21
    assert database.job(job)["task"] == "app.changed"


def test_renamed_and_replaced_by_another(database: Database, job: int) -> None:
    """When another function takes the old name, the job goes with its function,
    not with the name.
    """
    database.run("alter function app.change rename to changed")
    database.run(TWICE)
    database.drain()

    assert database.result(job) == 21


def test_moved_to_another_schema(database: Database, job: int) -> None:
    """A function that moved to another schema is still the same one."""
    database.admin("create schema moved authorization app")
    database.run("alter function app.change set schema moved")
    database.drain()

    assert database.result(job) == 21


def test_dropped(database: Database, job: int) -> None:
    """A job whose function was dropped fails with PW042, which names it, and others go on."""
    other = database.value("select jobs.enqueue('app.nothing')")
    database.run("drop function app.change")
    database.drain()

    error = _error(database, job)
    assert error["sqlstate"] == "PW042"
    assert "app.change(integer)" in error["message"]
    assert error["hint"]
    assert database.job(other)["state"] == "succeeded"


def test_dropped_with_its_schema(database: Database, put: Enqueue) -> None:
    """The same when the whole schema is gone."""
    database.admin("create schema short authorization app")
    database.run("create function short.lived() returns integer language sql return 1")
    job = put("short.lived")
    database.run("drop schema short cascade")
    database.drain()

    assert _error(database, job)["sqlstate"] == "PW042"


def test_dropped_and_made_anew(database: Database, job: int) -> None:
    """A function that was dropped and made anew by the same owner with the same arguments is
    found again.
    """
    database.run("drop function app.change")
    database.run(TWICE)
    database.drain()

    assert database.result(job) == 42


def test_made_anew_with_other_arguments(database: Database, job: int) -> None:
    """A function of the same name and other arguments is another one: the job is not guessed
    into it.
    """
    database.run("drop function app.change")
    database.run("create function app.change(a text) returns text language sql return a")
    database.drain()

    assert _error(database, job)["sqlstate"] == "PW042"


def test_made_anew_with_other_names(database: Database, job: int) -> None:
    """A function whose parameter has another name now gets no value by place."""
    database.run("drop function app.change")
    database.run("create function app.change(b integer) returns integer language sql return b")
    database.drain()

    assert _error(database, job)["sqlstate"] == "PW042"


def test_made_anew_by_another(database: Database, put: Enqueue) -> None:
    """A function made anew by another owner is not the one that was enqueued."""
    database.admin("create schema common authorization app; grant all on schema common to other")
    database.run("create function common.change(a integer) returns integer language sql return a")
    job = put("common.change", {"a": 1})
    database.run("drop function common.change")
    database.run(
        "create function common.change(a integer) returns integer language sql return a * 2",
        role="other",
    )
    database.drain()

    error = _error(database, job)
    assert error["sqlstate"] == "PW042"
    assert "owner" in error["message"]


def test_given_to_another_owner(database: Database, job: int) -> None:
    """A function that got another owner is not run: who enqueued it trusted the one before."""
    database.admin("grant all on schema app to other; alter function app.change owner to other")
    database.drain()

    assert _error(database, job)["sqlstate"] == "PW042"


def test_right_taken_away(database: Database, put: Enqueue) -> None:
    """A job whose owner lost EXECUTE fails with the server's own error, and is not retried."""
    job = put("other.public", {"a": 1})
    database.run("revoke execute on function other.public from public", role="other")
    database.drain()

    assert _error(database, job)["sqlstate"] == "42501"
    assert database.job(job)["attempt"] == 1


def test_replaced_after_it_was_known_to_be_short(database: Database, put: Enqueue) -> None:
    """A function whose jobs share a transaction is replaced under the queue:
    each job runs the new one.
    """
    database.run("create function app.change(a integer) returns integer language sql return a")
    database.run(
        "select jobs.enqueue_many('app.change', array_fill('{\"a\": 1}'::jsonb, array[50]))"
    )
    database.drain()
    ids = [put("app.change", {"a": 1}) for _ in range(5)]
    database.run(TWICE)
    database.drain()

    assert [database.result(job) for job in ids] == [2] * 5


def test_enum_lost_its_value(database: Database, put: Enqueue) -> None:
    """A value that its type does not know any more is an error of that job."""
    database.run("create type app.colour as enum ('red', 'blue')")
    database.run("create function app.paint(c app.colour) returns app.colour language sql return c")
    job = put("app.paint", {"c": "red"}, max_attempts=1)
    database.run("alter type app.colour rename value 'red' to 'rouge'")
    database.drain()

    assert _error(database, job)["sqlstate"] == "22P02"

"""Procedures are jobs too: at top level, so that they may commit, with arguments of every kind."""

from support import Database

from .conftest import Enqueue


def _tags(database: Database) -> list[str]:
    return [tag for (tag,) in database.run("select tag from app.marks order by at, tag")]


def test_that_commits(database: Database, put: Enqueue) -> None:
    """A procedure may commit; its defaults are its own."""
    one = put("app.keep", {"tag": "one"})
    two = put("app.keep", {"tag": "it's; two", "times": 2})
    database.drain()

    assert database.job(one)["state"] == database.job(two)["state"] == "succeeded"
    assert _tags(database) == ["one", "it's; two", "it's; two"]
    assert database.job(two)["task"] == "app.keep"


def test_out_and_inout(database: Database, put: Enqueue) -> None:
    """OUT parameters need no argument, INOUT ones do; the outcome is a success."""
    job = put("app.proc_out", {"a": 3, "c": 4})
    database.drain()

    assert database.job(job)["state"] == "succeeded", database.job(job)["error"]
    assert _tags(database) == ["out 3 4"]


def test_sole_jsonb(database: Database, put: Enqueue) -> None:
    """A procedure whose only parameter is jsonb gets the arguments whole."""
    job = put("app.proc_whole", {"tag": "whole", "more": [1]})
    database.drain()

    assert database.job(job)["state"] == "succeeded", database.job(job)["error"]
    assert _tags(database) == ["whole"]


def test_every_kind_of_argument(database: Database, put: Enqueue) -> None:
    """Enum, composite, array and VARIADIC arguments of a procedure arrive as they were given."""
    job = put("app.proc_kinds", {"m": "ok", "p": {"x": 1, "y": "(,)"}, "n": [1, 2], "rest": ["a b"]})
    database.drain()

    assert database.job(job)["state"] == "succeeded", database.job(job)["error"]
    assert _tags(database) == ["ok (,) 2 a b"]


def test_padded_types(database: Database, put: Enqueue) -> None:
    """character and bit parameters of a procedure keep their length."""
    database.run(
        "create procedure app.proc_padded(c character, b bit) language plpgsql as "
        "$$ begin insert into app.marks (tag) values (c || b::text); end $$"
    )
    job = put("app.proc_padded", {"c": "abc", "b": "101"})
    database.drain()

    assert database.job(job)["state"] == "succeeded", database.job(job)["error"]
    assert _tags(database) == ["abc101"]

"""Jobs side by side in a chunk are called by one statement where that gives what each would get."""

import re
from itertools import pairwise
from typing import Any

import pytest
from stage import gate_shut, know_as_short, put, put_many, state, wait_at_gate
from support import Database, wait_until

from .together import PROOF, SETUP, XML, in_order, prove, put_proved, together


@pytest.fixture(autouse=True)
def functions(database: Database) -> None:
    """Functions that see, and say, how they are called; a busy machine makes nothing long."""
    database.run(SETUP)
    for name in ("chunk_ms", "short_ms"):
        database.admin("select jobs.configure(%s, '60000')", [name])
    prove(database, "app.waits", [{"n": 0, "waits": False}])
    prove(database, "app.one", [{"n": 0}])
    prove(database, "app.one", [{"n": 0, "does": ""}])
    prove(database, "app.two", [{"n": 0}])
    database.run("truncate app.ledger, app.ran")


def test_each_is_itself(database: Database) -> None:
    jobs = put_proved(database, "app.one", [{"n": n} for n in range(60)])
    database.drain()
    assert together(database) >= 40
    ran = database.run("select job from app.ran where n > 0 order by ctid")
    assert ran == [(job,) for job in jobs[1:]]
    assert [database.result(job) for job in jobs] == list(range(60))
    times = database.run(
        "select started_at, finished_at from jobs.job where id = any (%s) order by started_at, id",
        [jobs],
    )
    assert all(began <= ended for began, ended in times)
    assert all(before[1] <= after[0] for before, after in pairwise(times[1:])), "one by one"
    assert len({began for began, _ in times}) > 50
    tried = "select max(attempt), count(*) from jobs.attempts where job_id = any (%s)"
    assert database.run(tried, [jobs]) == [(1, 60)]


def test_functions_side_by_side_keep_their_order(database: Database) -> None:
    for task in ("app.one", "app.two"):
        put_many(database, task, [{"n": -1}] * PROOF)
    jobs = [put(database, ("app.one", "app.two")[n % 2], {"n": n}) for n in range(60)]
    database.drain()
    assert together(database) >= 40
    assert in_order(database) == list(range(60))
    assert [database.result(job) for job in jobs] == list(range(60))


@pytest.mark.parametrize("count", [1, 2, 40])
def test_beside_a_function_that_has_a_statement_of_its_own(database: Database, count: int) -> None:
    """Small groups between others are not worth a statement, and lose nothing."""
    prove(database, "app.is_inlined", [{}])
    for task, args in (("app.one", {"n": -1}), ("app.is_inlined", {})):
        put_many(database, task, [args] * PROOF)
    jobs = []
    for n in range(80):
        if n % count == 0:
            put(database, "app.is_inlined")
        jobs.append(put(database, "app.one", {"n": n}))
    database.drain()
    assert in_order(database) == list(range(80))
    assert [database.result(job) for job in jobs] == list(range(80))
    assert (together(database) > 40) == (count == 40)


def test_many_functions(database: Database) -> None:
    tasks = [f"app.f{n}" for n in range(40)]
    for task in tasks:
        database.run(
            f"create function {task}(n integer) returns integer language plpgsql"
            " as 'begin return app.one(n); end'"
        )
        put(database, task, {"n": -1})
    database.drain()
    know_as_short(database)
    for task in tasks:
        put_many(database, task, [{"n": -1}] * 25)
    jobs = [put(database, task, {"n": n}) for n, task in enumerate(tasks * 3)]
    database.drain()
    assert together(database) > 60
    assert [database.result(job) for job in jobs] == list(range(120))


@pytest.mark.parametrize(
    ("task", "args"),
    [
        ("app.reads_stable", {}),
        ("app.is_inlined", {}),
        ("app.has_default", {}),
        ("app.takes_domain", {"n": 7}),
        ("pg_catalog.query_to_xml", XML),
        ("app.calls_stable", {}),
        ("app.defines", {}),
    ],
)
def test_each_sees_what_was_committed_before_it_began(
    database: Database, task: str, args: dict[str, Any]
) -> None:
    """The snapshot of the chunk's one statement would be older."""
    database.run("insert into app.fact values (1)")
    prove(database, task, [args])
    put_many(database, "app.waits", [{"n": -1, "waits": False}] * PROOF)
    put_many(database, task, [args] * PROOF)
    put(database, "app.waits", {"n": 1, "waits": True})
    readers = put_many(database, task, [args] * 20)
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.run("insert into app.fact values (2)")
    wait_until(lambda: not database.background())
    database.drain()
    results = [str(database.result(job)) for job in readers]
    assert {re.findall(r"(?:^|>)(\d+)(?:<|$)", result)[0] for result in results} == {"2"}


def test_one_that_could_be_called_once_for_all_is_called_for_each(database: Database) -> None:
    prove(database, "app.calls_once", [{}])
    jobs = put_proved(database, "app.calls_once", [{}] * 30)
    database.drain()
    assert len({database.result(job) for job in jobs}) == 30


#: How a function of a kind of test_which_functions_join ends.
ENDS = {
    "returns table": "return query select 1, 2;",
    "returns setof": "return next 5;",
    "returns integer[]": "return array[n];",
    "returns app.few": "return 7;",
    "out m": "m := 'said';",
}


@pytest.mark.parametrize(
    ("header", "args", "joins"),
    [
        ("f() returns void language plpgsql", {}, True),
        ("f(n integer) returns integer[] language plpgsql", {"n": 1}, True),
        ("f(n integer, out m text) language plpgsql", {"n": 1}, True),
        ("f(n integer) returns setof integer language plpgsql", {"n": 1}, True),
        ("f(given jsonb) returns setof integer language plpgsql", {"n": 1}, True),
        ("f(n integer, m text default 'x, {y}') returns void language plpgsql", {"n": 1}, True),
        (
            "f(n integer, m date default now()) returns void language plpgsql",
            {"n": 1, "m": "2030-01-01"},
            True,
        ),
        (
            "f(n numrange, variadic m int[]) returns void language plpgsql",
            {"n": "[1,2)", "m": [1]},
            True,
        ),
        ("f(n integer) returns void language sql security definer", {"n": 1}, True),
        ("f(n integer) returns void language sql set work_mem = '8MB'", {"n": 1}, True),
        ("f(n integer, m date default now()) returns void language plpgsql", {"n": 1}, False),
        ("f(n integer) returns void language sql", {"n": 1}, False),
        ("f(n integer) returns void language plpgsql stable", {"n": 1}, False),
        ("f(n integer) returns void language plpgsql immutable", {"n": 1}, False),
        ("f() returns setof integer language plpgsql", {}, False),
        ("f(n app.few) returns void language plpgsql", {"n": 7}, False),
        ("f(n app.few[]) returns void language plpgsql", {"n": [7]}, False),
        ("f(n app.fact) returns void language plpgsql", {"n": {"n": 1}}, False),
        ("f(n integer) returns app.few language plpgsql", {"n": 1}, False),
        ("f(n integer) returns table (a integer, b integer) language plpgsql", {"n": 1}, False),
        ("f(n information_schema.cardinal_number) returns void language plpgsql", {"n": 1}, False),
    ],
)
def test_which_functions_join(
    database: Database, header: str, args: dict[str, Any], *, joins: bool
) -> None:
    """By what a function of this kind sees of how it is called; and it gives the same as alone."""
    sees = "insert into app.ran (n, together) values (1, app.is_together(v_stack))"
    if "language sql" in header:
        # its own text cannot ask; what it calls can
        database.run(f"create function app.{header} as 'select app.note_stack()'")
    else:
        ends = next((text for kind, text in ENDS.items() if kind in header), "")
        body = (
            f"declare v_stack text; begin get diagnostics v_stack = pg_context; {sees}; {ends} end"
        )
        if "stable" in header or "immutable" in header:
            body = "begin perform app.note_stack(); end"
        database.run(f"create function app.{header} as $$ {body} $$")
    alone = put(database, "app.f", args)
    database.drain()
    know_as_short(database)
    jobs = put_proved(database, "app.f", [args] * 30)
    database.drain()
    assert (together(database) > 0) == joins
    assert [database.result(job) for job in jobs] == [database.result(alone)] * 30
    assert database.value("select count(*) from app.ran where job = any (%s)", [jobs]) == 30


def test_each_has_the_path_that_alter_role_says(database: Database) -> None:
    """RESET ALL goes back to what the session had that launched theirs."""
    database.run(
        "create function app.path() returns text language plpgsql as $$ begin"
        " perform app.one(1); return current_setting('search_path'); end $$"
    )
    prove(database, "app.path", [{}])
    database.admin(f"alter role app in database {database.name} set search_path = app, other")
    jobs = put_many(database, "app.path", [{}] * 80)
    with database.connect() as launcher:
        launcher.execute("set search_path = other, public")
        launcher.execute("select jobs.start()")
        wait_until(lambda: state(database, jobs[-1]) == "succeeded")
    database.drain()
    assert together(database) >= 30
    assert {database.result(job) for job in jobs} == {"app, other"}


def test_between_statements_the_path_is_ours(database: Database) -> None:
    """An operator of another in the owner's path would be called with each job."""
    database.run(
        "create function app.trap(a timestamptz, b timestamptz) returns boolean language sql"
        " as $$ select nextval('app.hits') > 0 $$;"
        "create operator app.> (leftarg = timestamptz, rightarg = timestamptz, function = app.trap)"
    )
    database.admin(f"alter role app in database {database.name} set search_path = app, pg_catalog")
    jobs = put_proved(database, "app.one", [{"n": n} for n in range(40)])
    database.drain()
    assert together(database) >= 30
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert database.value("select is_called from app.hits") is False

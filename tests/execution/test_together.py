"""Jobs side by side in a chunk are called by one statement where that gives what each would get."""

import re
from itertools import pairwise
from typing import Any

import pytest
from stage import attempts, gate_shut, know_as_short, ledger, put, put_many, state, wait_at_gate
from support import Database, wait_until

PROOF = 40  # jobs of each function, of which 20 in a row are asked for

SETUP = """
create table app.fact (n integer);
create function app.facts() returns bigint language sql stable
begin atomic select count(*) from app.fact; end;

-- Whether the caller runs with others by one statement.
create function app.is_together(stack text) returns boolean language sql immutable
return position('run_together' in stack) > 0;
create table app.ran (n integer, together boolean, job bigint default jobs.current_id());
create function app.one(n integer, does text default '') returns integer language plpgsql as $$
declare
  v_stack text;
begin
  get diagnostics v_stack = pg_context;
  insert into app.ran (n, together) values (one.n, app.is_together(v_stack));
  if does = 'fails' then raise exception 'on purpose'; end if;
  if does = 'fails among others' and app.is_together(v_stack) then
    perform nextval('app.hits');
    raise exception 'not with others';
  end if;
  return n;
end $$;
create function app.two(n integer) returns integer language plpgsql
as $$ begin return app.one(n); end $$;

create function app.note_stack() returns void language plpgsql as $$
declare
  v_stack text;
begin
  get diagnostics v_stack = pg_context;
  insert into app.ran (n, together) values (1, app.is_together(v_stack));
end $$;
create function app.waits(n integer, waits boolean) returns integer language plpgsql as $$ begin
  insert into app.ledger (n) values (waits.n);
  if waits then perform pg_advisory_xact_lock(1); end if;
  return n;
end $$;

create function app.reads_stable() returns bigint language sql stable
begin atomic select count(*) from app.fact; end;
create function app.is_inlined() returns bigint language sql volatile return app.facts();
create function app.has_default(n bigint default app.facts()) returns bigint
language plpgsql volatile as $$ begin return n; end $$;
create domain app.few as integer check (value + app.facts() > 1);
create function app.takes_domain(n app.few) returns bigint language plpgsql volatile
as $$ begin return (select count(*) from app.fact); end $$;
create function app.calls_once() returns bigint language plpgsql immutable
as $$ begin return nextval('app.hits'); end $$;
create function app.calls_stable() returns bigint language plpgsql volatile
as $$ begin return app.facts(); end $$;
create function app.defines() returns bigint
language sql volatile security definer return app.facts();
"""

XML = {
    "query": "select count(*) from app.fact",
    "nulls": False,
    "tableforest": False,
    "targetns": "",
}


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


def prove(database: Database, task: str, args: list[dict[str, Any]]) -> None:
    """Have a function known to be short."""
    put_many(database, task, args)
    database.drain()
    know_as_short(database)


def put_proved(
    database: Database, task: str, args: list[dict[str, Any]], **options: object
) -> list[int]:
    """Enqueue jobs that prove a function, and then some that share one chunk."""
    proof = [dict(args[0]) for _ in range(PROOF)]
    for one in proof:
        if "does" in one:
            one.update(n=-1, does="")
    put_many(database, task, proof)
    return put_many(database, task, args, **options)


def together(database: Database) -> int:
    """Count the jobs that ran with others by one statement, and whose effect is there."""
    return int(database.value("select count(*) from app.ran where together and n >= 0"))


def in_order(database: Database) -> list[int]:
    """List the effects in the order in which they were written."""
    return [row[0] for row in database.run("select n from app.ran where n >= 0 order by ctid")]


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


def test_one_that_fails_undoes_only_itself(database: Database) -> None:
    args = [{"n": n, "does": "fails" if n == 20 else ""} for n in range(40)]
    jobs = put_proved(database, "app.one", args, max_attempts=1)
    database.drain()
    good = [n for n in range(40) if n != 20]
    assert in_order(database) == good
    assert {state(database, jobs[n]) for n in good} == {"succeeded"}
    assert state(database, jobs[20]) == "failed"
    error = database.job(jobs[20])["error"]
    assert (error["sqlstate"], error["message"]) == ("P0001", "on purpose")
    assert "one(integer,text)" in error["context"]
    assert "jobs_internal" not in error["context"]


def test_others_are_called_together_after_one_failed(database: Database) -> None:
    """It is not known which of them failed until they ran again."""
    for task in ("app.one", "app.two"):
        put_many(database, task, [{"n": -1}] * PROOF)
    put_many(database, "app.one", [{"n": -1, "does": ""}] * PROOF)
    put_many(database, "app.two", [{"n": -1}] * 20)
    bad = put(database, "app.one", {"n": 0, "does": "fails"}, max_attempts=1)
    put_many(database, "app.two", [{"n": -1}] * 100)
    put_many(database, "app.two", [{"n": n} for n in range(100)])
    database.drain()
    assert state(database, bad) == "failed"
    assert together(database) >= 60


def test_what_fails_with_others_only_is_done_once_and_not_tried_for_ever(
    database: Database,
) -> None:
    args = [{"n": n, "does": "fails among others"} for n in range(200)]
    jobs = put_proved(database, "app.one", args)
    database.drain()
    assert in_order(database) == list(range(200))
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert database.run("select max(attempt) from jobs.attempts") == [(1,)]
    assert database.value("select last_value from app.hits") <= 3


def test_a_cancel_of_one_that_has_not_begun_spares_the_others(database: Database) -> None:
    """A signal undoes the statement: it is asked which of its jobs were to be stopped."""
    put_many(database, "app.waits", [{"n": -1, "waits": False}] * 70)
    jobs = put_many(database, "app.waits", [{"n": n, "waits": n == 5} for n in range(20)])
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        for n in (6, 5):
            assert database.value("select jobs.cancel(%s)", [jobs[n]]) == "cancelling"
        wait_until(lambda: state(database, jobs[5]) == "cancelled")
    database.drain()
    assert state(database, jobs[6]) == "cancelled"
    assert ledger(database)[70:] == [n for n in range(20) if n not in (5, 6)]
    assert database.run("select max(attempt) from jobs.attempts") == [(1,)]


def test_a_signal_without_a_reason_names_all_that_it_may_have_met(database: Database) -> None:
    put_many(database, "app.waits", [{"n": -1, "waits": False}] * PROOF)
    jobs = put_many(database, "app.waits", [{"n": n, "waits": n == 5} for n in range(20)])
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin("select pg_cancel_backend(%s)", [pid])
        wait_until(lambda: not database.background())
        interrupted = database.admin(
            "select array_agg(id) from jobs_internal.job where interruptions = 1"
        )[0][0]
    assert jobs[5] in interrupted
    database.drain()
    assert ledger(database)[PROOF:] == list(range(20))
    assert {attempts(database, job)[0] for job in jobs} == {(1, "succeeded")}


def test_a_second_signal_while_it_looks_for_a_reason(database: Database) -> None:
    """The session writes down how its jobs ended all the same."""
    put_many(database, "app.waits", [{"n": -1, "waits": False}] * PROOF)
    jobs = put_many(database, "app.waits", [{"n": n, "waits": n == 5} for n in range(20)])
    looking = (
        "select 1 from pg_stat_get_activity(null) as a where a.pid = %s"
        " and a.wait_event = 'PgSleep'"
    )
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        for _ in range(2):
            database.admin("select pg_cancel_backend(%s)", [pid])
            wait_until(lambda: database.admin(looking, [pid]) or not database.background(), step=0)
        wait_until(lambda: not database.background())
        interrupted = database.admin(
            "select array_agg(id) from jobs_internal.job where interruptions = 1"
        )[0][0]
    assert jobs[5] in interrupted
    database.drain()
    assert ledger(database)[PROOF:] == list(range(20))


def test_a_temporary_table_ends_the_transaction(database: Database) -> None:
    """Constraints were set immediate, which holds to the commit."""
    database.run(
        "create function app.keeps(n integer) returns bigint language plpgsql as $$ begin"
        " if n > 0 then create temporary table kept (n integer); end if;"
        " insert into app.ran (n) values (keeps.n);"
        " return (select count(*) from pg_class where relname = 'kept'); end $$;"
        "create function app.xact() returns text language plpgsql as $$ begin"
        " return pg_current_xact_id(); end $$"
    )
    prove(database, "app.keeps", [{"n": -1}])
    prove(database, "app.xact", [{}])
    for task, args in (("app.keeps", {"n": 0}), ("app.xact", {})):
        put_many(database, task, [args] * PROOF)
    jobs = []
    for n in range(6):
        jobs += [put(database, "app.xact"), put(database, "app.keeps", {"n": n % 2})]
    database.drain()
    results = [database.result(job) for job in jobs]
    assert results[1::2] == [0, 1] * 3
    # one before the table is made and the one after the next are of different transactions
    assert [results[n] == results[n + 2] for n in (0, 2, 4, 6, 8)] == [True, False] * 2 + [True]


def test_none_begins_when_the_time_of_the_chunk_is_over(database: Database) -> None:
    """Its effects are seen by others, and the others of its claim run, no later than that."""
    database.admin("select jobs.configure('chunk_ms', '50')")
    database.run(
        "create function app.sleeps(n integer) returns text language plpgsql as $$ begin"
        " perform app.one(n), pg_sleep(0.02); return pg_current_xact_id(); end $$"
    )
    prove(database, "app.sleeps", [{"n": -1}])
    jobs = put_proved(database, "app.sleeps", [{"n": n} for n in range(40)])
    database.drain()
    results = [database.result(job) for job in jobs]
    assert together(database) > 0
    assert max(results.count(result) for result in results) <= 10


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

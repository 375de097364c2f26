"""A7, A8: temporary objects, types and settings of an attacker, where others look."""

from collections.abc import Iterator

import pytest
from stage import know_as_short, own_name, put, put_sql, state
from support import Database, sqlstate_of, wait_until

from .traps import CALLS, PLANTED, TRAPPED


@pytest.fixture(name="trapped")
def _trapped(database: Database) -> Iterator[Database]:
    """Traps of app, which every role may walk into; other has a job, and app has published a
    function to it.
    """
    put(database, "other.work", {"n": 1}, role="other", run_at="2100-01-01")
    database.run("select jobs.publish('app.note', 'other')")
    database.admin(f"grant create on database {database.name} to app")
    database.run(PLANTED.read_text(encoding="utf-8"))
    yield database
    assert database.admin("select * from vault.canary") == []


TEMPORARY = """
create temporary table job (id bigint); create temporary table session (id bigint);
create temporary table pg_proc (oid oid);
create temporary table pg_roles (rolname name, oid oid, rolsuper boolean);
create temporary table pg_prepared_statements (name text, statement text);
create temporary view pg_class as select vault.canary.* from vault.canary;
create type pg_temp.text as enum ('x');
create domain pg_temp.jsonb as pg_catalog.jsonb check (app.strike_if(value));
create domain pg_temp.oid as pg_catalog.oid check (app.strike_if(value));
create function pg_temp.me() returns oid language sql return 10;
create function pg_temp.now() returns timestamptz language sql return 'infinity'::timestamptz;
create function pg_temp.clock_timestamp() returns timestamptz
  language sql return 'infinity'::timestamptz;
create function pg_temp.set_config(a pg_catalog.text, b pg_catalog.text, c boolean)
  returns pg_catalog.text  language sql return app.strike_if(1)::pg_catalog.text;
create function pg_temp.format(a pg_catalog.text, variadic b pg_catalog.text[])
  returns pg_catalog.text  language sql return app.strike_if(1)::pg_catalog.text;
create function pg_temp.same(a integer, b integer) returns boolean language sql
  return app.strike_if(a);
create operator pg_temp.= (leftarg = integer, rightarg = integer, function = pg_temp.same);
create cast (integer as app.mine) with function app.mine(integer) as implicit;
"""


STRIKE = """
create function app.strike_if(anyelement) returns boolean language plpgsql as
$$ begin perform app.strike('temporary'); return true; end $$;
create type app.mine as (n integer);
create function app.mine(integer) returns app.mine language sql as
  $$ select row(1)::app.mine from app.strike_if(1) $$;
"""


def test_temporary_objects_reach_nobody(database: Database) -> None:
    """A7: everything of pg_temp that our functions might find, made by the caller,
    then every call of its own.
    """
    put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    database.run(STRIKE)
    with database.connect() as line:
        for statement in TEMPORARY.strip().split(";\n"):
            line.execute(statement.strip().rstrip(";").encode())
        line.execute("set search_path = pg_temp, app, pg_catalog")
        own = [call.replace("other.work", "app.note").replace("'app'", "'other'") for call in CALLS]
        calls = tuple(call for call in own if "published" not in call)
        for call in calls:
            code = sqlstate_of(lambda call=call: line.execute(call.encode()))
            assert code is None or code.startswith(("PW03", "PW07")), call
    database.drain()
    assert database.run("select distinct who, login from app.witness where who <> 'app'") == []
    assert database.admin("select * from vault.canary") == []


@pytest.mark.parametrize("mode", ["chunk", "alone"])
def test_temporary_objects_of_a_job_do_not_reach_the_worker(database: Database, mode: str) -> None:
    """A7: made by a job in the worker's session, whose own steps come right after,
    and the next job.
    """
    statements = [
        text.strip().rstrip(";")
        for text in TEMPORARY.split(";\n")
        if text.strip() and "cast" not in text
    ]
    plants = "".join(f"execute $x${text}$x$; " for text in statements)
    path = "perform set_config('search_path', 'pg_temp, app, pg_catalog', false);"
    database.run(
        f"{STRIKE} create function app.plant() returns void language plpgsql as $do$"
        f" begin {plants} {path} end $do$"
    )
    jobs = [put(database, task, args) for task, args in (("app.plant", {}), ("app.note", {"n": 1}))]
    database.drain()
    if mode == "chunk":
        know_as_short(database)
    jobs += [
        put(database, task, args) for task, args in 2 * (("app.plant", {}), ("app.note", {"n": 1}))
    ]
    told = "perform jobs.log('x'), jobs.progress(1, 2, 'x');"
    jobs.append(put_sql(database, f"do $$ begin perform app.plant(); commit; {told} end $$"))
    jobs.append(put(database, "app.note", {"n": 1}))
    database.drain()
    assert [database.job(job)["error"] for job in jobs] == [None] * len(jobs)
    assert database.run("select * from app.witness") == []
    assert database.admin("select * from vault.canary") == []


def test_a_type_of_the_attackers_is_cast_with_no_rights_but_the_callers(database: Database) -> None:
    """A7: a domain's check and a cast to json of app's types run as app, never as we do or as who
    enqueues for it.
    """
    database.run(
        STRIKE
        + """
    create domain app.trapped as integer check (app.strike_if(value));
    create function app.to_json(app.mine) returns json language sql as
      $$ select '1'::json from app.strike_if(1) $$;
    create cast (app.mine as json) with function app.to_json(app.mine);
    create function app.take(a app.trapped, b app.mine default null, c app.trapped[] default null)
      returns app.mine
    language sql as $$ select row(1)::app.mine $$;
    """
    )
    args = {"a": 1, "b": {"n": 1}, "c": [1, 2]}
    jobs = [put(database, "app.take", args), put(database, "app.take", {"a": 2})]
    database.run("select jobs.enqueue_many('app.take', array[jsonb_build_object('a', 1)])")
    database.run("select jobs.publish('app.take', 'other')")
    jobs.append(
        database.value(
            "select jobs.enqueue_published('app.take', jsonb_build_object('a', 1))", role="other"
        )
    )
    database.drain()
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert database.run("select distinct who, login from app.witness") == [("app", "app")]
    assert database.admin("select * from vault.canary") == []


def test_roles_and_databases_that_set_another_role(database: Database) -> None:
    """A1, A7: ALTER ROLE SET role, whether the owner may take it or not:
    its jobs run as the owner.
    """
    name = own_name("shifty")
    database.admin(
        f"create role {name} login in role jobs_producer, jobs_runner;"
        f" grant usage on schema app to {name}"
    )
    if database.server.password:
        database.admin(f"alter role {name} password '{database.server.password}'")
    database.run(
        "grant all on app.witness to public; create function app.tell() returns text"
        " language sql as"
        " $$ select current_user || ' ' || session_user $$"
    )
    try:
        for role in ("postgres", "other", "jobs_producer"):
            database.admin(f"alter role {name} in database {database.name} set role = '{role}'")
            with database.server.connect(name, database.name) as line:
                line.execute("set role none")
                found = line.execute("select jobs.enqueue('app.tell')").fetchone()
                assert found
                line.execute("select jobs.start()")
                wait_until(lambda job=found[0]: state(database, job) == "succeeded")
                wait_until(lambda: not database.background())
                said = line.execute(
                    "select result from jobs.job where id = %s", [found[0]]
                ).fetchone()
                assert said == (f"{name} {name}",), role
    finally:
        wait_until(lambda: not database.background())
        database.admin(f"drop owned by {name}; drop role {name}")


def test_types_of_that_name_are_not_those_of_the_arguments(trapped: Database) -> None:
    """A7: a domain of the attacker's that is called like a type of the server's,
    before it on the enqueuer's path.
    """
    trapped.admin("grant create on schema other to other")
    trapped.run(
        "create function other.typed(t text, j jsonb, n integer[] default '{1}') returns text"
        " language sql as 'select $1 || $2::pg_catalog.text || $3::pg_catalog.text'",
        role="other",
    )
    with trapped.connect("other") as line:
        line.execute(f"set search_path = {TRAPPED}")
        for args in ('{"t": "a", "j": [1]}', '{"t": "a", "j": [1], "n": [2]}'):
            line.execute(
                "select jobs.enqueue('other.typed', $1::pg_catalog.jsonb)".replace(
                    "$1", f"'{args}'"
                ).encode()
            )
    trapped.drain(role="other")
    results = trapped.run(
        "select result from jobs.job where task = 'other.typed' order by id", role="other"
    )
    assert results == [("a[1]{1}",), ("a[1]{2}",)]

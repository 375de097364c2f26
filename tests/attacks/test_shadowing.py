"""A7, A8: names that app plants where others look, by every route: enqueue, the worker, views,
the supervisor.

The traps of tests/catalog/planted.sql stand in schema trap: every function and operator of
pg_catalog that takes ordinary types, and the types that our functions name; each raises when it is
used. Routes: the session, ALTER ROLE, ALTER DATABASE, connection options, a job's own setting, a
function's own SET, temporary objects. What stands in the way of an installation is in
tests/schema/test_install.py; A8 here: an upgrade.
"""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from stage import know_as_short, own_name, put, put_sql, state
from support import Database, sqlstate_of, wait_until

from pyworker.errors import SchemaError
from pyworker.schema import apply_schema

PLANTED = Path(__file__).parents[1] / "catalog" / "planted.sql"
TRAPPED = "trap, app, pg_catalog"

#: What other calls with the traps first on its path.
CALLS = (
    """select jobs.enqueue('other.work', '{"n": 1}', unique_key => 'k',
        settings => '{"work_mem": "1MB"}',
    note => '{"x": 1}')""",
    """select jobs.enqueue('other.work', '{"n": 1}', unique_key => 'k')""",
    """select jobs.enqueue_many('other.work', '{"{\\"n\\": 1}"}')""",
    (
        "select jobs.enqueue_sql('insert into other.ledger (n) values (2)', done_when => 'true',"
        " timeout => '1 minute')"
    ),
    "select jobs.publish('other.work', 'app', timeout => '1 s', per_minute => 100)",
    """select jobs.enqueue_published('app.note', '{"n": 1}', note => '{}', unique_key => 'k')""",
    "select jobs.unpublish(2)",
    "select jobs.cancel(1)",
    "select jobs.retry(1)",
    "select jobs.run_now(1)",
    "select jobs.set_priority(1, 'high')",
    "select jobs.wait(1, '1 ms')",
    "call jobs.await(1, '1 ms')",
    "select jobs.current_id()",
    "select jobs.progress(1, 2, 'x')",
    "select jobs.log('x', fields => '{}')",
    "select jobs.start()",
    *(
        f"select * from jobs.{view}"
        for view in (
            "job",
            "queued",
            "running",
            "failed",
            "finished",
            "attempts",
            "cost",
            "queues",
            "sessions",
        )
    ),
    *(
        f"select * from jobs.{view}"
        for view in ("health", "settings", "retry_rules", "quotas", "publications")
    ),
    *(f"select * from jobs.{view}" for view in ("admitted_roles", "log_lines", "supervisors")),
)


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


def _sprung(
    line: psycopg.Connection[tuple[object, ...]], calls: tuple[str, ...] = CALLS
) -> list[tuple[str, str]]:
    """Make the calls; gives those in which a trap was sprung, or that failed for another reason
    than one of ours.
    """
    found = []
    for call in calls:
        try:
            line.execute(call.encode())
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("PW03"):
                found.append((call, str(error)))
    return found


@pytest.mark.parametrize("route", ["session", "options", "role", "database", "function"])
def test_a_path_by_every_route(trapped: Database, route: str) -> None:
    """A7: SET, connection options, ALTER ROLE, ALTER DATABASE, the SET of a function:
    no trap is ever sprung.
    """
    if route == "role":
        trapped.admin(f"alter role other in database {trapped.name} set search_path = {TRAPPED}")
    elif route == "database":
        trapped.admin(f"alter database {trapped.name} set search_path = {TRAPPED}")
    with trapped.connect(
        "other", **({"search_path": TRAPPED} if route == "options" else {})
    ) as line:
        calls = CALLS
        if route == "session":
            line.execute(f"set search_path = {TRAPPED}".encode())
        elif route == "function":
            line.execute(
                "create function other.call(what text) returns void language plpgsql"
                f" set search_path = {TRAPPED}"
                " as $$ begin execute what; end $$".encode()
            )
            inside = [call for call in CALLS if not call.startswith("call") and "start" not in call]
            calls = tuple(f"select other.call($call${call}$call$)" for call in inside)
        else:
            path = line.execute("show search_path").fetchone()
            assert path == (TRAPPED,)
        if route != "function":
            with pytest.raises(psycopg.Error, match="planted"):
                line.execute("select 1 + 1")
        assert _sprung(line, calls) == []
    trapped.drain(role="other")


@pytest.mark.parametrize("who", ["supervisor", "operator"])
def test_the_path_of_those_who_serve_all(trapped: Database, who: str) -> None:
    """A7: a supervisor's and an operator's own calls, with the traps first on the path of the whole
    database.
    """
    trapped.admin(f"alter database {trapped.name} set search_path = {TRAPPED}")
    put(trapped, "other.work", role="other")
    with trapped.connect(who) as line:
        with pytest.raises(psycopg.Error, match="planted"):
            line.execute("select 1 + 1")
        calls = {
            "supervisor": (
                "select jobs_internal.supervisor_open('x', 'x', 1, 'x')",
                "select jobs_internal.supervisor_tick(1)",
                "select * from jobs_internal.supervisor_send_stop_signals(1)",
                "select jobs_internal.supervisor_sleep(1, true)",
                """select jobs_internal.note_unreached(1, '{"app": "x"}')""",
                "select * from jobs_internal.take_outcomes(10)",
                "select jobs_internal.runners()",
                "select jobs_internal.maintain()",
                "select jobs_internal.supervisor_close(1)",
            ),
            "operator": (
                "select jobs.create_queue('q', 2, '1 s', 3, '1 s', '2 s', '3 days', true, 10)",
                "select jobs.alter_queue('q', 1, accepting => false)",
                "select jobs.pause('q')",
                "select jobs.resume('q')",
                "select jobs.pause()",
                "select jobs.resume()",
                "select jobs.drop_queue('q')",
                "select jobs.configure('log_lines', '1000')",
                "select jobs.set_retry_rule('40001', true, 'x')",
                "select jobs.set_quota('app', 10, 10, 1000, 1000, 10, 10, 'wait')",
                "select jobs.set_quota('app')",
                "select jobs.set_priority(1, 'low')",
                "select jobs.cancel(1)",
                "select jobs.retry(1)",
                "select jobs.run_now(1)",
                "select jobs.unpublish(1)",
                "select jobs.reconcile()",
                "select * from jobs.audit",
                "select * from jobs.job",
            ),
        }[who]
        assert _sprung(line, calls) == []
    trapped.admin("delete from jobs_internal.supervisor")


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


# A8: what was there before.


@pytest.mark.parametrize(
    "plant",
    [
        "create function jobs.enqueue(text) returns bigint language sql return 1",
        "create function jobs_internal.caller(integer) returns oid language sql return 10",
        "alter function jobs.cancel(bigint) owner to app",
        (
            "create table jobs_internal.planted (n integer); alter table jobs_internal.planted"
            " owner to app"
        ),
        "create operator jobs_internal.= (leftarg = bigint, rightarg = bigint, function = int8eq)",
        "create schema planted; alter schema jobs owner to app",
    ],
)
def test_what_somebody_put_into_our_schemas_stops_an_upgrade(
    database: Database, plant: str
) -> None:
    """A8: with CREATE on a schema of ours for a moment, say: found before anything of it is run
    with more rights.
    """
    database.admin(plant)
    database.close()
    with pytest.raises(SchemaError):
        apply_schema(database.dsn("postgres"), "install")


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

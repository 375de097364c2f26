"""A7, A8: names that app plants where others look, by every route: enqueue, the worker, views,
the supervisor.

The traps of tests/catalog/planted.sql stand in schema trap: every function and operator of
pg_catalog that takes ordinary types, and the types that our functions name; each raises when it is
used. Routes: the session, ALTER ROLE, ALTER DATABASE, connection options, a job's own setting, a
function's own SET, temporary objects. What stands in the way of an installation is in
tests/schema/test_install.py; A8 here: an upgrade.
"""

from collections.abc import Iterator

import psycopg
import pytest
from stage import put
from support import Database

from pyworker.errors import SchemaError
from pyworker.schema import apply_schema

from .traps import CALLS, PLANTED, TRAPPED, traps_sprung


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
        assert traps_sprung(line, calls) == []
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
        assert traps_sprung(line, calls) == []
    trapped.admin("delete from jobs_internal.supervisor")


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

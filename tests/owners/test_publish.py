"""Delegation: an owner publishes one function, and another role enqueues exactly that,
to run as the owner.
"""

import psycopg
import pytest
from psycopg.types.json import Jsonb
from stage import state, wait_for
from support import Database, sqlstate_of

SETUP = """
create table app.refund (n integer, by text default current_user);
create function app.refund(n integer, why text default 'none') returns text language plpgsql as
$$ begin insert into app.refund (n) values (refund.n); return current_user || ':' || why; end $$;
create type app.rank as enum ('low', 'high');
create function app.ranked(r app.rank) returns text language sql return r::text;
"""


@pytest.fixture(name="published")
def _published(database: Database) -> tuple[Database, int]:
    """A database where app has published app.refund to other."""
    database.run(SETUP)
    return database, database.value("select jobs.publish('app.refund', 'other', pending => 3)")


def _put(
    database: Database, task: str = "app.refund", role: str = "other", **options: object
) -> int:
    given = {"args": Jsonb(options.pop("args", {"n": 1})), **options}
    names = "".join(f", {name} => %({name})s" for name in given)
    query = f"select jobs.enqueue_published(%(task)s{names})"
    return int(database.value(query, {"task": task, **given}, role=role))


def test_it_runs_as_its_publisher(published: tuple[Database, int]) -> None:
    database, _ = published
    assert sqlstate_of(lambda: database.run("select app.refund(1)", role="other")) == "42501"
    job = _put(database, args={"n": 7, "why": "broken"})
    database.drain()

    assert database.run("select n, by from app.refund") == [(7, "app")]
    row = database.job(job)
    assert (row["owner"], row["enqueued_by"], row["result"]) == ("app", "other", "app:broken")


def test_who_enqueued_it_sees_its_state_and_nothing_of_the_publisher(
    published: tuple[Database, int],
) -> None:
    database, _ = published
    job = _put(database)
    failing = _put(database, args={"n": None})
    database.run("alter table app.refund alter n set not null")
    database.drain()

    row = database.job(job, role="other")
    assert (row["state"], row["args"], row["result"], row["error"]) == (
        "succeeded",
        {"n": 1},
        None,
        None,
    )
    assert database.job(failing, role="other")["error"] is None
    assert database.job(failing)["error"]["sqlstate"] == "23502"
    assert database.value("select jobs.wait(%s, '1 s')", [job], role="other") == "succeeded"
    for view in ("attempts", "log_lines", "finished", "failed"):
        assert database.run(f"select * from jobs.{view}", role="other") == [], view
    for call in ("retry", "run_now"):
        refused = sqlstate_of(
            lambda call=call: database.run(f"select jobs.{call}(%s)", [failing], role="other")
        )
        assert refused == "PW030"


def test_who_enqueued_it_may_cancel(published: tuple[Database, int]) -> None:
    database, _ = published
    job = _put(database)
    assert database.value("select jobs.cancel(%s)", [job], role="other") == "cancelled"
    database.drain()
    assert database.run("select * from app.refund") == []


@pytest.mark.parametrize(
    ("code", "task", "args"),
    [
        ("PW076", "app.note", {"n": 1}),
        ("PW076", "app.refund(text)", {"n": 1}),
        ("PW003", "app.refund", {"n": 1, "m": 2}),
        ("PW004", "app.refund", {}),
        ("PW005", "app.refund", {"n": "many"}),
    ],
)
def test_exactly_that_function_with_arguments_that_fit(
    published: tuple[Database, int], code: str, task: str, args: dict[str, object]
) -> None:
    database, _ = published
    assert sqlstate_of(lambda: _put(database, task, args=args)) == code


def test_nobody_else_may(published: tuple[Database, int]) -> None:
    database, _ = published
    for role in ("producer", "app"):
        assert sqlstate_of(lambda role=role: _put(database, role=role)) == "PW076"
    assert sqlstate_of(lambda: _put(database, role="operator")) == "42501"
    assert database.run("select * from jobs.publications", role="producer") == []
    assert database.value("select publisher from jobs.publications", role="other") == "app"


def test_only_its_owner_publishes_a_function(database: Database) -> None:
    database.run("create function app.mine() returns void language sql return null")
    publish = "select jobs.publish('app.mine', 'producer')"
    database.run("grant usage on schema app to other")
    assert sqlstate_of(lambda: database.run(publish, role="other")) == "PW006"
    assert sqlstate_of(lambda: database.run("select jobs.publish('app.mine', 'app')")) == "PW075"
    assert sqlstate_of(lambda: database.run("select jobs.publish('app.mine', 'public')")) == "PW075"


def test_a_type_of_the_publisher_is_cast_by_the_publisher(database: Database) -> None:
    """Its code must not run with the rights of the enqueuer, or with ours."""
    database.run(SETUP)
    database.run("select jobs.publish('app.ranked', 'other')")
    good = _put(database, "app.ranked", args={"r": "high"})
    bad = _put(database, "app.ranked", args={"r": "middle"})
    database.drain()
    assert database.result(good) == "high"
    assert (state(database, bad), database.job(bad)["error"]["sqlstate"]) == ("failed", "22P02")


def test_its_limits_hold(published: tuple[Database, int]) -> None:
    database, number = published
    jobs = [_put(database) for _ in range(3)]
    assert sqlstate_of(lambda: _put(database)) == "PW074"
    database.run("select jobs.cancel(%s)", [jobs[0]], role="other")
    assert _put(database) > 0
    again = database.value(
        "select jobs.publish('app.refund', 'other', timeout => '5 s', per_minute => 5)"
    )
    assert again == number
    job = _put(database, timeout="1 hour")
    assert database.job(job)["timeout"].total_seconds() == 5
    assert sqlstate_of(lambda: _put(database)) is None
    assert [sqlstate_of(lambda: _put(database)) for _ in range(6)][-1] == "PW074"


def test_its_unique_keys_are_no_keys_of_the_publisher(published: tuple[Database, int]) -> None:
    database, _ = published
    own = database.value("""select jobs.enqueue('app.refund', '{"n": 1}', unique_key => 'k')""")
    job = _put(database, unique_key="k")
    assert job != own
    assert _put(database, unique_key="k") == job


def test_what_is_revoked_never_starts(published: tuple[Database, int]) -> None:
    database, number = published
    waiting = _put(database)
    with database.connect("other") as open_one:
        open_one.autocommit = False
        found = open_one.execute(
            "select jobs.enqueue_published('app.refund', '{\"n\": 2}')"
        ).fetchone()
        assert found
        assert database.value("select jobs.unpublish(%s)", [number]) == 1
        open_one.commit()
    assert state(database, waiting) == "cancelled"
    database.drain()
    row = database.job(found[0])
    assert (row["state"], row["error"]["sqlstate"]) == ("failed", "PW042")
    assert "revoked" in row["error"]["message"]
    assert sqlstate_of(lambda: _put(database)) == "PW076"
    assert database.run("select * from app.refund") == []


def test_who_is_no_member_any_more_starts_nothing(database: Database) -> None:
    database.run(SETUP)
    database.admin("create role pw_clerks; grant pw_clerks to other")
    try:
        database.run("select jobs.publish('app.refund', 'pw_clerks')")
        job = _put(database)
        database.admin("revoke pw_clerks from other")
        database.drain()
        assert (state(database, job), database.job(job)["error"]["sqlstate"]) == ("failed", "PW042")
    finally:
        database.admin("drop role pw_clerks")


def test_another_function_of_that_name_is_not_run(published: tuple[Database, int]) -> None:
    """Dropped and made by somebody else between enqueue and run: refused."""
    database, _ = published
    job = _put(database)
    database.run("drop function app.refund; grant usage, create on schema app to other")
    database.run(
        "create function app.refund(n integer, why text default 'x') returns text"
        " language sql return 'taken'",
        role="other",
    )
    database.drain()
    assert (state(database, job), database.job(job)["error"]["sqlstate"]) == ("failed", "PW042")
    assert sqlstate_of(lambda: _put(database)) == "PW042"


def test_operators_revoke_and_it_is_kept(published: tuple[Database, int]) -> None:
    database, number = published
    assert (
        sqlstate_of(lambda: database.run("select jobs.unpublish(%s)", [number], role="other"))
        == "PW077"
    )
    database.run("select jobs.unpublish(%s)", [number], role="operator")
    deeds = database.run(
        "select login, action, object from jobs.audit order by id", role="operator"
    )
    assert deeds == [
        ("app", "publish", "app.refund(integer,text) to other"),
        ("operator", "unpublish", "app.refund(integer,text) to other"),
    ]


def test_the_publishers_quota_counts(published: tuple[Database, int]) -> None:
    database, _ = published
    database.run("select jobs.set_quota('app', pending => 1)", role="operator")
    assert _put(database) > 0
    assert sqlstate_of(lambda: _put(database)) == "PW071"


def test_a_published_procedure_runs_as_its_publisher(database: Database) -> None:
    database.run("create table app.seen (by text)")
    database.run(
        "create procedure app.look(n integer) language plpgsql as"
        " $$ begin insert into app.seen values (current_user || n); commit; end $$"
    )
    database.run("select jobs.publish('app.look', 'other')")
    job = _put(database, "app.look", args={"n": 3})
    database.drain()
    assert wait_for(database, job)["state"] == "succeeded"
    assert database.run("select by from app.seen") == [("app3",)]


def test_the_argument_that_does_not_fit_is_named(published: tuple[Database, int]) -> None:
    database, _ = published
    with pytest.raises(psycopg.Error) as caught:
        _put(database, args={"n": "many", "why": "x"})
    assert caught.value.diag.message_primary == 'argument "n" cannot be cast to integer'
    with pytest.raises(psycopg.Error) as caught:
        _put(database, note=Jsonb([1]))
    assert caught.value.diag.message_primary == "note must be a JSON object"


def test_its_signature_as_psql_prints_it(published: tuple[Database, int]) -> None:
    """What \\df shows of it names it too."""
    database, _ = published
    shown = database.run(
        "select pg_get_function_arguments(oid), pg_get_function_identity_arguments(oid),"
        " oidvectortypes(proargtypes)"
        " from pg_proc where proname = 'refund'"
    )[0]
    for arguments in shown:
        # as regprocedure writes it
        listed = arguments.replace(", ", ",") if arguments == shown[2] else arguments
        assert _put(database, f"app.refund({listed})") > 0

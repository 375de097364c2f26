"""A11 to A13: what becomes of a job when its function, its owner or a right changes
before it runs."""

from collections.abc import Iterator

import psycopg
import pytest
from stage import know_as_short, own_name, put, put_sql, state
from support import Database, sqlstate_of, wait_until

PREY = "create function app.prey(n integer) returns text language sql as"


TAKEN = f"{PREY} $$ select 'taken' $$"


SWAPS = {
    "dropped": ("drop function app.prey(integer)", "PW042"),
    "made anew by its owner": (
        f"drop function app.prey(integer); set role app; {PREY} $$ select 'anew' $$",
        None,
    ),
    "given to another": ("alter function app.prey(integer) owner to other", "PW042"),
    "made anew by another": (f"drop function app.prey(integer); set role other; {TAKEN}", "PW042"),
    "closed": ("revoke execute on function app.prey(integer) from public, app", "42501"),
    "moved to a closed schema": ("alter function app.prey(integer) set schema other", "42501"),
    "made an aggregate": (
        (
            "drop function app.prey(integer); create aggregate app.prey(integer) (sfunc = int4pl,"
            " stype = integer)"
        ),
        "PW042",
    ),
    "made another": (
        "drop function app.prey(integer); " + TAKEN.replace("integer", "text"),
        "PW042",
    ),
    "renamed": (
        f"alter function app.prey(integer) rename to hidden; set role other; {TAKEN}",
        None,
    ),
    "its schema renamed": (
        (
            "alter schema app rename to moved; set role other; create schema app;"
            " grant all on schema app to public; "
        )
        + TAKEN,
        None,
    ),
}


@pytest.mark.parametrize("how", SWAPS)
@pytest.mark.parametrize("known", [True, False], ids=["chunk", "alone"])
def test_a_function_that_is_not_what_it_was(database: Database, how: str, *, known: bool) -> None:
    """A11: by number and owner; another function of that name is never run in its place by accident
    of the name.
    """
    database.admin(
        f"grant create on database {database.name} to other; grant all on schema app to other"
    )
    database.admin("update jobs_internal.queue set max_attempts = 1")
    database.run(
        "create function app.prey(n integer) returns text language sql as $$ select 'prey ' || n $$"
    )
    put(database, "app.prey", {"n": 0})
    database.drain()
    if known:
        know_as_short(database)
    jobs = [put(database, "app.prey", {"n": n}) for n in (1, 2)]
    swap, code = SWAPS[how]
    database.admin(f"{swap}; reset role")
    database.drain()
    found = [database.job(job) for job in jobs]
    if code is None:
        assert [job["state"] for job in found] == ["succeeded", "succeeded"]
        assert "taken" not in [job["result"] for job in found]
        if "renamed" in how:  # found again by its number, wherever it is now
            assert [job["result"] for job in found] == ["prey 1", "prey 2"]
    else:
        assert [(job["state"], job["error"]["sqlstate"]) for job in found] == [("failed", code)] * 2
    assert database.admin("select * from vault.canary") == []


@pytest.fixture(name="victim")
def _victim(database: Database) -> Iterator[str]:
    """A role of the test's own that may enqueue and run."""
    name = own_name("victim")
    database.admin(f"create role {name} login in role jobs_producer, jobs_runner")
    if database.server.password:
        database.admin(f"alter role {name} password '{database.server.password}'")
    database.admin(f"grant usage on schema app to {name}; grant all on app.ledger to {name}")
    yield name
    wait_until(lambda: not database.background(), 10)
    for role in (name, f"{name}_new"):
        if database.admin("select 1 from pg_roles where rolname = %s", [role]):
            database.admin(f"drop owned by {role}; drop role {role}")


def _jobs_of(database: Database, role: str) -> list[int]:
    jobs = [
        put(database, "app.note", {"n": 1}, role=role),
        put_sql(database, "insert into app.ledger (n) values (2)", role=role),
        put_sql(
            database, "do $$ begin insert into app.ledger (n) values (3); commit; end $$", role=role
        ),
    ]
    database.line(role).close()
    return jobs


def test_a_role_that_takes_the_name_of_a_dropped_one_gets_none_of_its_jobs(
    database: Database, victim: str
) -> None:
    """A12, A13: jobs belong to a number, not to a name: not run, not seen and not steered by who
    has the name now.
    """
    jobs = _jobs_of(database, victim)
    mine = put(database, "app.note", {"n": 9})
    database.admin(
        f"drop owned by {victim}; drop role {victim};"
        f" create role {victim} login in role jobs_producer, jobs_runner"
    )
    if database.server.password:
        database.admin(f"alter role {victim} password '{database.server.password}'")
    assert database.run("select * from jobs.job", role=victim) == []
    for call in ("cancel", "retry", "run_now"):
        for job in jobs:
            assert (
                sqlstate_of(
                    lambda call=call, job=job: database.run(
                        f"select jobs.{call}(%s)", [job], role=victim
                    )
                )
                == "PW030"
            )
    database.run("select jobs.start()", role=victim)
    wait_until(lambda: not database.background())
    database.drain()
    assert state(database, mine) == "succeeded", "one owner's loss is nobody else's"
    assert database.admin("select n from app.ledger") == [(9,)]
    assert {state(database, job) for job in jobs} == {"scheduled"}
    assert [database.value("select jobs.cancel(%s)", [job], role="operator") for job in jobs] == [
        "cancelled"
    ] * 3


def test_a_renamed_role_keeps_its_jobs_and_the_name_gives_none(
    database: Database, victim: str
) -> None:
    """A12: who takes the old name takes nothing with it."""
    jobs = _jobs_of(database, victim)
    database.admin(
        f"alter role {victim} rename to {victim}_new;"
        f" create role {victim} login in role jobs_producer, jobs_runner"
    )
    if database.server.password:
        for role in (victim, f"{victim}_new"):
            database.admin(f"alter role {role} password '{database.server.password}'")
    assert database.run("select * from jobs.job", role=victim) == []
    database.run("select jobs.start()", role=victim)
    wait_until(lambda: not database.background())
    assert {state(database, job) for job in jobs} == {"scheduled"}
    database.drain(role=f"{victim}_new")
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert sorted(row[0] for row in database.admin("select n from app.ledger")) == [1, 2, 3]


LOST = {
    "nologin": ("alter role {r} nologin", "alter role {r} login", None),
    "no runner": ("revoke jobs_runner from {r}", "grant jobs_runner to {r}", None),
    "powerful": ("alter role {r} createrole", "alter role {r} nocreaterole", None),
    "no right on the table": ("revoke all on app.ledger from {r}", "", "42501"),
    "no right on the schema": ("revoke usage on schema app from {r}", "", "42501"),
}


@pytest.mark.parametrize("what", LOST)
def test_an_owner_that_lost_a_right_runs_nothing_with_it(
    database: Database, victim: str, what: str
) -> None:
    """A12: fails closed, concerns that owner alone, and a right that comes back is enough."""
    lose, regain, code = LOST[what]
    jobs = _jobs_of(database, victim)
    database.admin("update jobs_internal.job set max_attempts = 1")
    mine = put(database, "app.note", {"n": 9})
    line = database.server.connect(victim, database.name)
    database.admin(lose.format(r=victim))
    try:
        line.execute("select jobs.start()")
    except psycopg.Error as error:
        assert error.sqlstate in ("42501", "PW019", "28000")  # noqa: PT017
    wait_until(lambda: not database.background())
    database.drain()
    assert state(database, mine) == "succeeded"
    assert database.admin("select n from app.ledger") == [(9,)]
    if code is not None:
        wait_until(lambda: {state(database, job) for job in jobs} == {"failed"})
        assert {database.job(job, role="postgres")["error"]["sqlstate"] for job in jobs} == {code}
    else:
        assert {state(database, job) for job in jobs} <= {"queued", "scheduled"}
        database.admin(regain.format(r=victim))
        database.drain(role=victim)
        assert {state(database, job) for job in jobs} == {"succeeded"}
    line.close()


def test_the_old_name_of_a_schema_is_not_enqueued(database: Database) -> None:
    """A11: a call that was known before its schema was renamed is made anew; who has the name now
    gets nothing.
    """
    database.admin(f"grant create on database {database.name} to other")
    database.run(f"{PREY} $$ select 'prey' $$")
    put(database, "app.prey", {"n": 0})
    database.drain()
    database.admin(
        f"alter schema app rename to moved; set role other; create schema app; {TAKEN}; reset role"
    )
    database.admin("grant all on schema app to public")
    job = put(database, "moved.prey", {"n": 0})
    assert database.job(job)["task"] == "moved.prey"
    database.drain()
    assert (database.result(job), database.job(job)["task"]) == ("prey", "moved.prey")

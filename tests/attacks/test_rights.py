"""A6, A10 to A13: what may be a job, and what becomes of it when functions, rights and roles change
before it runs.

EXECUTE is checked at enqueue for the owner, and again by the server itself when the job runs as
its owner.
"""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg.types.json import Jsonb
from stage import know_as_short, own_name, put, put_sql, state
from support import Database, sqlstate_of, wait_until

# A6, A10: what may be a job.

#: Functions that reach out of the database, and what the owner app is told when it enqueues them.
REACHING = {
    "pg_catalog.pg_read_file(text)": ("PW006", {"$1": "postgresql.conf"}),
    "pg_catalog.pg_read_binary_file(text)": ("PW006", {"$1": "postgresql.conf"}),
    "pg_catalog.pg_ls_dir(text)": ("PW006", {"$1": "."}),
    "pg_catalog.lo_export(oid, text)": ("PW006", {"$1": 1, "$2": "/tmp/planted"}),
    "pg_catalog.lo_import(text)": ("PW006", {"$1": "/etc/passwd"}),
    "pg_catalog.pg_reload_conf()": ("PW006", {}),
    "pg_catalog.pg_switch_wal()": ("PW006", {}),
    "pg_catalog.pg_promote(boolean, integer)": ("PW006", {}),
    "pg_catalog.pg_stat_reset()": ("PW006", {}),
    "pg_catalog.pg_stat_file(text)": ("PW006", {"$1": "x"}),
    "pg_catalog.pg_terminate_backend(integer, bigint)": (None, {"pid": 1}),
    "jobs_internal.rescue(oid)": ("PW006", {}),
    "jobs_internal.end_attempt(integer, text, integer, jobs_internal.attempt_result)": (
        "PW006",
        dict.fromkeys(("p_pid", "p_state", "p_expected", "p_result")),
    ),
    "jobs_internal.maintain()": ("PW006", {}),
    "jobs.admit_role(text)": ("PW006", {"role": "app"}),
    "jobs.configure(text, text)": ("PW006", {"name": "log_lines", "value": "1"}),
    "jobs.set_quota(text, bigint, integer, integer, integer, integer, bigint, text)": (
        "PW006",
        {"role": "app"},
    ),
    "pgmq.send(text, jsonb)": ("PW006", {"queue_name": "pyworker_1", "msg": {}}),
    "other.closed()": ("PW006", {}),
    "other.work(integer)": ("PW006", {"n": 1}),
}


@pytest.mark.parametrize("task", REACHING)
def test_what_reaches_further_than_its_owner_is_no_job(shared: Database, task: str) -> None:
    """A10: files, large objects, the server, our own internals, functions of others."""
    code, args = REACHING[task]
    assert sqlstate_of(lambda: put(shared, task, args, run_at="2100-01-01")) == code


def test_by_number_it_is_no_job_either(shared: Database) -> None:
    """A10: the steps of enqueue, called one by one with the number of a closed function."""
    closed = shared.admin("select 'other.closed()'::regprocedure::oid::bigint")[0][0]
    assert (
        sqlstate_of(
            lambda: shared.run(
                "select jobs_internal.call_template_of(%s::bigint::oid, '{}')", [closed]
            )
        )
        == "PW006"
    )
    publish = (
        "select jobs_internal.store_publication(%s::bigint::oid, 'producer', null, null,"
        " null, null)"
    )
    for number in (closed, 0, shared.admin("select 'now()'::regprocedure::oid::bigint")[0][0]):
        assert sqlstate_of(lambda number=number: shared.run(publish, [number])) == "PW006"


STORE = (
    "select (jobs_internal.store_job({shape}, {args}, null, null, null, 1, null, null, {settings},"
    " null, null)).job_id"
)


def test_a_stored_shape_of_somebody_elses_function_fails_as_its_owner(database: Database) -> None:
    """A10, A14: a job stored by hand, with the shape of a function that its owner may not execute,
    or with none.
    """
    theirs = put(database, "other.closed", role="other")
    with_argument = put(database, "other.work", {"n": 5}, role="other")
    shapes = {
        row[0]: row[1] for row in database.admin("select task, id from jobs_internal.call_template")
    }
    odd = {
        "closed": STORE.format(shape=shapes["other.closed"], args="null", settings="null"),
        "in a closed schema": STORE.format(
            shape=shapes["other.work"], args="'{\"n\": 6}'", settings="null"
        ),
        "no such shape": STORE.format(shape=-1, args="'{}'", settings="null"),
        "no shape": STORE.format(shape="null", args="null", settings="null"),
        "arguments that are none": STORE.format(
            shape=shapes["other.work"], args="'[1]'", settings="null"
        ),
    }
    for name in (
        '{"role": "other"}',
        '{"session_authorization": "postgres"}',
        '{"role": "postgres"}',
        "[1]",
        '"x"',
        '{"x": null}',
    ):
        odd[name] = STORE.format(shape=shapes["other.work"], args="'{}'", settings=f"'{name}'")
    jobs = {name: database.value(query) for name, query in odd.items()}
    many = (
        (
            "select jobs_internal.store_jobs(%s, array[['{}', '[]'], ['1', null]]::jsonb[], null,"
            " null, null, 1"
        )
        + 4 * ", null"
        + ")"
    )
    jobs |= {f"many {job}": job for job in database.value(many, [shapes["other.work"]])}
    statement = (
        "select jobs_internal.store_statement('select app.strike(''stored'')', null, null, null,"
        " 1, null, null, %s"
        ", null, null, null, null)"
    )
    jobs["as other"] = database.value(statement, [Jsonb({"role": "other"})])
    jobs["in another's path"] = database.value(
        statement, [Jsonb({"search_path": "other", "session_authorization": "other"})]
    )
    database.drain()
    assert {name: state(database, job) for name, job in jobs.items()} == dict.fromkeys(
        jobs, "failed"
    )
    codes = {name: database.job(job)["error"]["sqlstate"] for name, job in jobs.items()}
    assert (codes["closed"], codes["in a closed schema"], codes["no such shape"]) == (
        "42501",
        "42501",
        "PW042",
    )
    assert (codes["as other"], codes["in another's path"]) == ("42501", "42501")
    assert database.admin("select * from other.ledger") == []
    database.drain(role="other")
    assert {state(database, job) for job in (theirs, with_argument)} == {"succeeded"}
    assert database.admin("select * from vault.canary") == []
    for view in ("job", "finished", "attempts", "cost", "queues", "health"):
        database.run(f"select * from jobs.{view}", role="operator")


def test_no_function_is_open_to_public(shared: Database) -> None:
    """A6: a role without any of our roles can call nothing, by any route; nor through an operator
    or a cast of ours.
    """
    ours = "('jobs'::regnamespace, 'jobs_internal'::regnamespace)"
    names = shared.admin(
        f"select oid::regprocedure::text from pg_proc where pronamespace in {ours}"
        " and has_function_privilege('nobody', oid, 'execute')"
    )
    assert names == []
    for query in (
        "select jobs.enqueue('now')",
        "select * from jobs.job",
        "select jobs_internal.caller()",
        "select 'jobs.enqueue'::regproc",
        "call jobs.await(1, '1 s')",
        "select jobs.errors.* from jobs.errors",
        "create table nobody.t (x jobs_internal.attempt_result)",
    ):
        assert sqlstate_of(lambda query=query: shared.run(query, role="nobody")) == "42501", query
    assert shared.admin(f"select 1 from pg_operator where oprnamespace in {ours}") == []
    assert (
        shared.admin(
            "select 1 from pg_cast c join pg_proc p on p.oid = c.castfunc"
            f" where p.pronamespace in {ours}"
        )
        == []
    )


# A11: the function changes between enqueue and run.

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


# A12: the owner changes.


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

"""A6, A10 to A13: what may be a job, and what becomes of it when functions, rights and roles change
before it runs.

EXECUTE is checked at enqueue for the owner, and again by the server itself when the job runs as
its owner.
"""

import pytest
from psycopg.types.json import Jsonb
from stage import put, state
from support import Database, sqlstate_of

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

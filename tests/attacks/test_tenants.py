"""What one tenant leaves open, forges or sets, and what another then meets."""

from psycopg.types.json import Jsonb
from stage import put, put_sql, state, wait_for
from support import Database, sqlstate_of, wait_until

from .ground import send_home

OPEN = "select jobs_internal.open_session(jobs_internal.schema_version())"
#: The number of a function of other's: the catalog tells it to everybody,
#: the schema's USAGE or not.
NUMBER = (
    "(select oid from pg_proc where proname = '{}'"
    " and pronamespace = (select oid from pg_namespace where nspname = 'other'))"
)
CLAIM = (
    "select jobs_internal.claim(%s, 0, array[jsonb_populate_record(null::jobs_internal.run_stats,"
    " %s)], false, 1)"
)


def test_a_lesson_that_is_not_committed_holds_up_nobody_else(database: Database) -> None:
    """A14, A19: a claim that teaches the duration of a function of another, in a transaction that
    stays open.
    """
    put(database, "other.work", {"n": 0}, role="other")
    database.drain(role="other")
    shape = database.value(
        f"select (jobs_internal.call_template_of({NUMBER.format('work')}, '{{n}}')).id"
    )
    session = database.value("select jobs_internal.open_session(jobs_internal.schema_version())")
    database.run("begin")
    database.run(
        CLAIM,
        [
            session,
            Jsonb({"call_template_id": shape, "runs": 1, "failed": 0, "ms": 1e12, "renames": True}),
        ],
    )
    for n in range(60):
        put(database, "other.work", {"n": n}, role="other")
    database.drain(role="other", timeout=10)
    database.run("commit")
    theirs = (
        "select bool_or(renames), max(avg_ms) < 1000 from jobs_internal.call_stats where"
        " owner = 'other'::regrole"
    )
    assert database.admin(theirs) == [(False, True)]


def test_a_claim_that_is_not_committed_keeps_nobodys_nudge(database: Database) -> None:
    """A14, A19: a nudge of another owner is seen to by somebody else while a claim stays open."""
    put(database, "other.work", {"n": 0}, role="other")
    database.drain(role="other")
    send_home(database)
    database.admin("update jobs_internal.lane set idle_state = 'idle', horizon_xid = null")
    session = database.value("select jobs_internal.open_session(jobs_internal.schema_version())")
    put(database, "other.work", {"n": 1}, role="other")
    database.run("begin")
    database.run("select jobs_internal.claim(%s, 0, null, false, 1)", [session])
    database.drain(role="other", timeout=10)
    database.run("rollback")
    assert database.admin("select count(*) from jobs_internal.job") == [(0,)]


def test_the_settings_of_who_made_a_shape_are_in_nobodys_call(database: Database) -> None:
    """A7: a default is written out with settings of our own; one that no server reads would fail
    for everybody.
    """
    database.run(
        "create function other.since(t timestamptz default '2020-01-01 00:00+00')"
        " returns timestamptz"
        " language sql return t",
        role="other",
    )
    database.run("set timezone = 'XXX-99'")
    database.run(f"select jobs_internal.call_template_of({NUMBER.format('since')}, '{{}}')")
    job = put(database, "other.since", role="other")
    database.drain(role="other")
    assert database.job(job, role="other")["state"] == "succeeded"


def test_shapes_are_not_multiplied(database: Database) -> None:
    """A18: keys twice and in any order, and names written otherwise, make no shape of their own."""
    database.run(f"select jobs_internal.call_template_of({NUMBER.format('work')}, '{{n}}')")
    before = database.admin("select count(*) from jobs_internal.call_template")
    database.run("set quote_all_identifiers = on")
    for n in range(1, 20):
        database.run(
            f"select jobs_internal.call_template_of({NUMBER.format('work')}, array_fill('n'::text,"
            " array[%s]))",
            [n],
        )
    assert database.admin("select count(*) from jobs_internal.call_template") == before


def test_a_publication_without_a_timeout_has_its_queues(database: Database) -> None:
    """A18: who may enqueue a published function does not say how long it runs."""
    database.run("select jobs.create_queue('short', timeout => '2 seconds')", role="operator")
    database.run("select jobs.publish('other.work', 'app', queue => 'short')", role="other")
    for timeout in ("10 years", "infinity", "1 second"):
        job = database.value(
            "select jobs.enqueue_published('other.work', timeout => %s, note => null)", [timeout]
        )
        assert database.admin(
            "select timeout <= '2 seconds' from jobs_internal.job where id = %s", [job]
        ) == [(True,)]


def test_a_quota_holds_before_a_restart_is_noted(database: Database) -> None:
    """A18: nobody has written down the new start of the server yet, or who does leaves it open."""
    database.run("select jobs.set_quota('app', pending => 1)", role="operator")
    put(database, "app.note", {"n": 1}, run_at="infinity")
    database.admin(
        "update jobs_internal.installation set postmaster = postmaster - interval '1 day'"
    )
    database.run("begin")
    assert sqlstate_of(lambda: put(database, "app.note", {"n": 2})) == "PW071"
    database.run("rollback")


def test_a_setting_that_the_login_may_not_see_stops_no_session(database: Database) -> None:
    """session_preload_libraries of a role or a database: an ordinary thing to set,
    and hidden from the worker.
    """
    database.admin(f"alter database {database.name} set session_preload_libraries = 'auto_explain'")
    job = put(database, "app.note", {"n": 1})
    database.drain()
    assert database.job(job)["state"] == "succeeded"


def test_a_session_that_is_not_committed_holds_off_no_quota(database: Database) -> None:
    """A19: an operator lowers the quota of an owner who keeps the opening of a session open."""
    database.run("select jobs.set_quota('app', running => 3)", role="operator")
    put(database, "app.note", {"n": 1})
    database.run("begin")
    database.run("select jobs_internal.open_session(jobs_internal.schema_version())")
    database.run("set lock_timeout = '5s'", role="operator")
    assert database.value("select jobs.set_quota('app', running => 2)", role="operator") is True
    database.run("rollback")
    database.run("reset lock_timeout", role="operator")


def test_the_first_enqueue_after_a_restart_holds_off_nobody(database: Database) -> None:
    """A19: the row that says where home is, is never in the hands of a tenant."""
    put(database, "app.note", {"n": 1})
    database.admin(
        "update jobs_internal.installation set postmaster = postmaster - interval '1 day'"
    )
    database.run("begin")
    put(database, "app.note", {"n": 2})
    database.run("set lock_timeout = '5s'", role="operator")
    database.run("select jobs.set_quota('other', pending => 5)", role="operator")
    database.run("select jobs.reconcile()", role="operator")
    database.run("commit")
    database.run("reset lock_timeout", role="operator")
    database.drain()
    assert database.admin("select pending from jobs.quotas where owner = 'other'") == [(5,)]


def test_a_copy_that_took_the_name_of_the_original_is_a_copy(database: Database) -> None:
    """A27: CREATE DATABASE ... TEMPLATE, and the names swapped, without a restart:
    the number tells.
    """
    put(database, "app.note", {"n": 1})
    database.admin("update jobs_internal.installation set database = '1'::oid")
    assert sqlstate_of(lambda: put(database, "app.note", {"n": 2})) == "PW060"
    assert sqlstate_of(lambda: database.run(OPEN)) == "PW060"
    assert sqlstate_of(lambda: database.run("select jobs.start()")) == "PW060"


def test_a_trial_that_is_not_committed_holds_up_no_other_suspect(database: Database) -> None:
    """A19: after a crash, an owner keeps the start of a suspect open, and with it the row of
    the trial.
    """
    put(database, "other.work", {"n": 0}, role="other")
    database.drain(role="other")
    job = put(database, "other.work", {"n": 1}, role="other")
    database.admin("update jobs_internal.job set crashes = 1, crash_ran = '0'")
    with database.connect("postgres") as holder:
        holder.execute("begin")
        holder.execute(
            "select from jobs_internal.server for update"
        )  # what start_isolated_run locks in the transaction of begin_alone
        holder.execute("select pg_current_xact_id()")

        def done() -> bool:
            # as a supervisor does, while something is due
            database.run("select jobs.start()", role="other")
            return bool(database.job(job, role="other")["state"] == "succeeded")

        wait_until(done, timeout=30, step=0.5)
        holder.execute("rollback")


def test_an_operation_that_says_it_works_on_a_table_of_others_keeps_none_waiting(
    database: Database,
) -> None:
    """What a role has no right to lock, its operation does not hold, whatever it notes of it; nor
    does a build of which it is not known what it works on hold up those of others.
    """
    database.run("create table app.ours (n integer)")
    database.run(
        "create table other.theirs (n integer); insert into other.theirs values (1);"
        " create function other.stop(n integer) returns integer language plpgsql immutable as"
        " $$ begin perform pg_advisory_xact_lock_shared(77); return n; end $$",
        role="other",
    )
    forged = (
        "select jobs_internal.store_object(%s, jsonb_build_object('object',"
        " 'app.ours'::regclass::oid::bigint))"
    )
    with database.connect("other") as gate:
        gate.execute(b"select pg_advisory_lock(77)")
        build = put_sql(
            database,
            'create index concurrently U&"built" on other.theirs (other.stop(n))',
            role="other",
        )
        database.run("select jobs.start()", role="other")
        wait_for(database, build, "running")
        database.run("grant usage on schema app to other")
        database.run(forged, [build], role="other")
        for statement in ("vacuum app.ours", "alter table app.ours add later integer"):
            job = put_sql(database, statement)
            database.run("select jobs.start()")
            assert wait_for(database, job)["state"] == "succeeded", statement
        # it begins; the server itself lets it wait for the snapshot of the other
        ours = put_sql(database, "create index concurrently on app.ours (n)")
        database.run("select jobs.start()")
        wait_for(database, ours, "running")
    assert wait_for(database, ours)["state"] == "succeeded"
    assert wait_for(database, build)["state"] == "succeeded"


def test_a_start_that_is_not_committed_keeps_no_operation_waiting(database: Database) -> None:
    """A session by hand that holds the row by which starts see each other costs others a moment."""
    with database.connect("postgres") as line, line.transaction():
        line.execute(b"select from jobs_internal.operation_start for update")
        job = put_sql(database, "vacuum app.ledger")
        wait_until(
            lambda: database.run("select jobs.start()") and state(database, job) == "succeeded"
        )

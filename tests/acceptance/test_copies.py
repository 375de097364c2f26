"""A dump surprises nobody: a copy runs nothing by itself; once reconciled,
each job of the dump ends there, once.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import warm
from kit.daemon import Supervise
from kit.server import private_server
from stage import (
    age_history,
    attempts,
    gate_shut,
    make_lane,
    put,
    put_sql,
    state,
    step_history,
    wait_at_gate,
)
from support import LOGINS, Database, Server, clone, drop, new_name, sqlstate_of, wait_until

from pyworker.schema import apply_schema

pytestmark = pytest.mark.timeout(300)  # the first one sets up a second cluster

#: Owners of the jobs that are dumped. In the other cluster each has the number that another one
#: has here.
OWNERS = ("ann", "bob")
GROUPS = LOGINS["app"]


def _role_numbers(server: Server) -> dict[str, int]:
    with server.connect() as line:
        return {
            row[0]: row[1]
            for row in line.execute("select rolname::text, oid::bigint::integer from pg_roles")
        }


def _make_role(server: Server, name: str, number: int) -> None:
    """Make a login with that number: roles are made and dropped until it is the next one."""
    with server.connect() as line:
        line.execute(f"create role {name} login".encode())
        row = line.execute(
            "select oid::bigint::integer from pg_roles where rolname = %s", [name]
        ).fetchone()
        assert row is not None
        line.execute(f"drop role {name}".encode())
        # Large objects take numbers from the same counter, many thousands a second;
        # they are undone.
        line.execute("begin")
        line.execute(
            "select count(lo_create(0)) from generate_series(1, %s)", [number - row[0] - 100]
        )
        line.execute("rollback")
        while True:
            line.execute(f"create role {name} login".encode())
            row = line.execute(
                "select oid::bigint::integer from pg_roles where rolname = %s", [name]
            ).fetchone()
            assert row is not None
            if row[0] == number:
                return
            assert row[0] < number, f"the other cluster is ahead: {row[0]} > {number}"
            line.execute(f"drop role {name}".encode())


@pytest.fixture(scope="module")
def owners(server: Server) -> dict[str, int]:
    """Two owners in the first cluster, whose numbers lie well ahead of those of a fresh one."""
    with server.connect() as line:
        for _ in range(300):
            line.execute("create role pw_ahead")
            line.execute("drop role pw_ahead")
        for name in OWNERS:
            line.execute(f"create role {name} login".encode())
            line.execute(f"grant {', '.join(GROUPS)} to {name}".encode())
    return {name: _role_numbers(server)[name] for name in OWNERS}


@pytest.fixture(scope="module")
def elsewhere(owners: dict[str, int], template: str) -> Iterator[Server]:
    """Another cluster: the roles of ours were made by hand, ann has the number of bob and the other
    way round.
    """
    with private_server("elsewhere", data=False) as private:
        other = Server(conninfo=private.dsn("postgres", "postgres"), private=private)
        _fill(other, owners)
        yield other


def _fill(other: Server, owners: dict[str, int]) -> None:
    with other.connect(database="postgres") as line:
        for login in LOGINS:
            line.execute(
                (
                    f"do $$ begin create role {login} login; exception when duplicate_object"
                    " then null; end $$"
                ).encode()
            )
    # The roles of ours, and what they may do, as pg_dumpall --roles-only gives them:
    # by an installation beside.
    with other.connect() as line:
        line.execute("create database beside")
    apply_schema(other.dsn(database="beside"), "install")
    _make_role(other, "bob", owners["ann"])
    _make_role(other, "ann", owners["bob"])
    with other.connect() as line:
        for name in (*OWNERS, "app"):
            line.execute(f"grant {', '.join(GROUPS)} to {name}".encode())
        line.execute("grant jobs_operator to operator")
        line.execute("grant jobs_supervisor to supervisor")


@pytest.fixture
def original(server: Server, template: str, owners: dict[str, int]) -> Iterator[Database]:
    """A database in which ann and bob have jobs."""
    database = clone(server, template, "original")
    for name in OWNERS:
        database.admin(f"grant usage on schema app to {name}")
        database.admin(f"grant execute on all routines in schema app to {name}")
        database.admin(f"grant select, insert on app.ledger to {name}")
    database.admin("alter table app.ledger add owner text default session_user")
    database.admin("create procedure app.gated() language sql as 'select app.gate(7)'")
    yield database
    database.admin(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name ~ '^pw '"
    )
    drop(database)


def _tool(server: Server, name: str) -> str:
    assert server.private is not None
    return str(server.private.bin(name))


def dump(source: Database, form: str, path: Path) -> None:
    """Dump a database, as it is at this moment."""
    dumped = subprocess.run(
        [
            _tool(source.server, "pg_dump"),
            "--format",
            form,
            "--file",
            str(path),
            source.dsn("postgres"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert dumped.returncode == 0, dumped.stderr


def restore(path: Path, form: str, server: Server) -> Database:
    """Restore a dump into a new database; one error is one too many."""
    copy = Database(server=server, name=new_name("copy"))
    with server.connect() as line:
        line.execute(f"create database {copy.name}".encode())
    into = copy.dsn("postgres")
    command = (
        [_tool(server, "pg_restore"), "--exit-on-error", "--dbname", into, str(path)]
        if form == "custom"
        else [
            _tool(server, "psql"),
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "--file",
            str(path),
            "--dbname",
            into,
        ]
    )
    restored = subprocess.run(command, capture_output=True, text=True, check=False)
    assert restored.returncode == 0, restored.stderr
    assert "ERROR" not in restored.stderr
    return copy


@pytest.fixture
def copies(tmp_path: Path) -> Iterator[Callable[[Database, str, Server], Database]]:
    """Copy a database by pg_dump and restore; the copies are dropped at the end."""
    made: list[Database] = []

    def copy(source: Database, form: str, server: Server) -> Database:
        path = tmp_path / f"dump_{len(made)}"
        dump(source, form, path)
        made.append(restore(path, form, server))
        return made[-1]

    yield copy
    for database in made:
        database.admin(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where application_name = 'pw idle'"
        )
        drop(database)


def _states(database: Database) -> dict[int, tuple[Any, ...]]:
    rows = database.admin("select id, state, owner, attempt, task from jobs.job order by id")
    return {row[0]: row[1:] for row in rows}


def _cli(dsn: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return warm.run(
        [sys.executable, "-m", "pyworker", *arguments, "--dsn", dsn],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("place", "form"), [("elsewhere", "custom"), ("elsewhere", "plain"), ("beside", "custom")]
)
def test_dumped_under_load(
    original: Database,
    request: pytest.FixtureRequest,
    copies: Callable[[Database, str, Server], Database],
    supervise: Supervise,
    place: str,
    form: str,
) -> None:
    """A dump made while jobs run: nothing runs in the copy until it is reconciled,
    then each job ends there, once.
    """
    target: Server = (
        request.getfixturevalue("elsewhere") if place == "elsewhere" else original.server
    )
    for who in OWNERS:
        make_lane(original, role=who)
    done = [put(original, "app.note", {"n": n}, role="ann") for n in range(5)]
    broken = put(original, "app.fail", {"state": "22000"}, role="bob")
    original.drain(role="ann")
    original.drain(role="bob")
    assert state(original, broken) == "failed"
    original.admin("delete from app.ledger")

    with gate_shut(original):
        gated = {
            who: put(original, "app.gate", {"n": 100 + i}, role=who) for i, who in enumerate(OWNERS)
        }
        unseen = put_sql(original, "call app.gated()", role="ann")
        vouched = put_sql(
            original,
            "do $$ begin perform app.gate(7); end $$",
            role="bob",
            done_when="select false",
        )
        daemon = supervise(original.dsn("supervisor"), "--owner", "ann", "--owner", "bob")
        held = wait_at_gate(original, 4)
        waiting = {
            who: [put(original, "app.note", {"n": n}, role=who) for n in range(10)]
            for who in OWNERS
        }
        later = put(original, "app.note", {"n": 55}, role="bob", run_at="2200-01-01")
        lows = [
            put(original, "app.note", {"n": 60 + n}, role="ann", priority="low") for n in range(3)
        ]
        # The load goes on while the dump is made.
        for who in OWNERS:
            original.run(
                "select count(*) from jobs.enqueue_many('app.nap',"
                " array(select jsonb_build_object('seconds', 0.02, 'n', g)"
                " from generate_series(1000, 1049) as g))",
                role=who,
            )
        copy = copies(original, form, target)
        daemon.stop()

        # In the copy nothing runs, and everybody who asks is told.
        before = _states(copy)
        owner = {job: row[1] for job, row in _states(original).items()}
        swapped = {"ann": "bob", "bob": "ann"} if place == "elsewhere" else {}
        assert {job: row[1] for job, row in before.items()} == {
            job: swapped.get(owner[job], owner[job]) for job in before
        }
        assert before[gated["ann"]][0] == "running"
        assert (
            copy.value(
                "select status from jobs.health where \"check\" = 'installation'", role="operator"
            )
            == "critical"
        )
        assert sqlstate_of(lambda: put(copy, "app.note", {"n": 1}, role="ann")) == "PW060"
        assert sqlstate_of(lambda: copy.run("select jobs.start()", role="ann")) == "PW060"
        assert (
            sqlstate_of(lambda: copy.run("select jobs.cancel(%s)", [gated["ann"]], role="operator"))
            == "PW060"
        )
        # the numbers are those of somebody else
        assert copy.run("select id from jobs.job", role="ann") == []
        ran = _cli(copy.dsn("supervisor"), "run", "--until-empty")
        assert ran.returncode == 8
        assert "PW060" in ran.stdout
        checked = _cli(copy.dsn("postgres"), "check")
        assert checked.returncode != 0
        assert "jobs.reconcile()" in checked.stdout
        assert not copy.background()
        assert _states(copy) == before
        assert wait_at_gate(original, 4) == held, "nobody was signalled"

        facts = copy.value("select jobs.reconcile()", role="operator")
        # A procedure, and a statement at top level, ended unseen; all else goes back, uncharged.
        unfinished = {
            job: row for job, row in before.items() if row[0] in ("scheduled", "queued", "running")
        }
        assert facts["jobs_interrupted"] == sum(row[0] == "running" for row in unfinished.values())
        assert facts["roles_missing"] == []
        assert facts["functions_missing"] == []
        assert (facts["roles_moved"] >= 2) == (place == "elsewhere")
        learned = copy.admin("select owner, avg_ms from jobs_internal.call_stats")
        assert not learned or place == "beside", (
            "what one role's calls took is not told of another's"
        )
        assert {job: row[1] for job, row in _states(copy).items()} == {
            job: owner[job] for job in before
        }
        assert {row[0] for row in copy.run("select id from jobs.job", role="ann")} == {
            job for job in before if owner[job] == "ann"
        }
        again = copy.value("select jobs.reconcile()", role="operator")
        assert again["was"] == "at home"
        assert not [
            again[name]
            for name in ("jobs_due_again", "messages_removed", "lanes_made", "queues_removed")
            if again[name]
        ]

        copy.admin("delete from app.ledger")
        daemon = supervise(
            copy.dsn("supervisor"), "--owner", "ann", "--owner", "bob", "--until-empty"
        )
        assert daemon.process.wait(60) == 0

    after = _states(copy)
    for job, row in before.items():
        assert after[job][1] == owner[job]
        if job not in unfinished:
            assert (after[job][0], *after[job][2:]) == (row[0], *row[2:]), (
                "what was finished stays as it was"
            )
    expected = {job for job in unfinished if job not in (later, vouched, unseen)}
    assert {job: after[job][0] for job in expected} == dict.fromkeys(expected, "succeeded")
    effects = copy.admin(
        "select job, owner, count(*) from app.ledger where job is not null group by 1, 2 order by 1"
    )
    notes = {job for job in expected if before[job][3].startswith("app.")}
    assert {row[0]: row[1:] for row in effects if row[0] != vouched} == {
        job: (owner[job], 1) for job in notes
    }
    assert after[later][0] == "scheduled"
    assert set(waiting["ann"] + waiting["bob"] + lows) <= expected | {
        j for j in before if before[j][0] == "succeeded"
    }
    assert [attempts(copy, job) for job in gated.values()] == [
        [(1, "succeeded")],
        [(1, "succeeded")],
    ]
    assert after[unseen][0] == "in_doubt"
    assert after[vouched][0] == "failed"  # asked, not true; run again; asked: never true
    assert set(done) <= set(after)
    assert put(copy, "app.note", {"n": 1}, role="ann") > max(before)


def test_role_and_function_that_are_missing(
    original: Database, elsewhere: Server, copies: Callable[[Database, str, Server], Database]
) -> None:
    """Jobs of a role that the cluster lacks wait, and are told; jobs of a function that is gone
    fail with our error.
    """
    with original.server.connect() as line:
        line.execute("drop role if exists lone")
        line.execute("create role lone login")
        line.execute(f"grant {', '.join(GROUPS)} to lone")
    lone = put(original, "pg_catalog.now", role="lone")
    original.drain(role="lone")
    waits = put(original, "pg_catalog.now", role="lone")
    original.admin("create function app.passing() returns integer language sql return 1")
    gone = put(original, "app.passing", role="ann", run_at="2200-01-01")
    original.admin("drop function app.passing()")
    copy = copies(original, "custom", elsewhere)

    facts = copy.value("select jobs.reconcile()", role="operator")
    assert facts["roles_missing"] == ["lone"]
    assert facts["functions_missing"] == ["app.passing()"]
    told = copy.record(
        """select status, detail, remedy from jobs.health where "check" = 'owners'""",
        role="operator",
    )
    assert told["status"] == "warning"
    assert "lone" in told["detail"]
    assert "create it" in told["remedy"]
    copy.run("select jobs.run_now(%s)", [gone], role="ann")
    copy.drain(role="ann")
    assert copy.job(gone, role="ann")["error"]["sqlstate"] == "PW042"
    assert state(copy, waits) in ("queued", "scheduled")

    with copy.server.connect() as line:
        line.execute("create role lone login")
        line.execute(f"grant {', '.join(GROUPS)} to lone")
    assert copy.value("select jobs.reconcile()", role="operator")["roles_missing"] == []
    copy.drain(role="lone")
    assert [copy.job(job, role="lone")["state"] for job in (lone, waits)] == [
        "succeeded",
        "succeeded",
    ]
    with copy.server.connect() as line:
        line.execute(f"revoke {', '.join(GROUPS)} from lone")
        line.execute("drop role lone")


def test_what_belongs_to_owners_follows_their_names(
    original: Database, elsewhere: Server, copies: Callable[[Database, str, Server], Database]
) -> None:
    """Quotas, schedules, publications and the jobs enqueued by them; not what an administrator of
    the other cluster admitted.
    """
    original.admin("grant create on schema app to ann")
    original.run(
        "create function app.told(n integer) returns text language sql return current_user || n",
        role="ann",
    )
    original.run("create function app.lost() returns integer language sql return 1", role="ann")
    for task in ("app.told", "app.lost"):
        original.run("select jobs.publish(%s, 'bob', pending => 2)", [task], role="ann")
    original.run("drop function app.lost()", role="ann")
    job = original.value("""select jobs.enqueue_published('app.told', '{"n": 1}')""", role="bob")
    original.run("select jobs.set_quota('ann', pending => 7, history_rows => 10)", role="operator")
    original.run("select jobs.set_quota('bob', pending => 9)", role="operator")
    original.admin("select jobs_internal.maintain()")
    original.admin("select jobs.admit_role('ann')")
    original.run(
        """select jobs.schedule('often', 'every 1 second', 'app.told', '{"n": 1}')""", role="ann"
    )
    original.run("select jobs.schedule('often', '@yearly', 'pg_catalog.now')", role="bob")
    copy = copies(original, "custom", elsewhere)
    copy.run("select jobs.reconcile()", role="operator")

    assert copy.run("select name, owner, schedule from jobs.schedules", role="ann") == [
        ("often", "ann", "every 1 second")
    ]
    assert copy.run("select outcome from jobs.schedule_runs", role="ann") == [("missed",)]
    assert copy.run("select outcome from jobs.schedule_runs", role="bob") == []

    assert copy.run("select owner, pending from jobs.quotas", role="operator") == [
        ("ann", 7),
        ("bob", 9),
    ]
    assert copy.run("select * from jobs.admitted_roles", role="operator") == []
    assert copy.run("select task, to_role from jobs.publications", role="ann") == [
        ("app.lost", "bob"),
        ("app.told", "bob"),
    ]
    assert copy.run("select task, publisher from jobs.publications", role="bob") == [
        ("app.told", "ann")
    ]
    assert copy.admin(
        "select owner::regrole::text from jobs_internal.history_class where owner is not null"
    ) == [("ann",)]
    more = copy.value("""select jobs.enqueue_published('app.told', '{"n": 2}')""", role="bob")
    copy.drain(role="ann")
    assert [copy.job(one, role="ann")["result"] for one in (job, more)] == ["ann1", "ann2"]
    assert copy.job(job, role="bob")["enqueued_by"] == "bob"


def test_what_waits_and_what_is_reused_stays_with_its_owner(
    original: Database, elsewhere: Server, copies: Callable[[Database, str, Server], Database]
) -> None:
    """A job waits for the same one as before, and a result is that of no other owner."""
    fresh = """select jobs.enqueue('pg_catalog.now', options => '{"reuse_for": "1 day"}')"""
    result = original.value(fresh, role="ann")
    original.drain(role="ann")
    parent = original.value(
        "select jobs.enqueue('pg_catalog.now', run_at => '2099-01-01')", role="ann"
    )
    child = original.value(
        "select jobs.enqueue('pg_catalog.now', options => jsonb_build_object('after', array[%s]))",
        [parent],
        role="ann",
    )
    batch = original.value("select jobs.create_batch('b', 'pg_catalog.now')", role="ann")
    original.value(
        "select jobs.enqueue('pg_catalog.now', options => jsonb_build_object('batch', %s))",
        [batch],
        role="ann",
    )
    original.value("select jobs.close_batch(%s)", [batch], role="ann")
    original.admin("select jobs_internal.maintain()")
    copy = copies(original, "custom", elsewhere)
    copy.run("select jobs.reconcile()", role="operator")

    seen = "select total, state, cardinality(callback_jobs) from jobs.batches"
    assert copy.run(seen, role="bob") == []
    copy.drain(role="ann")
    copy.drain(role="ann")
    assert copy.run(seen, role="ann") == [(1, "finished", 1)]
    assert copy.value(fresh, role="bob") != result
    assert copy.value(fresh, role="ann") == result
    copy.run("select jobs.run_now(%s)", [parent], role="ann")
    copy.drain(role="ann")
    copy.drain(role="ann")
    assert [copy.job(one, role="ann")["state"] for one in (parent, child)] == ["succeeded"] * 2


def test_operations_of_another_database(
    original: Database, elsewhere: Server, copies: Callable[[Database, str, Server], Database]
) -> None:
    """They are their owner's by name. The numbers of relations are those of others here: a lost
    attempt is in doubt, and no way back is taken by them.
    """
    original.admin("grant create on schema app to ann")
    for name in ("app.points", "app.others"):
        original.run(f"create table {name} (n integer)", role="ann")
    built = put_sql(original, "create index points_n on app.points (n)", role="ann")
    given = put_sql(
        original,
        "alter table app.points add later integer",
        role="ann",
        rollback="alter table app.points drop later",
    )
    original.drain(role="ann")
    waiting = put_sql(original, "vacuum app.points", role="ann", run_at="2200-01-01")
    with original.connect("ann") as line, line.transaction():
        line.execute("lock table app.others in share mode")
        running = put_sql(
            original, "create index concurrently others_n on app.others (n)", role="ann"
        )
        original.run("select jobs.start()", role="ann")
        wait_until(
            lambda: original.admin(
                "select 1 from pg_locks where not granted and relation = 'app.others'::regclass"
            )
        )
        copy = copies(original, "custom", elsewhere)
    copy.run("select jobs.reconcile()", role="operator")

    jobs = "select array_agg(id order by id) from jobs.operations"
    assert copy.value(jobs, role="ann") == [built, given, waiting, running]
    assert copy.value(jobs, role="bob") is None
    assert sqlstate_of(lambda: copy.run("select jobs.undo(%s)", [built], role="ann")) == "PW066"
    assert copy.run("select undo from jobs.operations where id = %s", [built], role="ann") == [
        ("none: it was done in the database that this is a copy of",)
    ]
    back = copy.value("select jobs.undo(%s)", [given], role="ann")
    copy.run("select jobs.run_now(%s)", [waiting], role="ann")
    copy.drain(role="ann")
    assert {job: state(copy, job) for job in (back, waiting, running)} == {
        back: "succeeded",
        waiting: "succeeded",
        running: "in_doubt",
    }
    assert copy.admin("select relid from pg_stat_user_tables where relname = 'points'") == (
        copy.admin("select object from jobs_internal.operation where job_id = %s", [waiting])
    )


def test_renamed_role_is_known_by_its_new_name(
    original: Database,
    elsewhere: Server,
    copies: Callable[[Database, str, Server], Database],
    supervise: Supervise,
) -> None:
    """A role that was renamed is found by its name of now; one that was dropped is nobody,
    whoever has its name.
    """
    with original.server.connect() as line:
        line.execute("create role early login")
        line.execute(f"grant {', '.join(GROUPS)} to early")
    job = put(original, "pg_catalog.now", role="early", run_at="2200-01-01")
    original.close()
    with original.server.connect() as line:
        line.execute("alter role early rename to late")
    supervise(original.dsn("supervisor"), "--owner", "ann", "--until-empty").process.wait(30)
    copy = copies(original, "custom", elsewhere)
    assert copy.value("select jobs.reconcile()", role="operator")["roles_missing"] == ["late"]

    original.close()
    with original.server.connect() as line:
        line.execute(f"revoke {', '.join(GROUPS)} from late")
        line.execute("drop role late")
        line.execute("create role late login")
        line.execute(f"grant {', '.join(GROUPS)} to late")
    supervise(original.dsn("supervisor"), "--owner", "ann", "--until-empty").process.wait(30)
    beside = copies(original, "custom", original.server)
    assert beside.value("select jobs.reconcile()", role="operator")["roles_missing"] == ["late"]
    assert beside.run("select 1 from jobs.job where id = %s", [job], role="late") == []
    beside.close()
    original.close()
    with original.server.connect() as line:
        line.execute(f"revoke {', '.join(GROUPS)} from late")
        line.execute("drop role late")


def test_template_and_restart(original: Database, supervise: Supervise) -> None:
    """A database made from a template is a copy; one that was restarted, or renamed, is at home."""
    make_lane(original, role="ann")
    original.close()
    made = Database(server=original.server, name=new_name("made"))
    with original.server.connect() as line:
        line.execute(f"create database {made.name} template {original.name}")
    assert sqlstate_of(lambda: put(made, "app.note", {"n": 1}, role="ann")) == "PW060"
    made.value("select jobs.reconcile()", role="operator")
    job = put(made, "app.note", {"n": 1}, role="ann")
    made.drain(role="ann")
    assert state(made, job) == "succeeded"
    drop(made)

    private = original.server.private
    assert private is not None
    private.restart("immediate")
    old, renamed = original.name, new_name("renamed")
    with original.server.connect() as line:
        line.execute(f"alter database {old} rename to {renamed}")
    original.name = renamed
    put(original, "app.note", {"n": 2}, role="ann")  # nobody was here since the restart
    assert (
        original.value(
            """select status from jobs.health where "check" = 'installation'""", role="operator"
        )
        == "ok"
    )
    daemon = supervise(original.dsn("supervisor"), "--until-empty", "--owner", "ann")
    assert daemon.process.wait(30) == 0
    assert original.value(
        "select postmaster = pg_postmaster_start_time() from jobs_internal.installation",
        role="postgres",
    )
    apply_schema(original.dsn("postgres"), "upgrade")
    assert original.value("select jobs_internal.is_original()", role="postgres")


def test_what_was_lost_is_mended(original: Database, supervise: Supervise) -> None:
    """A message, or a whole pgmq queue, that was removed by hand: reconcile,
    or a supervisor's start, makes it good.
    """
    make_lane(original, role="ann")
    lane = original.value("select pgmq_queue from jobs_internal.lane", role="postgres")
    jobs = [put(original, "app.note", {"n": n}, role="ann") for n in range(5)]
    original.admin(
        f"delete from pgmq.q_{lane} where (message ->> 'job')::bigint = any (%s)", [jobs[:2]]
    )
    original.admin("select pgmq.send(%s, '{\"job\": 424242}')", [lane])
    facts = original.value("select jobs.reconcile()", role="operator")
    assert (facts["jobs_due_again"], facts["messages_removed"]) == (2, 1)

    original.admin("select pgmq.drop_queue(%s)", [lane])
    daemon = supervise(original.dsn("supervisor"), "--until-empty", "--owner", "ann")
    assert daemon.process.wait(30) == 0
    assert [original.job(job, role="ann")["state"] for job in jobs] == ["succeeded"] * 5
    counts = original.admin(
        "select n, count(*) from app.ledger where job = any (%s) group by 1 order by 1", [jobs]
    )
    assert counts == [(n, 1) for n in range(5)]


@pytest.mark.parametrize("place", ["elsewhere", "beside"])
def test_history_is_copied_with_its_partitions(
    original: Database,
    request: pytest.FixtureRequest,
    copies: Callable[[Database, str, Server], Database],
    place: str,
) -> None:
    """A dump made in the middle of upkeep, one partition half detached: the copy has all of it,
    and goes on.
    """
    target: Server = (
        request.getfixturevalue("elsewhere") if place == "elsewhere" else original.server
    )
    gone = put(original, "app.note", {"n": 1}, role="ann")
    original.drain(role="ann")
    age_history(original, "8 days")
    kept = put(original, "app.say", {"lines": 1, "fails": True}, role="ann", max_attempts=1)
    statement = put_sql(original, "select 1 / 0", role="ann", max_attempts=1)
    original.drain(role="ann")
    reader = original.connect("ann")
    reader.execute("begin")
    reader.execute("select * from jobs.finished")
    original.admin(
        "update jobs_internal.history_bucket set opened_at = now() - interval '2 days'"
        " where left_at is null"
    )
    for _ in range(2):
        original.run("select jobs_internal.maintain()", role="supervisor")
    child = wait_until(
        lambda: original.admin(
            "select pid from pg_stat_activity where query ~ 'detach' and wait_event_type = 'Lock'"
        )
    )
    original.admin("select pg_terminate_backend(%s)", [child[0][0]])
    wait_until(lambda: not original.background())
    assert original.admin("select count(*) from pg_inherits where inhdetachpending") == [(1,)]
    open_one = put(original, "app.note", {"n": 2}, role="ann")
    original.drain(role="ann")
    original.admin(
        "update jobs_internal.history_bucket set left_by = '9000000000000' where closed_at is null"
        " and id = 2"
    )

    copy = copies(original, "custom", target)
    reader.execute("commit")
    assert copy.admin("select id, state from jobs.job order by id") == [
        (gone, "succeeded"),  # pg_dump attaches it again
        (kept, "failed"),
        (statement, "failed"),
        (open_one, "succeeded"),
    ]
    copy.admin("select jobs.reconcile()")
    assert {row[2] for row in copy.admin("select * from jobs.job")} == {"ann"}
    # The number of another server's transaction says nothing about snapshots here:
    # those of now are waited for.
    before, after = copy.connect("ann"), copy.connect("ann")
    for line in (before, after):
        line.execute("begin isolation level repeatable read")
        line.execute("select 1")
        copy.run("select jobs_internal.maintain()", role="supervisor")
    is_closed = "select closed_at is not null from jobs_internal.history_bucket where id = 2"
    assert copy.admin(is_closed) == [(False,)]
    before.execute("commit")
    copy.run("select jobs_internal.maintain()", role="supervisor")
    assert copy.admin(is_closed) == [(True,)]
    after.execute("commit")
    step_history(copy)
    assert copy.admin(
        "select id, closed_at is not null from jobs_internal.history_bucket order by id"
    ) == [
        (2, True),
        (3, False),
    ]
    left = copy.admin("select relname from pg_class where relname ~ '^(finished|past_[a-z_]+)_1$'")
    assert left == [], "what was half detached in the original"
    assert copy.value("select jobs.retry(%s)", [kept], role="ann") == "retrying"
    copy.drain(role="ann")
    assert attempts(copy, kept) == [(1, "failed"), (2, "failed")]
    assert copy.run(
        "select count(*) from jobs.log_lines where job_id = %s", [kept], role="ann"
    ) == [(2,)]
    age_history(copy, "8 days")
    step_history(copy)
    assert copy.admin("select count(*) from jobs_internal.finished") == [(0,)]
    assert copy.admin("select count(*) from jobs_internal.history_bucket") == [(1,)]
    step_history(original)
    assert original.admin("select 1 from jobs.job where id = %s", [gone]) == []

"""A copy of operations, of history with its partitions, of a template; after a restart."""

from collections.abc import Callable

import pytest
from databases import drop, new_name
from kit.daemon import Supervise
from stage import age_history, attempts, make_lane, put, put_sql, state, step_history
from support import Database, Server, sqlstate_of, wait_until

from pyworker.schema import apply_schema

pytestmark = pytest.mark.timeout(300)  # the first one sets up a second cluster


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

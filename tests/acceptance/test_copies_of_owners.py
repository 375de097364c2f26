"""A copy and the roles of its jobs: missing, renamed, with other numbers."""

from collections.abc import Callable

import pytest
from kit.daemon import Supervise
from stage import put, state
from support import Database, Server

from .copying import GROUPS

pytestmark = pytest.mark.timeout(300)  # the first one sets up a second cluster


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

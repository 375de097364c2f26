"""Sessions that will make a build the victim of a deadlock: seen, and what the build does then.

Each build stands still in its first scan while the gate is shut; behind it others wait. Once the
gate opens, the build comes to its last wait, and the server decides.
"""

from typing import Any

import pytest
from stage import attempts, put_sql, wait_for
from support import Database, wait_until

from .builds import (
    BUILD,
    Bystander,
    child_of,
    gate,
    set_scene,
    start_build,
)

#: What kills a build, and what does not: beside it in each case a session that does, so that a
#: look that sees nothing cannot be a look that came too soon.
KILLERS = {
    "analyze": "analyze app.points",
    "storage": "alter table app.points set (fillfactor = 90)",
    "column": "alter table app.points add column m integer",
    "second build": "create index concurrently points_n on app.points (n)",
    "trigger": "create trigger t before insert on app.points for each row"
    " execute function suppress_redundant_updates_trigger()",
    "reindex": "reindex table app.points",
    "foreign key": "alter table app.other add foreign key (n) references app.points (n)",
    "truncate": "truncate app.points",
    # without a snapshot it is harmless: see test_who_kills_no_build_is_no_risk
    "lock": "begin isolation level repeatable read; select 1; lock table app.points",
}
HARMLESS = {"vacuum": "vacuum app.points", "verbose": "/* a */ vacuum (verbose) app.points"}

SHARE = "lock table app.points in share mode"
WARM = "begin; lock app.points in access share mode; commit; begin"


def risks(database: Database, job: int) -> list[dict[str, Any]]:
    """The risks that are kept of a job."""
    return (
        database.value(
            "select deadlock_risk from jobs_internal.operation where job_id = %s",
            [job],
            role="postgres",
        )
        or []
    )


def pids(database: Database, job: int) -> set[int]:
    return {risk["pid"] for risk in risks(database, job)}


def indexes(database: Database) -> list[tuple[Any, ...]]:
    """The indexes that builds made, and whether each is valid."""
    return database.admin(
        "select c.relname, i.indisvalid from pg_index as i"
        " join pg_class as c on c.oid = i.indexrelid"
        " where i.indrelid = 'app.points'::regclass and c.relname ~ 'gated' order by 1"
    )


@pytest.fixture
def scene(database: Database) -> Database:
    set_scene(database)
    database.run("alter table app.points add unique (n)")
    database.run("create table app.other (n integer)")
    return database


@pytest.mark.parametrize("killer", KILLERS)
def test_a_session_that_would_kill_the_build_is_seen(scene: Database, killer: str) -> None:
    with gate(scene):
        job, _ = start_build(scene)
        waiter = Bystander(scene, KILLERS[killer]).start(scene)
        wait_until(lambda: pids(scene, job) == {waiter.pid})
        (risk,) = risks(scene, job)
        assert (risk["owner"], risk["why"], risk["next"]) == ("postgres", "snapshot", waiter.pid)
        assert "app.points" in risk["waits_for"]
        (found,) = scene.admin("select * from jobs.health where \"check\" = 'deadlock risks'")
        assert found[1] == "warning"
        assert f"job {job} by pid {waiter.pid}" in found[2]
        assert f"select pg_cancel_backend({waiter.pid});" in found[3]
        waiter.connection.cancel()
        waiter.join()
        wait_until(lambda: risks(scene, job) == [])
    assert wait_for(scene, job, "succeeded")
    assert scene.admin("select status from jobs.health where \"check\" = 'deadlock risks'") == [
        ("ok",)
    ]


def test_it_is_true_that_it_kills(scene: Database) -> None:
    """What was seen comes about: the build is the victim, and the waiter goes on."""
    with gate(scene):
        job, _ = start_build(scene, max_attempts=1)
        waiter = Bystander(scene, KILLERS["storage"]).start(scene)
        wait_until(lambda: pids(scene, job) == {waiter.pid})
        wait_for_age(scene, waiter.pid, 1.1)
    assert wait_for(scene, job, "failed")["error"]["sqlstate"] == "40P01"
    assert waiter.join().error is None


def wait_for_age(database: Database, pid: int, seconds: float) -> None:
    """Wait until a process has waited for its lock for so long."""
    query = (
        "select 1 from pg_locks where pid = %s and not granted"
        " and clock_timestamp() - waitstart > make_interval(secs => %s)"
    )
    wait_until(lambda: database.admin(query, [pid, seconds]))


@pytest.mark.parametrize("harmless", [*HARMLESS, "queue", "locked before"])
def test_who_kills_no_build_is_no_risk(scene: Database, harmless: str) -> None:
    """A lazy VACUUM that waits; who stands behind a lock that waits, without one that the build
    waits for; a writer whose LOCK has no snapshot and no lock. Seen beside one that is a risk.
    """
    with gate(scene):
        job, _ = start_build(scene)
        waiters = []
        if harmless in HARMLESS:
            waiters.append(Bystander(scene, HARMLESS[harmless]).start(scene))
        elif harmless == "queue":
            waiters.append(Bystander(scene, "lock table app.points").first(WARM).start(scene))
            waiters += [
                Bystander(scene, "select from app.points limit 1").start(scene),
                Bystander(scene, "insert into app.points values (1)").start(scene),
            ]
        else:
            held = "begin; lock app.points in access share mode"
            waiters.append(Bystander(scene, "lock table app.points").first(held).start(scene))
        killer = Bystander(scene, KILLERS["storage"]).start(scene)
        wait_until(lambda: killer.pid in pids(scene, job))
        assert pids(scene, job) == {killer.pid}
        killer.connection.cancel()
        killer.join()
        wait_until(lambda: risks(scene, job) == [])
        for waiter in waiters:
            wait_for_age(scene, waiter.pid, 1.1)
    for waiter in waiters:
        # one that has its lock now keeps others from it
        if waiter.join().connection.info.transaction_status:
            waiter.connection.rollback()
    wait_for(scene, job, "succeeded")
    assert attempts(scene, job) == [(1, "succeeded")]


def test_who_comes_after_its_last_wait_has_begun_is_no_risk(scene: Database) -> None:
    """It waits for the snapshots that were there, one after the other, and for no younger one; an
    older one that asks for the table now is seen.
    """
    sessions = [Bystander(scene, "analyze app.points") for _ in range(3)]
    for session in sessions:
        session.first("begin isolation level repeatable read; select 1")
    place = "select split_part(virtualtransaction, '/', 1)::int from pg_locks where pid = %s"
    # the server waits for them in this order; were it the turn of `old`, the build would fall
    first, second, old = sorted(sessions, key=lambda one: scene.admin(place, [one.pid])[0])
    job = put_sql(scene, "create index concurrently points_n on app.points (n)")
    scene.run("select jobs.start()")
    child = child_of(scene, job)

    def waits_for(other: Bystander) -> bool:
        """Whether it is the snapshot of that session that it waits for now."""
        return bool(
            scene.admin(
                "select 1 from pg_stat_progress_create_index as p"
                " join pg_locks as w on w.pid = p.pid and not w.granted"
                "   and w.locktype = 'virtualxid'"
                " join pg_locks as h on h.granted and h.virtualxid = w.virtualxid"
                " where p.pid = %s and p.phase = 'waiting for old snapshots' and h.pid = %s",
                [child, other.pid],
            )
        )

    wait_until(lambda: waits_for(first))
    noted = "select 1 from jobs_internal.phase where job_id = %s and phase like '%% old snapshots'"
    wait_until(lambda: scene.admin(noted, [job]))
    young = Bystander(scene, KILLERS["storage"]).start(scene)
    wait_for_age(scene, young.pid, 1.1)
    old.start(scene)
    wait_until(lambda: pids(scene, job) == {old.pid})
    # the wait for the second is younger than the young session
    first.connection.rollback()
    wait_until(lambda: waits_for(second))
    since = scene.value("select clock_timestamp()")
    looked = "select 1 from jobs_internal.operation where job_id = %s and looked_at > %s"
    wait_until(lambda: scene.admin(looked, [job, since]))

    def as_expected() -> bool:
        """Never the young one; the old one again, if a look fell between two waits."""
        found = pids(scene, job)
        assert young.pid not in found
        return found == {old.pid}

    wait_until(as_expected)
    old.connection.cancel()
    old.join()
    old.connection.rollback()
    wait_until(lambda: risks(scene, job) == [])
    second.connection.rollback()
    wait_for(scene, job, "succeeded")
    assert young.join().error is None


@pytest.mark.parametrize("statement", [BUILD, "reindex index concurrently app.points_gated"])
def test_a_chain_and_a_lock_without_a_snapshot(scene: Database, statement: str) -> None:
    """One with a snapshot waits for a row of one that waits for the build; and one that wrote to
    the table after the build began.
    """
    if statement != BUILD:
        with gate(scene) as holder:
            holder.execute("select pg_advisory_unlock_all()")
            scene.run(BUILD.replace("concurrently", ""))
    with gate(scene):
        job, _ = start_build(scene, statement)
        # what was read before has no need of a snapshot to be locked
        writer = Bystander(scene, SHARE).first(f"{WARM}; insert into app.points values (2000)")
        middle = Bystander(scene, SHARE.replace("share", "share update exclusive")).first(
            f"{WARM}; lock app.other"
        )
        end = Bystander(scene, "select count(*) from app.other").first(
            "begin isolation level repeatable read; select 1"
        )
        for waiter in (middle, end, writer):
            waiter.start(scene)
        wait_until(lambda: pids(scene, job) == {end.pid, writer.pid})
        by = {risk["pid"]: risk for risk in risks(scene, job)}
        assert (by[end.pid]["why"], by[end.pid]["next"]) == ("snapshot", middle.pid)
        assert (by[writer.pid]["why"], by[writer.pid]["next"]) == ("lock", writer.pid)
        for waiter in (middle, writer, end):
            waiter.connection.cancel()
            waiter.join()
            waiter.connection.rollback()
    wait_for(scene, job, "succeeded")


@pytest.mark.parametrize("setting", ["own", "any"])
def test_the_waiter_is_cancelled_and_the_build_lives(scene: Database, setting: str) -> None:
    """Of its owner's roles, or of any role where an operator says so; after deadlock_timeout, and
    never a session of a superuser: of such a one it is said why it stays.
    """
    role = "app" if setting == "own" else "other"
    scene.admin("grant maintain on app.points to other; grant usage on schema app to other")
    if setting == "any":
        scene.run("select jobs.configure('deadlock_risk_cancels', 'any')", role="operator")
    with gate(scene):
        job, _ = start_build(scene, options={"on_deadlock_risk": "cancel_waiter"})
        mighty = Bystander(scene, "analyze app.points").start(scene)
        waiter = Bystander(scene, "analyze app.points", role=role).start(scene)
        assert waiter.join().error == "57014"
        kept = [(mighty.pid, "it is a superuser's")]
        wait_until(lambda: [(r["pid"], r.get("not_cancelled")) for r in risks(scene, job)] == kept)
        assert not mighty.done
        mighty.connection.cancel()
        mighty.join()
        wait_until(lambda: risks(scene, job) == [])
    wait_for(scene, job, "succeeded")
    assert attempts(scene, job) == [(1, "succeeded")]
    output = scene.admin("select output from jobs_internal.operation where job_id = %s", [job])[0][
        0
    ]
    assert [found["pid"] for found in output["cancelled_waiters"]] == [waiter.pid]


def test_a_stranger_is_not_cancelled(scene: Database) -> None:
    """Its owner is no member of the waiter's role."""
    scene.admin("grant maintain on app.points to other; grant usage on schema app to other")
    with gate(scene):
        job, _ = start_build(scene, options={"on_deadlock_risk": "cancel_waiter"})
        waiter = Bystander(scene, "analyze app.points", role="other").start(scene)
        wait_until(lambda: risks(scene, job) and "not_cancelled" in risks(scene, job)[0])
        assert risks(scene, job)[0]["not_cancelled"] == "app is no member of other"
        assert not waiter.done
        waiter.connection.cancel()
        waiter.join()
        wait_until(lambda: risks(scene, job) == [])
    wait_for(scene, job, "succeeded")


def test_a_build_steps_aside_and_comes_back(scene: Database) -> None:
    """It gives up what it did before it would lose it, the waiter goes on, no attempt is charged,
    nothing invalid stays.
    """
    with gate(scene):
        job, _ = start_build(scene, options={"on_deadlock_risk": "step_aside"}, max_attempts=1)
        waiter = Bystander(scene, KILLERS["storage"]).start(scene)
        assert waiter.join().error is None
        error = wait_for(scene, job, "scheduled")["error"]
        assert error["sqlstate"] == "PWY02"
        assert f"pid {waiter.pid}" in error["message"]
        assert scene.admin(
            "select step_asides, held ->> 'why' from jobs_internal.operation where job_id = %s",
            [job],
        ) == [(1, "step_aside")]
        assert scene.value("select code from jobs.explain(%s)", [job]) == "gave_way"
        wait_until(lambda: not scene.background())
        assert indexes(scene) == []
    scene.run("select jobs.run_now(%s)", [job])
    scene.run("select jobs.start()")
    assert wait_for(scene, job, "succeeded")["attempt"] == 1
    assert indexes(scene) == [("points_gated", True)]


def test_after_ten_times_it_stays(scene: Database) -> None:
    """It runs to its end, and says so."""
    with gate(scene):
        job, child = start_build(scene, options={"on_deadlock_risk": "step_aside"})
        scene.admin("update jobs_internal.operation set step_asides = 10 where job_id = %s", [job])
        waiter = Bystander(scene, KILLERS["storage"]).start(scene)
        said = "select output ->> 'step_asides' from jobs_internal.operation where job_id = %s"
        wait_until(lambda: scene.admin(said, [job])[0][0])
        assert scene.admin("select 1 from pg_stat_activity where pid = %s", [child])
        waiter.connection.cancel()
        waiter.join()
        wait_until(lambda: risks(scene, job) == [])
    wait_for(scene, job, "succeeded")


def test_each_is_logged_once(scene: Database) -> None:
    """What a supervisor takes for its log is taken; a session that waits anew is another one."""
    taken = "select jobs_internal.unlogged_risks()"
    with gate(scene):
        job, _ = start_build(scene)
        waiter = Bystander(scene, KILLERS["storage"]).start(scene)
        wait_until(lambda: pids(scene, job) == {waiter.pid})
        (line,) = scene.admin(taken)[0][0]
        assert (line["job_id"], line["pid"], line["owner"]) == (job, waiter.pid, "app")
        assert line["reason"] == (
            f"pid {waiter.pid} of role postgres has a snapshot that the build will wait for, and"
            f" waits for it: pid {waiter.pid} waits for ShareUpdateExclusiveLock on app.points"
        )
        assert scene.admin(taken) == [([],)]
        waiter.connection.cancel()
        waiter.join()
        wait_until(lambda: risks(scene, job) == [])
        again = Bystander(scene, KILLERS["analyze"]).start(scene)
        wait_until(lambda: pids(scene, job) == {again.pid})
        assert [risk["pid"] for risk in scene.admin(taken)[0][0]] == [again.pid]
        again.connection.cancel()
        again.join()
    wait_for(scene, job, "succeeded")

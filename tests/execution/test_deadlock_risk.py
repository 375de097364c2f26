"""Sessions that will make a build the victim of a deadlock: seen, and what the build does then.

Each build stands still in its first scan while the gate is shut; behind it others wait. Once the
gate opens, the build comes to its last wait, and the server decides.
"""

import pytest
from stage import attempts, put_sql, wait_for
from support import Database, wait_until

from .builds import BUILD, Bystander, child_of, gate, set_scene, start_build
from .deadlock_risks import HARMLESS, KILLERS, SHARE, WARM, pids, risks, wait_for_age


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

"""What a build does about a session that will make it the victim of a deadlock."""

import pytest
from stage import attempts, wait_for
from support import Database, wait_until

from .builds import Bystander, gate, set_scene, start_build
from .deadlock_risks import KILLERS, indexes, pids, risks


@pytest.fixture
def scene(database: Database) -> Database:
    set_scene(database)
    database.run("alter table app.points add unique (n)")
    database.run("create table app.other (n integer)")
    return database


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

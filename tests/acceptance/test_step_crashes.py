"""Jobs of several statements, through a crash of the server and the loss of their supervisor."""

import json
import os
import signal
from contextlib import closing

import psycopg
import pytest
from kit.daemon import Supervise
from psycopg import Connection
from stage import gate_shut, ledger, state, wait_at_gate
from support import Database, Row, wait_until

from .test_crashes import reconnect, wait_finished

#: Between two statements that leave a row: each must be there once.
RECIPES = {
    "not null": "jobs_internal.not_null_recipe('app.points'::regclass, 'app.points', 'm', 170000)",
    "unique": "jobs.unique_steps('app.points', '{n}')",
}
WAITING = """select l.pid from pg_locks as l join pg_stat_activity as a on a.pid = l.pid
where not l.granted and l.relation = 'app.points'::regclass and a.backend_type = 'pg_background'"""


def put_recipe(database: Database, name: str, place: int) -> tuple[int, int]:
    """Enqueue a recipe with a row before and one after, and a gate before the step at this place:
    gives the number of the job and how many steps it has.
    """
    database.run(
        "create table app.points (n integer, m integer);"
        " insert into app.points select n, 1 from generate_series(1, 100) as n"
    )
    steps = database.value(f"select {RECIPES[name]}")
    steps.insert(place - 1, "select app.gate(2)")
    steps = ["select app.note(1)", *steps, "select app.note(3)"]
    job = database.value(
        "select jobs.enqueue_steps(%s, settings => %s)",
        [json.dumps(steps), '{"lock_timeout": "60s"}'],
    )
    return int(job), len(steps)


def stop_behind_gate(database: Database, holder: Connection[Row]) -> int:
    """Let the step behind the gate, which `holder` has, wait for the table; gives its pid."""
    wait_at_gate(database)
    holder.execute("begin")
    holder.execute("lock table app.points in access exclusive mode")
    holder.execute("select pg_advisory_unlock(1)")
    return int(wait_until(lambda: database.admin(WAITING))[0][0])


def assert_whole(database: Database, job: int) -> None:
    """It succeeded, each statement once, and nothing is left over."""
    assert state(database, job) == "succeeded", database.job(job)
    assert ledger(database) == [1, 2, 3]
    assert database.admin("select 1 from pg_index where not indisvalid") == []
    assert {
        done for (done,) in database.run("select state from jobs.steps where id = %s", [job])
    } == {"done"}
    found = database.admin(
        "select contype::text, convalidated from pg_constraint"
        " where conrelid = 'app.points'::regclass"
    )
    assert found in ([("n", True)], [("u", True)])


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("not null", 1),
        ("not null", 2),
        ("not null", 3),
        ("not null", 4),
        ("unique", 1),
        ("unique", 2),
    ],
)
def test_a_crash_of_the_server_at_a_step(
    database: Database, supervise: Supervise, name: str, place: int
) -> None:
    """The steps before it are not run again, and the job goes on at that one."""
    supervise(database.dsn("supervisor"))
    with closing(database.server.connect("postgres", database.name)) as holder:
        holder.execute("select pg_advisory_lock(1)")
        job, _ = put_recipe(database, name, place)
        os.kill(stop_behind_gate(database, holder), signal.SIGKILL)
        wait_until(lambda: broken(holder), 60)
    reconnect(database)
    wait_finished(database, job)
    assert_whole(database, job)


def broken(line: Connection[Row]) -> bool:
    """Whether the server has ended a connection."""
    try:
        line.execute("select 1")
    except psycopg.Error:
        return True
    return False


def test_its_supervisor_is_killed_at_a_step(database: Database, supervise: Supervise) -> None:
    """The worker session goes on; another supervisor tells of the steps that were done."""
    first = supervise(database.dsn("supervisor"))
    with gate_shut(database):
        job, steps = put_recipe(database, "not null", 3)
        wait_at_gate(database)
        first.kill()
    second = supervise(database.dsn("supervisor"))
    wait_until(lambda: state(database, job) == "succeeded", 60)
    assert_whole(database, job)
    wait_until(lambda: second.events("job_succeeded"), 20)
    told = [*first.events("step_done"), *second.events("step_done")]
    assert {(event["step"], event["steps"]) for event in told} == {
        (step, steps) for step in range(1, steps)
    }

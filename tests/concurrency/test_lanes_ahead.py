"""Lanes are there before the first job of their owner, where few roles may run jobs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from psycopg import Connection
from stage import gate_shut, put, state, wait_at_gate
from support import Database, Row, wait_until

ROUND = "select jobs_internal.supervisor_tick(%s)"
LANES = (
    "select pg_get_userbyid(l.owner)::text, q.name from jobs_internal.lane as l"
    " join jobs_internal.queue as q on q.id = l.queue_id"
    " where pg_get_userbyid(l.owner) = any (%s) order by 1, 2"
)
OURS = [
    "app",
    "other",
    "producer",
    "runner",
    "operator",
    "reader",
    "supervisor",
    "nobody",
    "postgres",
]
#: Logins by way of a group, in a transaction that is rolled back: roles belong to the whole server.
MANY = """
create role many_group; grant jobs_runner, jobs_producer to many_group;
do $$ begin
  for n in 1 .. {0} loop
    execute format('create role many_%s login in role many_group', n);
  end loop;
end $$
"""
COUNT = (
    "select count(*) from jobs_internal.lane as l where pg_get_userbyid(l.owner) like 'many\\_%'"
)


@contextmanager
def supervisor(database: Database) -> Iterator[tuple[Connection[Row], Any]]:
    """Register one by hand, as a role that may do all else too."""
    line = database.connect("postgres")
    row = line.execute("select jobs_internal.supervisor_open('lanes', '', 1, '')").fetchone()
    assert row is not None
    age(database)
    yield line, row[0]
    line.close()


def age(database: Database) -> None:
    """Make supervisors and queues older than the time in which no lane is made ahead."""
    for table, column in (("supervisor", "started_at"), ("queue", "created_at")):
        database.admin(
            f"update jobs_internal.{table} set {column} = {column} - interval '6 seconds'"
        )


def look(database: Database) -> None:
    with supervisor(database) as (line, number):
        line.execute(ROUND, [number])


def test_none_while_a_first_job_may_be_on_its_way(database: Database) -> None:
    """One that is enqueued while its lane is made would come behind those that find the lane."""
    with database.connect("postgres") as line:
        row = line.execute("select jobs_internal.supervisor_open('new', '', 1, '')").fetchone()
        line.execute(ROUND, row)
        assert database.admin(LANES, [OURS]) == []
        age(database)
        database.run("select jobs.create_queue('new')", role="operator")
        line.execute(ROUND, row)
        assert {queue for _, queue in database.admin(LANES, [OURS])} == {"default"}


def test_a_first_job_goes_into_its_lane_at_once(database: Database) -> None:
    look(database)
    assert state(database, put(database, "app.note", {"n": 1})) == "queued"
    assert database.admin(LANES, [OURS]) == [("app", "default"), ("other", "default")]
    database.drain()


def test_where_none_has_looked_it_waits_for_its_lane(database: Database) -> None:
    assert state(database, put(database, "app.note", {"n": 1})) == "scheduled"
    database.drain()


def test_in_each_queue_where_there_are_few(database: Database) -> None:
    database.run("select jobs.create_queue('fresh')", role="operator")
    look(database)
    assert state(database, put(database, "app.note", {"n": 1}, queue="fresh")) == "queued"
    database.run(
        "select jobs.create_queue('q' || g) from generate_series(1, 60) as g", role="operator"
    )
    look(database)
    assert {queue for _, queue in database.admin(LANES, [OURS])} == {"default", "fresh"}
    database.drain()


def test_none_for_thousands_of_logins(database: Database) -> None:
    """Fifty are few, and more than those have no lane before their first job."""
    with database.connect("postgres") as line:
        for logins, made in ((20, 20), (51, 0)):
            with line.transaction(force_rollback=True):
                line.execute(MANY.format(logins).encode())
                line.execute("select jobs.reconcile()")
                assert line.execute(COUNT).fetchone() == (made,)


def test_only_for_owners_that_are_served(database: Database) -> None:
    with supervisor(database) as (line, number):
        line.execute("select jobs_internal.supervisor_serves(%s, %s)", [number, ["other"]])
        line.execute(ROUND, [number])
    assert database.admin(LANES, [OURS]) == [("other", "default")]


def test_reconcile_makes_them(database: Database) -> None:
    facts = database.value("select jobs.reconcile()", role="operator")
    assert facts["lanes_ahead"] >= 2
    assert state(database, put(database, "app.note", {"n": 1})) == "queued"
    assert database.value("select jobs.reconcile()", role="operator")["lanes_ahead"] == 0
    database.drain()


def test_who_makes_a_queue_has_its_lane(database: Database) -> None:
    """In that very transaction: no other can want it before it is committed."""
    with database.connect("postgres") as line, line.transaction(force_rollback=True):
        line.execute("grant jobs_operator to app")
        line.execute("set session authorization app")
        line.execute("select jobs.create_queue('mine')")
        job = line.execute(
            "select jobs.enqueue('app.note', '{\"n\": 1}', queue => 'mine')"
        ).fetchone()
        assert line.execute("select state from jobs.job where id = %s", job).fetchone() == (
            "queued",
        )


def test_they_make_no_queue_a_shared_one(database: Database) -> None:
    """An owner has all slots of a queue in which another one has never had a job."""
    look(database)
    assert database.admin(LANES, [["other"]]) == [("other", "default")]
    database.admin("select jobs.alter_queue('default', concurrency => 2)")
    with gate_shut(database):
        for number in range(2):
            put(database, "app.gate", {"n": number})
        database.run("select jobs.start(2)")
        wait_at_gate(database, 2)
    database.drain()
    for role in ("app", "other"):  # once it has had a job, a slot is left to it
        put(database, "pg_catalog.now", role=role)
        database.drain(role=role)
    with gate_shut(database):
        for number in range(2, 4):
            put(database, "app.gate", {"n": number})
        database.run("select jobs.start(2)")
        wait_at_gate(database, 1)
        wait_until(lambda: len(database.admin("select 1 from jobs_internal.session")) == 1)
    database.drain()


def test_upkeep_makes_them_while_jobs_run(database: Database) -> None:
    put(database, "app.note", {"n": 1})
    with supervisor(database) as (line, _):
        line.execute("select jobs_internal.maintain()")
    assert database.admin(LANES, [OURS]) == [("app", "default"), ("other", "default")]
    database.drain()

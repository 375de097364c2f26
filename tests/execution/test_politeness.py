"""Operations of ours give up their locks and come back, and do not meet each other on one table."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from psycopg import Connection
from psycopg.errors import DuplicateObject
from psycopg.types.json import Jsonb
from stage import attempts, holding, put_sql, state, wait_for
from support import Database, Row, wait_until

from .politeness import codes, operation, put_off

#: A key of advisory locks at which a build stops (see `stopping`).
STOP = 4711


@contextmanager
def stopping(database: Database) -> Iterator[Connection[Row]]:
    """A table app.points on which the build of an index of app.stop(n) waits until the connection
    gives up its lock.
    """
    database.run(
        "create table app.points (n integer);"
        " insert into app.points select generate_series(1, 100);"
        " create function app.stop(n integer) returns integer language plpgsql immutable as"
        f" $$ begin if n = 50 then perform pg_advisory_xact_lock_shared({STOP}); end if; return n;"
        " end $$"
    )
    with database.connect("app") as connection:
        connection.execute(f"select pg_advisory_lock({STOP})".encode())
        yield connection


@pytest.mark.parametrize(
    ("statement", "held"),
    [
        ("alter table app.ledger add column later integer", "select from app.ledger"),
        ("create index on app.ledger (n)", "insert into app.ledger (n) values (1)"),
        ("analyze app.ledger", "lock table app.ledger in share update exclusive mode"),
        ("vacuum full app.ledger", "select from app.ledger"),
        ("truncate app.ledger", "select from app.ledger"),
        ("drop table app.part", "select from app.part"),
        ("reindex table app.ledger", "insert into app.ledger (n) values (1)"),
        ("cluster app.clustered", "select from app.clustered"),
        ("refresh materialized view app.seen", "select from app.seen"),
        (
            "alter table app.clustered add foreign key (n) references app.target (n)",
            "insert into app.target values (7)",
        ),
        (
            "alter table app.parts attach partition app.part for values in (1)",
            "select from app.part",
        ),
    ],
    ids=lambda text: text.split(" app.")[0],
)
def test_it_gives_up_a_lock_and_comes_back(database: Database, statement: str, held: str) -> None:
    """Nothing is charged, the reason is told, and it succeeds once the lock is free."""
    database.run(
        "create table app.clustered (n integer primary key); cluster app.clustered using"
        " clustered_pkey; create materialized view app.seen as select 1;"
        " create table app.target (n integer primary key);"
        " create table app.parts (n integer) partition by list (n);"
        " create table app.part (n integer)"
    )
    with holding(database, held):
        job = put_sql(
            database, statement, options={"lock_timeout": "60 ms"}, queue="default", max_attempts=1
        )
        database.run("select jobs.start()")
        kept = put_off(database, job)
        assert kept["lock_attempts"] == 1
        assert kept["held"]["sqlstate"] == "55P03"
        assert database.job(job)["attempt"] == 0
        assert codes(database, job)[0][0] == "lock_attempt"
    database.run("select jobs.run_now(%s)", (job,))
    database.drain()
    assert attempts(database, job) == [(1, "succeeded")]


def test_lock_attempts_have_an_end(database: Database) -> None:
    """As many as its option says; then that is a failure of the attempt."""
    with holding(database, "select from app.ledger"):
        job = put_sql(
            database,
            "alter table app.ledger add column later integer",
            options={"lock_timeout": "20 ms", "lock_attempts": 3},
            max_attempts=1,
        )
        for _ in range(2):
            database.run("select jobs.start()")
            put_off(database, job)
            database.run("select jobs.run_now(%s)", (job,))
        database.run("select jobs.start()")
        found = wait_for(database, job)
    assert found["error"]["sqlstate"] == "55P03"
    assert operation(database, job)["lock_attempts"] == 3
    assert attempts(database, job) == [(1, "failed")]


def test_after_a_lock_attempt_a_failure_is_told_as_one(database: Database) -> None:
    """Why it waits now, and not why it waited before."""
    database.run(
        "create table app.points (n integer); insert into app.points values (1);"
        " create function app.refuse(n integer) returns boolean language plpgsql as"
        " $$ begin raise exception 'not now'; end $$"
    )
    with holding(database, "select from app.points"):
        job = put_sql(
            database,
            "alter table app.points add check (app.refuse(n))",
            options={"lock_timeout": "20 ms"},
            max_attempts=2,
        )
        database.run("select jobs.start()")
        put_off(database, job)
        assert codes(database, job)[0][0] == "lock_attempt"
    database.run("select jobs.run_now(%s)", (job,))
    database.run("select jobs.start()")
    wait_until(lambda: attempts(database, job) and state(database, job) == "scheduled")
    assert codes(database, job)[0][0] == "retry"


def test_what_it_did_before_it_gave_up_is_undone(database: Database) -> None:
    """An ALTER TABLE that got one lock of two leaves nothing."""
    database.run("create table app.target (n integer primary key)")
    with holding(database, "insert into app.target values (1)"):
        job = put_sql(
            database,
            "alter table app.ledger add constraint points_to foreign key (n) references app.target",
            options={"lock_timeout": "60 ms"},
        )
        database.run("select jobs.start()")
        put_off(database, job)
        assert not database.admin("select from pg_constraint where conname = 'points_to'")
        wait_until(lambda: not database.background(), 20)
        assert not database.admin(
            "select from pg_locks where relation = 'app.ledger'::regclass and granted"
        )


def test_a_foreign_key_divides_its_patience(database: Database) -> None:
    """The server counts lock_timeout for each lock: with two tables each has half, so that who
    waits behind the first waits for no longer than lock_timeout.
    """
    database.run(
        "create table app.target (n integer primary key); create table app.seen (ms integer);"
        " create function app.patience() returns boolean language sql as 'insert into app.seen"
        " select setting::integer from pg_settings where name = ''lock_timeout'' returning true'"
    )
    one = "alter table app.target add constraint to_itself foreign key (n) references app.target"
    two = "alter table app.ledger add constraint c foreign key (n) references app.target not valid"
    for statement in (one, two):
        put_sql(database, statement, options={"lock_timeout": "1 s"}, done_when="app.patience()")
    database.drain()
    assert database.admin("select ms from app.seen order by ms") == [(500,), (1000,)]


@pytest.mark.parametrize(
    ("beside", "waits"),
    [
        ("vacuum app.points", True),
        ("analyze app.points", True),
        ("alter table app.points set (fillfactor = 90)", True),
        ("drop index app.points_other", True),
        ("create index concurrently on app.points (n)", True),
        ("vacuum app.elsewhere", False),
    ],
)
def test_operations_of_two_owners_do_not_meet_on_one_table(
    database: Database, beside: str, waits: bool
) -> None:
    """What another role's operation works on is left alone until that has ended, and explain names
    its job to those who may see it; what works elsewhere runs beside it.
    """
    with stopping(database) as gate:
        with suppress(DuplicateObject):
            database.admin("create role keepers")
        database.admin(
            "create table app.elsewhere (n integer); create index points_other on app.points (n);"
            ""
            " grant keepers to app, other with inherit true;"
            " grant all on schema app to keepers;"
            " alter table app.points owner to keepers; alter table app.elsewhere owner to keepers"
        )
        try:
            build = put_sql(database, "create index concurrently built on app.points (app.stop(n))")
            database.run("select jobs.start()")
            wait_for(database, build, "running")
            wait_until(lambda: operation(database, build)["phase"], 20)
            job = put_sql(database, beside, role="other")
            database.run("select jobs.start()", role="other")
            if waits:
                said = "select code, blocked_by_jobs from jobs.explain(%s)"
                wait_until(
                    lambda: database.run(said, [job], role="operator") == [("operation", [build])],
                    20,
                )
                assert database.run(said, [job], role="other") == [("operation", None)]
                assert state(database, job) == "queued"
            else:
                assert wait_for(database, job)["state"] == "succeeded"
            gate.execute(f"select pg_advisory_unlock({STOP})".encode())
            assert wait_for(database, build)["state"] == "succeeded"
            database.drain(role="other")
            assert wait_for(database, job)["state"] == "succeeded"
        finally:
            database.admin("drop owned by keepers cascade")


@pytest.mark.parametrize("end", ["succeeded", "cancelled", "scheduled"])
def test_the_end_of_one_lets_the_other_look_again(database: Database, end: str) -> None:
    """At once, however far off its own next look is: a success, a cancel, a retry that comes."""
    with stopping(database) as gate:
        more = {"timeout": "2 s", "max_attempts": 2} if end == "scheduled" else {}
        build = put_sql(database, "create index concurrently on app.points (app.stop(n))", **more)
        database.run("select jobs.start()")
        wait_for(database, build, "running")
        job = put_sql(database, "vacuum app.points")
        database.run("select jobs.start()")
        wait_until(lambda: codes(database, job)[0][0] == "operation")
        [(lane, message)] = database.admin(
            "select lane_id, msg_id from jobs_internal.job where id = %s", [job]
        )
        database.admin(
            f"update pgmq.q_pyworker_{lane} set vt = now() + interval '1 hour' where msg_id = %s"
            " and not exists (select 1 from jobs_internal.session as s where s.lease = vt)",
            [message],
        )
        if end == "succeeded":
            gate.execute(f"select pg_advisory_unlock({STOP})".encode())
        elif end == "cancelled":
            database.run("select jobs.cancel(%s)", [build])
            database.admin("select jobs_internal.send_stop_signals(null)")
        wait_for(database, build, end)
        assert wait_for(database, job)["state"] == "succeeded"
        database.run("select jobs.cancel(%s)", [build])


def test_two_sessions_by_hand_do_what_follows_each_other(database: Database) -> None:
    """Of two operations of one table the session that has to hold one back stays for it, without a
    supervisor.
    """
    database.run("create table app.points as select n from generate_series(1, 100) as n")
    with holding(database, "insert into app.points values (0)"):
        first = put_sql(database, "create index concurrently on app.points (n)")
        database.run("select jobs.start()")
        wait_for(database, first, "running")
        second = put_sql(database, "vacuum app.points")
        database.run("select jobs.start()")
        wait_until(lambda: codes(database, second)[0][0] == "operation", 20)
    assert wait_for(database, first)["state"] == "succeeded"
    assert wait_for(database, second)["state"] == "succeeded"


def test_a_start_that_is_put_off_leaves_no_trace(database: Database) -> None:
    """A suspect of a crash waits while another one is on trial: it has not started yet."""
    database.run("create table app.points (n integer)")
    trial = put_sql(database, "select pg_sleep(600)")
    database.run("select jobs.start()")
    wait_until(lambda: state(database, trial) == "running")
    database.admin(
        "update jobs_internal.server as v set isolated_session = j.session_id, isolated_job = j.id,"
        " isolated_attempt = j.attempt, isolated_until = now() + interval '1 hour'"
        " from jobs_internal.job as j where j.id = %s",
        [trial],
    )
    job = put_sql(database, "vacuum app.points")
    held = {"why": "lock", "job": None}
    database.admin(
        "update jobs_internal.job set crashes = 1, crash_ran = '1 s' where id = %s", [job]
    )
    database.admin(
        "update jobs_internal.operation set held = %s where job_id = %s", [Jsonb(held), job]
    )
    # each time it is put off its message comes back a moment later
    message = "select vt from pgmq.q_pyworker_1 where (message ->> 'job')::bigint = %s"
    seen: set[Any] = set()

    def come_back() -> bool:
        database.run("select jobs.start()")
        seen.update(row[0] for row in database.admin(message, [job]))
        return len(seen) > 6

    wait_until(come_back)
    kept = operation(database, job)
    assert (kept["started_at"], kept["attempt"], kept["held"]) == (None, None, held)
    database.run("select jobs.cancel(%s)", [trial])
    wait_for(database, trial, "cancelled")
    database.run("select jobs.start()")
    wait_for(database, job, "succeeded")
    assert operation(database, job)["attempt"] == 1

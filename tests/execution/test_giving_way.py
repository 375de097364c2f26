"""Operations of ours give way to sessions that wait for them, or give up waiting, and come back."""

from typing import Any

import pytest
from stage import attempts, holding, put_sql, state, wait_for
from support import Database, Row, sqlstate_of, wait_until

from .politeness import codes, operation, put_off


def valid_indexes(database: Database, table: str) -> list[Row]:
    """List the indexes of a table, and whether they are valid."""
    return database.admin(
        "select c.relname, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid"
        " where i.indrelid = %s::regclass order by 1",
        [table],
    )


def slow_vacuum(database: Database, **options: Any) -> int:
    """Enqueue and start a VACUUM that takes long and sleeps most of the time."""
    database.run(
        "create table app.wide (n integer, filler text) with (autovacuum_enabled = false);"
        " insert into app.wide select g, repeat('x', 500) from generate_series(1, 4000) as g;"
        " update app.wide set n = n + 1"
    )
    job = put_sql(
        database,
        "vacuum app.wide",
        settings={"vacuum_cost_delay": "20ms", "vacuum_cost_limit": "2"},
        **options,
    )
    database.run("select jobs.start()")
    wait_until(lambda: operation(database, job)["phase"], 20)
    return job


def test_vacuum_gives_way(database: Database) -> None:
    """To a session that waits for the table: it gets it, and the VACUUM comes back uncharged."""
    job = slow_vacuum(database)
    with holding(database, "lock table app.wide in access exclusive mode") as waiter:
        kept = put_off(database, job)
        assert kept["yields"] == 1
        assert kept["held"]["pids"] == [waiter.info.backend_pid]
        assert codes(database, job)[0][0] == "gave_way"
        assert database.job(job)["error"]["sqlstate"] == "PWY01"
    assert attempts(database, job) == []
    database.run("select jobs.cancel(%s)", (job,))


def test_it_gives_way_ten_times(database: Database) -> None:
    """Then it runs to its end, and says so."""
    job = slow_vacuum(database)
    database.admin("update jobs_internal.operation set yields = 10 where job_id = %s", [job])
    with database.connect(lock_timeout="4s") as waiter:
        waiting = b"alter table app.wide add later integer"
        assert sqlstate_of(lambda: waiter.execute(waiting)) == "55P03"
    assert operation(database, job)["output"]["yields"].startswith("it gave way ten times")
    assert state(database, job) == "running"
    database.run("select jobs.cancel(%s)", (job,))
    wait_for(database, job)


def test_a_build_gives_up_waiting_for_others(database: Database) -> None:
    """After wait_timeout: it has failed, says for whom it waited, and leaves nothing behind."""
    with holding(database, "set transaction isolation level repeatable read", "select 1") as old:
        job = put_sql(
            database,
            "create index concurrently built on app.ledger (n)",
            options={"wait_timeout": "500 ms"},
            max_attempts=1,
        )
        database.run("select jobs.start()")
        found = wait_for(database, job)
        assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PWT02")
        assert str(old.info.backend_pid) in found["error"]["message"]
    assert ("built", False) not in valid_indexes(database, "app.ledger")


def test_a_rebuild_that_gives_up_at_its_last_wait_has_succeeded(database: Database) -> None:
    """The new index is there under its name: what is left is the old one, which goes later."""
    database.run("create index rebuilt on app.ledger (n)")
    before = database.value("select 'app.rebuilt'::regclass::oid")
    with holding(database, "select from app.ledger"):
        job = put_sql(
            database,
            "reindex index concurrently app.rebuilt",
            options={"wait_timeout": "500 ms"},
            max_attempts=1,
        )
        database.run("select jobs.start()")
        found = wait_for(database, job)
    assert found["state"] == "succeeded", found["error"]
    assert found["result"]["despite"].startswith("57014")
    assert database.value("select 'app.rebuilt'::regclass::oid") != before


def test_a_build_has_no_lock_timeout_of_its_role(database: Database) -> None:
    """Which would lose its work: it waits for a writer, and goes on when that has ended."""
    database.admin("alter role app set lock_timeout = '50ms'")
    try:
        with holding(database, "insert into app.ledger (n) values (1)") as writer:
            job = put_sql(database, "create index concurrently built on app.ledger (n)")
            database.run("select jobs.start()")
            child = wait_until(
                lambda: database.admin(
                    "select l.pid from pg_locks as l where not l.granted and %s ="
                    " any (pg_blocking_pids(l.pid)) and clock_timestamp() > l.waitstart + '1 s'",
                    [writer.info.backend_pid],
                ),
                20,
            )
            assert child
            assert state(database, job) == "running"
        assert wait_for(database, job)["state"] == "succeeded"
    finally:
        database.admin("alter role app reset lock_timeout")


@pytest.mark.parametrize(
    ("statement", "options", "settings"),
    [
        ("vacuum app.ledger", {"lock_timeout": "1 s"}, {}),
        ("select 1", {"lock_attempts": 3}, {}),
        ("analyze app.ledger", {"wait_timeout": "1 s"}, {}),
        ("alter table app.ledger add x integer", {"wait_for_snapshots": True}, {}),
        ("alter table app.ledger add x integer", {"yield": True}, {}),
        ("alter table app.ledger add x integer", {"lock_timeout": "1 h"}, {}),
        ("alter table app.ledger add x integer", {"lock_timeout": "soon"}, {}),
        ("alter table app.ledger add x integer", {"lock_timeout": "-1 s"}, {}),
        ("alter table app.ledger add x integer", {"lock_attempts": 0}, {}),
        ("alter table app.ledger add x integer", {"lock_attempts": 1.5}, {}),
        ("create index concurrently on app.ledger (n)", {"on_deadlock_risk": "pray"}, {}),
        ("insert into app.ledger values (1)", {"measure": []}, {}),
        ("vacuum app.ledger", {"measure": [1]}, {}),
        ("vacuum app.ledger", {"measure": "select 1"}, {}),
    ],
)
def test_options_that_a_kind_has_no_use_for_are_refused(
    database: Database, statement: str, options: dict[str, Any], settings: dict[str, Any]
) -> None:
    """At once, and nothing is enqueued."""
    assert (
        sqlstate_of(lambda: put_sql(database, statement, options=options, settings=settings))
        == "PW029"
    )
    assert not database.admin("select from jobs_internal.job")
    assert not database.admin("select from jobs_internal.operation")

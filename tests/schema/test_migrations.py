"""Each older schema comes to the present one with jobs of every state in it and a session at work;
none is lost.
"""

import threading
from collections.abc import Callable

import psycopg
import pytest
from click.testing import Result
from pgmq.install import get_embedded_install_sql
from support import wait_until

from pyworker.schema import apply_schema
from tests.schema.conftest import Database
from tests.schema.migrating import (
    ADDED,
    BY_HAND,
    MARKS,
    MIGRATION,
    OLD,
    OPERATIONS,
    PRESENT,
    SIXTEEN,
    counts,
    finish,
    raised,
    seen,
    version,
    without,
)
from tests.schema.older import STAGE, Old, die_with_a_claim, fill, held


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def old(
    request: pytest.FixtureRequest,
    new_role: Callable[[str], str],
    new_database: Callable[[], Database],
) -> Old:
    """The older schema, without jobs."""
    database = new_database()
    for text in (get_embedded_install_sql(), request.param.read_text(encoding="utf-8")):
        done = database.psql("-q", "-f", "-", text=text)
        assert done.returncode == 0, done.stderr
    runner = "login in role jobs_producer, jobs_runner"
    made = Old(database=database, app=new_role(runner), other=new_role(runner))
    database.run(f"create schema app authorization {made.app}")
    database.run(f"grant usage on schema app to {made.other}")
    database.run(STAGE, role=made.app)
    return made


def test_everything_is_there_again(old: Old, new_database: Callable[[], Database]) -> None:
    """The session at work ends its job, once; then tables change; nothing runs on functions of two
    versions.
    """
    database = old.database
    fill(old)
    done: list[Result] = []
    with held(database, 1):
        job = old.put("running", "jobs.enqueue('app.gate', '{\"n\": 100}')")
        old.start()
        (pid,) = wait_until(lambda: old.waits_at(1))
        die_with_a_claim(old)
        before, rows, number = seen(database), counts(database), version(database)

        impatient = database.cli("upgrade", "--wait", "1")
        assert impatient.exit_code == 1
        assert f"process {pid} of role {old.app}, job {job}" in impatient.output
        assert (version(database), database.value("select paused from jobs_internal.switch")) == (
            number,
            False,
        )

        thread = threading.Thread(
            target=lambda: done.append(database.cli("upgrade", "--wait", "60"))
        )
        thread.start()
        wait_until(lambda: database.value("select paused from jobs_internal.switch"))
        assert version(database) == number
    thread.join(90)
    assert done[0].exit_code == 0, done[0].output

    assert (version(database), database.value("select paused from jobs_internal.switch")) == (
        PRESENT,
        False,
    )
    assert old.state("running") == "succeeded"
    assert database.run("select n from app.ledger order by n") == [(1,), (100,)]
    after = seen(database, {view: list(found[0]) for view, found in before.items()})
    assert without(after, job) == raised(without(before, job), number)
    left = {"job": -1, "finished": 1, "setting": (number < OPERATIONS) + (number < MARKS)}
    there = counts(database)
    assert {name: there[name] for name in rows if name in there and name not in ADDED} == {
        name: count + left.get(name, 0)
        for name, count in rows.items()
        if name in there and name not in ADDED
    }
    fresh = new_database()
    apply_schema(fresh.dsn(), "install")
    assert database.dump() == fresh.dump()
    finish(old)


def test_a_new_default_follows_where_none_was_set_by_hand(old: Old) -> None:
    """Another option of the queue may have been; the old value may have been, on purpose."""
    database = old.database
    options = (
        "select s.value, q.concurrency, (select count(*) from jobs_internal.slot as t where"
        " t.queue_id = q.id) from jobs_internal.setting as s, jobs_internal.queue as q"
        " where s.name = 'sessions_per_owner' and q.name = 'default'"
    )
    if version(database) >= SIXTEEN:
        pytest.skip("it has the new default")
    assert database.run(options) == [("8", 8, 8)]
    with psycopg.connect(database.dsn(), autocommit=True) as line:
        for statement, expected in BY_HAND.items():
            with line.transaction(force_rollback=True):
                line.execute(statement)
                line.execute(MIGRATION)
                found = line.execute(options.encode()).fetchone()
                assert found == expected, statement

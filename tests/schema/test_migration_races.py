"""An upgrade while sessions begin, and by psql alone."""

import re
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from click.testing import Result
from pgmq.install import get_embedded_install_sql
from support import wait_until

from pyworker.schema import apply_schema
from tests.schema.conftest import SQL, Database
from tests.schema.migrating import OLD, PRESENT, version
from tests.schema.older import ENDED, STAGE, Old, held


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


def test_psql_alone_waits_for_nobody(old: Old) -> None:
    """It refuses while a session of the older version is at work, with what to do;
    then it does the same.
    """
    database = old.database
    with held(database, 1):
        job = old.put("running", "jobs.enqueue('app.gate', '{\"n\": 1}')")
        old.start()
        (pid,) = wait_until(lambda: old.waits_at(1))
        number = version(database)
        refused = database.psql("-v", "VERBOSITY=verbose", "-f", SQL / "upgrade.sql")
        assert refused.returncode == 3
        assert "PW088" in refused.stderr
        assert f"process {pid} of role {old.app}, job {job}" in refused.stderr
        assert "jobs.pause()" in refused.stderr
        assert version(database) == number
    wait_until(lambda: database.value(ENDED))
    for _ in range(2):
        done = database.psql("-f", SQL / "upgrade.sql")
        assert done.returncode == 0, done.stderr
    assert version(database) == PRESENT
    assert old.state("running") == "succeeded"
    old.put("next", "jobs.enqueue('app.note', '{\"n\": 2}')")
    old.drain()
    assert old.state("next") == "succeeded"


def test_a_session_that_begins_during_the_upgrade_does_nothing(old: Old) -> None:
    """It was launched before, and gets its number after: it would call functions that it was not
    written for.
    """
    database = old.database
    old.put("first", "jobs.enqueue('app.note', '{\"n\": 1}')")
    old.drain()
    old.put("waiting", "jobs.enqueue('app.note', '{\"n\": 2}')")
    number = version(database)
    opened = (
        "jobs_internal.open_session()" if number == 0 else f"jobs_internal.open_session({number})"
    )
    found: list[Any] = []
    blocked = "select count(*) from pg_locks where not granted and relation = %s::regclass"

    def begin() -> None:
        with psycopg.connect(database.dsn(old.app), autocommit=True) as line:
            found.extend(line.execute(f"select {opened}".encode()).fetchone() or ())
            try:
                line.execute("select jobs_internal.claim(%s, 0, null, false, 10)", [found[0]])
            except psycopg.Error as error:
                found.append(error.sqlstate)

    done: list[Result] = []
    with psycopg.connect(database.dsn()) as holder:
        # the upgrade waits for this after it has locked the sessions
        holder.execute("select from jobs.queues limit 0")
        upgrade = threading.Thread(target=lambda: done.append(database.cli("upgrade")))
        upgrade.start()
        wait_until(lambda: database.value(blocked, "jobs.queues"))
        session = threading.Thread(target=begin)
        session.start()
        wait_until(lambda: database.value(blocked, "jobs_internal.session"))
        holder.commit()
        upgrade.join(60)
        session.join(60)
    assert done[0].exit_code == 0, done[0].output
    assert found[1:] == ["PW052"]
    assert old.state("waiting") == "queued"
    with (
        psycopg.connect(database.dsn(old.app), autocommit=True) as late,
        pytest.raises(psycopg.Error) as refused,
    ):
        late.execute(f"select {opened}".encode())
    assert refused.value.sqlstate in ("42883", "PW052")
    old.drain()
    assert old.state("waiting") == "succeeded"


def test_templates_are_made_anew(old: Old) -> None:
    """Those of before version 3 have no text for calls by one statement."""
    database = old.database
    number = version(database)
    old.put("before", "jobs.enqueue('app.fail', '{\"state\": \"40001\"}')")
    assert database.cli("upgrade").exit_code == 0
    old.put("after", "jobs.enqueue('app.fail', '{\"state\": \"40001\"}')")
    calls = (
        "select t.chunk_call is not null from jobs_internal.job as j"
        " join jobs_internal.call_template as t on t.id = j.call_template_id order by j.id"
    )
    assert database.run(calls) == [(number >= 3,), (True,)]


def test_the_version_is_the_same_wherever_it_stands(database: Database) -> None:
    """The loop of a session says which schema it was written for; the schema, which one it is."""
    apply_schema(database.dsn(), "install")
    assert database.value("select jobs_internal.schema_version()") == PRESENT == version(database)
    loop = database.value("select prosrc from pg_proc where proname = 'work'")
    assert [int(number) for number in re.findall(r"open_\w+\((?:[^()]*, )?(\d+)\b", loop)] == [
        PRESENT
    ]
    install = (SQL / "install.sql").read_text(encoding="utf-8")
    assert f"set local pyworker.schema_version = '{PRESENT}';" in install


def test_each_migration_has_the_schema_before_it() -> None:
    """python -m tests.schema.dump, before the change."""
    assert [int(path.stem) for path in OLD] == list(range(PRESENT))

"""Marks in time: deployments, and the starts and ends of long operations."""

import json
import sys
from datetime import timedelta

import pytest
from kit.warm import run
from stage import put_sql
from support import Database, sqlstate_of, wait_until


@pytest.fixture(autouse=True)
def no_marks(shared: Database) -> None:
    """Begin without marks."""
    shared.admin("delete from jobs_internal.mark")


def mark(database: Database, name: str, *, role: str = "app") -> int:
    """Set a mark."""
    return int(database.value("select jobs.mark(%s)", [name], role=role))


def test_a_mark_is_kept_with_its_note(shared: Database) -> None:
    made = shared.value(
        "select jobs.mark('release 7', note => '{\"commit\": \"d2d64a5\"}')", role="app"
    )
    found = shared.record("select * from jobs.marks")
    assert found.pop("at") - shared.value("select now()") < timedelta(seconds=60)
    assert found == {
        "id": made,
        "kind": "deploy",
        "name": "release 7",
        "owner": "app",
        "set_by": "app",
        "job_id": None,
        "note": {"commit": "d2d64a5"},
    }


def test_whose_marks_are_seen(shared: Database) -> None:
    mine, theirs = mark(shared, "mine"), mark(shared, "theirs", role="other")
    seen = {
        role: [one for (one,) in shared.run("select id from jobs.marks order by 1", role=role)]
        for role in ("app", "other", "runner", "reader", "operator")
    }
    both = [mine, theirs]
    assert seen == {
        "app": [mine], "other": [theirs], "runner": [], "reader": both, "operator": both
    }  # fmt: skip
    ask = "select * from jobs.compare(%s)"
    for role, state in (("app", "PW125"), ("reader", None), ("operator", None)):
        assert sqlstate_of(lambda r=role: shared.run(ask, [theirs], role=r)) == state  # type: ignore[misc]


def test_an_operators_mark_is_in_the_audit(shared: Database) -> None:
    made = mark(shared, "release 8", role="operator")
    mark(shared, "of an owner, whose mark is its own record")
    audited = "select object from jobs.audit where action = 'mark'"
    assert shared.run(audited, role="operator") == [(f"mark {made}",)]


def test_a_thousand_of_a_role_are_kept(shared: Database) -> None:
    put = (
        "insert into jobs_internal.mark (kind, name, owner, set_by, at)"
        " select 'deploy', n::text, %s::regrole, 'x', now() - %s * interval '1 day'"
        " from generate_series(1, %s) as n"
    )
    shared.admin(put, ["app", 0, 1200])
    shared.admin(put, ["other", 91, 3])
    newest = mark(shared, "the newest")
    count = "select count(*), max(id) from jobs_internal.mark where owner = %s::regrole"
    assert shared.admin(count, ["app"]) == [(1000, newest)]
    shared.admin(put, ["app", 0, 7])
    shared.admin("select jobs_internal.sweep_marks()")
    assert shared.admin(count, ["app"])[0][0] == 1000
    assert shared.admin(count, ["other"])[0][0] == 0


def test_a_long_operation_marks_its_start_and_end(shared: Database) -> None:
    shared.run("create table app.swept as select 1 as n")
    lock = shared.connect()
    lock.execute("begin; lock table app.swept in share update exclusive mode")
    job = put_sql(shared, "vacuum app.swept")
    shared.run("select jobs.start(1)")
    ran = (
        "select clock_timestamp() > started_at + interval '1.1 seconds' from jobs.job where id = %s"
    )
    wait_until(lambda: shared.value(ran, [job]))
    lock.execute("commit")
    shared.drain()
    short = put_sql(shared, "vacuum app.swept")
    shared.drain()
    assert shared.job(short)["state"] == "succeeded"
    found = shared.run(
        "select m.kind, m.name, m.owner, m.job_id, m.note ->> 'state',"
        " m.at = (case m.kind when 'operation_start' then j.started_at else j.finished_at end)"
        "::timestamptz(0) from jobs.marks as m left join jobs.job as j on j.id = m.job_id"
        " order by m.id"
    )
    assert found == [
        ("operation_start", "vacuum app.swept", "app", job, None, True),
        ("operation_end", "vacuum app.swept", "app", job, "succeeded", True),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["release 9"], 0, ""),
        (["--kind", "migration", "--note", '{"by": "ci"}', "release 9"], 0, ""),
        (["--note", "[1]", "release 9"], 2, "no JSON object"),
        (["--note", "{", "release 9"], 2, "no JSON"),
        (["--kind", "A b", "release 9"], 1, "the kind of a mark cannot be like this"),
        ([" "], 1, "the name of a mark cannot be like this"),
    ],
)
def test_the_command(shared: Database, arguments: list[str], code: int, says: str) -> None:
    argv = [sys.executable, "-m", "pyworker", "mark", "--dsn", shared.dsn("app"), *arguments]
    done = run(argv, capture_output=True)
    assert done.returncode == code, done.stderr.decode()
    assert says in done.stderr.decode()
    found = shared.run("select id, kind, name, note from jobs.marks")
    if code:
        assert found == []
    else:
        with_note = "--note" in arguments
        kind, note = ("migration", json.loads('{"by": "ci"}')) if with_note else ("deploy", None)
        assert found == [(int(done.stdout), kind, "release 9", note)]

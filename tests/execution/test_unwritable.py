"""An ending that can never be written down ends its job all the same: as failed,
with the reason.
"""

import json
import time
from base64 import b64encode

import pytest
from psycopg.types.json import Jsonb
from stage import attempts, gate_shut, ledger, put, put_sql, state, wait_at_gate
from support import Database, wait_until


def lines(content: str) -> str:
    """A function that keeps a log line as we do, and fails."""
    return f"prepare pyworker_log_000000000 as select ''pyworker:{content}''"  # as jobs.log does


@pytest.mark.parametrize(
    "content",
    [
        b64encode(
            json.dumps({"at": "not a time", "level": "loud", "message": "x"}).encode()
        ).decode(),
        b64encode(json.dumps("no object").encode()).decode(),
        b64encode(b"\xff\xfe").decode(),
        "abc",
    ],
)
def test_log_lines_that_are_none_cost_nobody_anything(database: Database, content: str) -> None:
    database.run(
        "create function app.bad_log() returns void language plpgsql as $$ begin"
        " perform nextval('app.hits');"
        f" execute '{lines(content)}'; raise exception 'on purpose'; end $$"
    )
    job = put(database, "app.bad_log", max_attempts=1)
    database.drain()
    assert database.job(job)["error"]["message"] == "on purpose"
    assert attempts(database, job) == [(1, "failed")]
    assert database.value("select last_value from app.hits") == 1


@pytest.mark.parametrize("kind", ["function", "child"])
def test_an_ending_that_no_table_takes_is_told(database: Database, kind: str) -> None:
    """The history refuses what the attempt returned: that is no lack of room, and does not pass."""
    database.admin(
        "create function app.refuse() returns trigger language plpgsql as"
        " $$ begin raise program_limit_exceeded using message = 'too large to keep'; end $$"
    )
    database.admin("grant usage on schema app to public")
    database.admin(
        "create trigger refuse before insert on jobs_internal.finished for each row"
        " when (new.result is not null) execute function app.refuse()"
    )
    if kind == "function":
        job = put(database, "app.note", {"n": 1}, max_attempts=3)
    else:
        job = put_sql(database, "call app.two_commits(1)")
    database.drain()
    found = database.job(job)
    assert found["state"] == ("failed" if kind == "function" else "in_doubt")
    assert found["error"]["sqlstate"] == "54000"
    assert "cannot be written down: too large to keep" in found["error"]["message"]
    assert len(attempts(database, job)) == 1
    assert ledger(database) == ([] if kind == "function" else [1, 2])


@pytest.mark.parametrize("known", [True, False])
def test_what_a_child_did_is_kept_until_there_is_room(database: Database, known: bool) -> None:
    """It is done, and is not done again: also where the statement was found out to need a child."""
    database.admin("create sequence app.tries")
    database.admin(
        "create function app.no_room() returns trigger language plpgsql as"
        " $$ begin if nextval('app.tries') <= 2 then raise disk_full"
        " using message = 'no space left'; end if;"
        " return new; end $$"
    )
    database.admin(
        "grant usage on schema app to public; grant usage on sequence app.tries to public"
    )
    database.admin(
        "create trigger no_room before insert on jobs_internal.finished for each row execute"
        " function app.no_room()"
    )
    job = put_sql(database, "call app.two_commits(1)")
    if not known:
        database.admin("update jobs_internal.statement set top_level = false")
    database.drain()
    assert ledger(database) == [1, 2]
    assert attempts(database, job) == [(1, "succeeded")]


def test_a_note_of_any_kind_does_not_reach_the_log_whole(database: Database) -> None:
    """What a supervisor reads is short: a number with many digits or a deep nesting is cut off
    as text.
    """
    deep = "[" * 2000 + "]" * 2000
    for note in (
        f'{{"n": {"9" * 5000}}}',
        f'{{"n": {deep}}}',
        f'{{"n": "{"x" * 5000}"}}',
        '{"a": 1}',
    ):
        put(database, "app.fail", note=Jsonb(note, dumps=str), max_attempts=1)
    database.drain()
    notes = [
        other["note"]
        for (body,) in wait_until(
            lambda: database.admin("select body from jobs_internal.outbox order by id"), 5
        )
        for other in body["others"]
    ]
    assert notes[3] == {"a": 1}
    assert all(list(note) == ["cut"] and len(note["cut"]) == 900 for note in notes[:3])


def _no_room_to_note_children(database: Database) -> None:
    database.admin(
        "create function app.no_room() returns trigger language plpgsql as"
        " $$ begin raise disk_full using message = 'no space left'; end $$"
    )
    database.admin("grant usage on schema app to public")
    database.admin(
        "create trigger no_room before update of child_pid on jobs_internal.job for each row"
        " when (new.child_pid is not null) execute function app.no_room()"
    )


def test_a_child_that_cannot_be_noted_is_watched_to_its_end(database: Database) -> None:
    """A full disk: its watcher does not die of it, so nothing is in doubt."""
    _no_room_to_note_children(database)
    job = put_sql(database, "call app.watched(2, 'x')")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        time.sleep(0.2)  # some looks of its watcher
    database.drain()
    assert state(database, job) == "succeeded"
    assert attempts(database, job) == [(1, "succeeded")]


def test_a_child_is_noted_as_soon_as_there_is_room(database: Database) -> None:
    """Until then no signal could reach it."""
    _no_room_to_note_children(database)
    job = put_sql(database, "call app.watched(2, 'x')")
    noted = "select child_pid from jobs_internal.job where id = %s"
    with gate_shut(database):
        database.run("select jobs.start()")
        (child,) = wait_at_gate(database)
        assert database.admin(noted, [job]) == [(None,)]
        database.admin("drop trigger no_room on jobs_internal.job")
        wait_until(lambda: database.admin(noted, [job]) == [(child,)], 10)
    database.drain()
    assert attempts(database, job) == [(1, "succeeded")]

"""The log's catalogue, its renderers, and the summing of successes."""

import ast
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyworker
from pyworker.database.records import Commit, Tick
from pyworker.events import EVENTS, FIELDS
from pyworker.log import TEXT_LIMIT, EventLog, clean
from pyworker.supervisor.outcome_log import Batch

PACKAGE = Path(pyworker.__file__).parent
NOON = datetime(2025, 1, 1, 12, tzinfo=UTC)


class Recorder:
    """A log that remembers, and holds to the catalogue."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def emit(self, event: str, /, **fields: object) -> None:
        assert fields.keys() == set(EVENTS[event].fields)
        self.lines.append((event, fields))


def written(*, as_json: bool, event: str = "rescued", **fields: object) -> str:
    stream = io.StringIO()
    EventLog(stream, as_json=as_json, supervisor_name="s").emit(event, **(fields or {"count": 1}))
    return stream.getvalue()


def test_every_field_has_a_meaning_and_every_meaning_a_use() -> None:
    used = {field for event in EVENTS.values() for field in event.fields}
    assert used == FIELDS.keys()


def emitted() -> Iterator[tuple[str, ast.Call]]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "emit"
            ):
                yield path.name, node


def names_in(node: ast.expr) -> list[str]:
    return [
        leaf.value
        for leaf in ast.walk(node)
        if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str)
    ]


def test_the_code_writes_only_what_is_in_the_catalogue() -> None:
    calls = list(emitted())
    assert len(calls) > 20
    for path, call in calls:
        if isinstance(call.args[0], ast.Call):
            # the event of an outcome: every one is tried in the test of verdicts and below
            continue
        for name in names_in(call.args[0]):
            given_fields = {keyword.arg for keyword in call.keywords}
            if None not in given_fields:  # no ** in the call
                assert given_fields == set(EVENTS[name].fields), (path, call.lineno, name)
            assert name in EVENTS


def test_every_event_is_written_somewhere() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in PACKAGE.rglob("*.py")
        if path.name != "events.py"
    )
    assert [name for name in EVENTS if f'"{name}"' not in source] == []


def test_an_unknown_event_or_field_is_an_error() -> None:
    log = EventLog(io.StringIO(), as_json=True)
    with pytest.raises(ValueError, match="not in the catalogue"):
        log.emit("job_vanished")
    with pytest.raises(ValueError, match="count, number"):
        log.emit("rescued", number=1)


def test_a_line_of_json() -> None:
    line = json.loads(written(as_json=True, count=3))
    assert datetime.fromisoformat(line.pop("timestamp")).tzinfo is not None
    assert line == {"level": "warning", "event": "rescued", "supervisor_name": "s", "count": 3}


def test_levels_below_the_threshold_are_left_out() -> None:
    stream = io.StringIO()
    EventLog(stream, as_json=True, level="warning").emit("dispatched", count=1)
    assert stream.getvalue() == ""


@given(st.text(), st.booleans())
def test_whatever_a_message_holds_it_stays_in_its_line(text: str, as_json: bool) -> None:
    output = written(as_json=as_json, event="server_lost", reason=text)
    body = output.removesuffix("\n")
    assert output.endswith("\n")
    assert len(body.splitlines()) == 1
    assert "\x1b" not in body
    if as_json:
        assert len(json.loads(body)["reason"].splitlines()) <= 1


def test_long_texts_are_cut() -> None:
    assert (
        len(json.loads(written(as_json=True, event="server_lost", reason="x" * 10**6))["reason"])
        == TEXT_LIMIT
    )
    note = {f"key{n}": "y" * 500 for n in range(1000)}
    line = written(as_json=True, event="problem", problem="p", detail=note, suppressed=0)
    assert len(line) < 3 * TEXT_LIMIT
    assert clean("a\nb\x1b[31m\u2028\u202e") == r"a\nb\x1b[31m\u2028\u202e"


def commit(
    count: int, *, at: datetime = NOON, task: str = "f", others: list[dict[str, Any]] | None = None
) -> Commit:
    done = (
        [{"task": task, "job_ids": list(range(count)), "ms": [float(n) for n in range(count)]}]
        if count
        else []
    )
    row = {"at": at.isoformat(), "queue": "q", "owner": "app", "session": 1, "pid": 2}
    return Commit.from_row({**row, "succeeded": done, "others": others or []})


def test_few_successes_have_a_line_each() -> None:
    log = Recorder()
    batch = Batch(log)
    batch.add(commit(3))
    batch.finish(summed=False)
    assert [(event, fields["job_id"], fields["ms"]) for event, fields in log.lines] == [
        ("job_succeeded", n, float(n)) for n in range(3)
    ]


def test_many_successes_are_summed_by_task_and_second() -> None:
    log = Recorder()
    batch = Batch(log)
    batch.add(commit(3, at=NOON))
    batch.add(commit(5, at=NOON + timedelta(milliseconds=900)))
    batch.add(commit(2, at=NOON + timedelta(milliseconds=100), task="g"))
    batch.add(commit(1, at=NOON + timedelta(seconds=7)))
    batch.finish(summed=True)
    seen = {(line["task"], line["second"]): line for _event, line in log.lines}
    assert {key: line["count"] for key, line in seen.items()} == {
        ("f", NOON): 8,
        ("g", NOON): 2,
        ("f", NOON + timedelta(seconds=7)): 1,
    }
    one = seen["f", NOON]
    assert (one["ms_total"], one["ms_p50"], one["ms_max"]) == (13.0, 1.5, 4.0)


def test_the_unfinished_second_is_counted_with_the_one_before() -> None:
    log = Recorder()
    batch = Batch(log)
    batch.add(commit(30, at=NOON + timedelta(milliseconds=500)))
    batch.add(commit(4, at=NOON + timedelta(milliseconds=1020)))
    batch.finish(summed=True)
    assert [(line["second"], line["count"]) for _event, line in log.lines] == [(NOON, 34)]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5000)), max_size=30))
def test_no_success_is_lost_or_doubled_by_summing(commits: list[tuple[int, int]]) -> None:
    log = Recorder()
    batch = Batch(log)
    for count, offset in commits:
        batch.add(commit(count, at=NOON + timedelta(milliseconds=offset)))
    batch.finish(summed=True)
    assert sum(line["count"] for _event, line in log.lines) == sum(
        count for count, _offset in commits
    )
    assert len(log.lines) == len({line["second"] for _event, line in log.lines})


def test_every_kind_of_outcome_has_its_line_at_once() -> None:
    log = Recorder()
    batch = Batch(log)
    kinds = ["failed", "timed_out", "cancelled", "lost", "in_doubt", "interrupted"]
    others = [
        {
            "job_id": n,
            "task": "f",
            "attempt": 1,
            "outcome": kind,
            "state": state,
            "error": {"message": "m"},
        }
        for n, kind in enumerate(kinds)
        for state in ("cancelled" if kind == "cancelled" else "failed", "scheduled")
    ]
    batch.add(commit(1, others=others))
    assert len(log.lines) == batch.failures == 12
    assert {event for event, _fields in log.lines} == {
        "job_failed",
        "job_timed_out",
        "job_cancelled",
        "job_lost",
        "job_in_doubt",
        "attempt_failed",
        "attempt_interrupted",
    }


def test_secrets_of_an_error_stay_in_the_database() -> None:
    log = Recorder()
    error = {
        "sqlstate": "23505",
        "message": "duplicate",
        "detail": "Key (k)=(s3cret)",
        "context": "SQL s3cret",
    }
    Batch(log).add(
        commit(0, others=[{"job_id": 1, "task": "f", "outcome": "failed", "error": error}])
    )
    assert "s3cret" not in str(log.lines)


def test_a_tick_of_a_newer_schema_is_read() -> None:
    tick = Tick.from_row(
        {"paused": True, "owners": [{"owner": "a", "session_demand": 1, "more": 2}], "new": {}}
    )
    assert (tick.paused, tick.owners[0].active_sessions, tick.next_due_ms) == (True, 0, None)

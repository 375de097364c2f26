"""A22: whatever a job's author writes, a line of the daemon's log is one event,
and cannot be mistaken for another.
"""

import json
import re
import sys
import unicodedata
from datetime import datetime
from typing import Any

import pytest
from kit import warm
from stage import put, put_sql, state
from support import Database, sqlstate_of

from pyworker.events import EVENTS

FORGED = (
    '{"timestamp": "2026-01-01T00:00:00Z", "level": "critical", "event": "server_stalled", "duty":'
    ' "x", "seconds": 1}'
)
TEXTS = {
    "newlines": f"\n{FORGED}\n\r\n{FORGED}\r",
    "quotes": f'"}}\n{FORGED}',
    "more keys": '", "event": "job_succeeded", "job_id": 1, "level": "info',
    "console": "\n2026-01-01T00:00:00Z [critical ] server_stalled duty=x seconds=1",
    "pairs": (
        "x event=job_succeeded level=critical job_id=1\u00a0state=succeeded\u3000outcome=succeeded"
    ),
    "ansi": "\x1b[2K\x1b[1A\x1b]0;title\x07\x1b[31mred\x9b31m\x08\x08\x7f",
    "formats": "%s %d %n %(event)s {} {0} {event} ${jndi:x} \\n \\x1b[31m \\u0000 \\0 %00",
    "lines of other kinds": "a\x0bb\x0cc\x1cd\x1ee\x85f\u2028g\u2029h",
    "bidi": "\u202esj\u202d \u2066x\u2069 \u200f \u061c \u200e",
    "unseen": "a\u200bb\u2060c\ufeffd\u00ade\u180ef\U000e0041g\ufff9h",
    "markup": "[red]x[/red] [link=http://x]y[/link] <b>z</b> [/]",
    "long": "x" * 100_000,
}
OTHERS = """
create function app.say(message text, detail text, hint text) returns void language plpgsql as $$
begin
  perform jobs.log(message, fields => jsonb_build_object(message, detail));
  perform jobs.progress(1, 2, message);
  perform set_config('application_name', left(message, 60), false);
  raise exception using message = message, detail = detail, hint = hint,
    constraint = left(message, 60), table = left(message, 60);
end $$;
create procedure app.shout(message text) language plpgsql as $$
begin
  commit;
  raise exception using message = message, detail = message, hint = message;
end $$
"""


def _strict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), f"a key twice: {pairs}"
    return dict(pairs)


def _no_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


def _unsafe(text: str) -> list[str]:
    return [char for char in text if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def _log(database: Database, form: str) -> str:
    """Have a daemon do all that is due; gives what it wrote."""
    command = [
        sys.executable,
        "-m",
        "pyworker",
        "run",
        "--dsn",
        database.dsn("supervisor"),
        "--owner",
        "app",
    ]
    done = warm.run(
        [*command, "--until-empty", "--log-format", form, "--name", "the one"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done
    assert done.stderr == b""
    return done.stdout.decode("ascii" if form == "json" else "utf-8")


@pytest.fixture
def said(database: Database) -> tuple[Database, set[int]]:
    """Jobs whose every text is an attack, and all of which fail."""
    database.run(OTHERS)
    jobs = set()
    for n, text in enumerate(TEXTS.values()):
        name = text[:20].replace('"', '""')
        quoted = text[:1000].replace("'", "''")
        database.run(
            f'create function app."f{n}{name}"(a text) returns void language plpgsql as'
            f" $$ begin raise exception using message = a, errcode = 'PW099'; end $$"
        )
        note = {text[:150]: text[:150], "event": "job_succeeded", "number": 1}
        for task, args in (
            ("app.say", {"message": text, "detail": text, "hint": text}),
            (f'app."f{n}{name}"', {"a": text}),
            ("app.shout", {"message": text}),
        ):
            jobs.add(put(database, task, args, note=note, max_attempts=1))
        jobs.add(
            put_sql(
                database,
                f"/* {quoted.replace('*/', '')} */ select 1 / 0, '{quoted}'",
                max_attempts=1,
            )
        )
    huge = (
        "select jobs.enqueue('app.fail', note => jsonb_build_object('x', 1e400::numeric + 0.5),"
        " max_attempts => 1)"
    )
    jobs.add(database.value(huge))
    return database, jobs


def test_each_line_of_json_is_one_event(said: tuple[Database, set[int]]) -> None:
    """A22: newlines, ANSI, JSON, formats, bidi and unseen characters in errors, notes,
    names and log lines.
    """
    database, jobs = said
    raw = _log(database, "json")
    assert raw.endswith("\n")
    lines = [
        json.loads(line, object_pairs_hook=_strict, parse_constant=_no_constant)
        for line in raw[:-1].split("\n")
    ]
    for line in lines:
        assert list(line)[:4] == ["timestamp", "level", "event", "supervisor_name"]
        assert set(line) == {
            "timestamp",
            "level",
            "event",
            "supervisor_name",
            *EVENTS[line["event"]].fields,
        }
        assert (line["level"], line["supervisor_name"]) == (EVENTS[line["event"]].level, "the one")
        assert datetime.fromisoformat(line["timestamp"]).tzinfo
        assert [text for text in _texts(line) if _unsafe(text)] == []
        assert len(json.dumps(line)) < 20_000
    ends = [line["job_id"] for line in lines if "job_id" in line]
    assert sorted(ends) == sorted(jobs)
    assert {line["event"] for line in lines if "job_id" in line} == {"job_failed"}
    assert not {"server_stalled", "job_succeeded", "duty_failed", "problem"} & {
        line["event"] for line in lines
    }
    assert {state(database, job) for job in jobs} == {"failed"}


def test_each_line_for_people_is_one_event(said: tuple[Database, set[int]]) -> None:
    """A22: the same on a console."""
    database, jobs = said
    raw = _log(database, "console")
    assert raw.endswith("\n")
    assert [char for char in _unsafe(raw) if char != "\n"] == []
    heads = [
        re.match(
            r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z) \[(\w+) *\] (\w+)"
            r" +supervisor_name='the one'( |$)",
            line,
        )
        for line in raw[:-1].split("\n")
    ]
    assert None not in heads
    names = [head.group(3) for head in heads if head]
    assert names.count("job_failed") == len(jobs)
    assert set(names) == {
        *(
            "supervisor_started",
            "sessions_launched",
            "job_failed",
            "supervisor_stopping",
            "supervisor_stopped",
        )
    }


@pytest.mark.parametrize("form", ["--json", None])
def test_status_shows_one_page(said: tuple[Database, set[int]], form: str | None) -> None:
    """A22: what a person sees in a terminal is text, without markup and control characters."""
    database, _ = said
    command = [sys.executable, "-m", "pyworker", "status", "--dsn", database.dsn("operator")]
    done = warm.run([*command, form] if form else command, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    shown = done.stdout.decode()
    assert [char for char in _unsafe(shown) if char != "\n"] == []


def test_names_of_queues_are_short_words(database: Database) -> None:
    """A22: a queue's name goes into figures and messages; it cannot hold such a text."""
    for name, text in TEXTS.items():
        call = "select jobs.create_queue(%s)"
        assert (
            sqlstate_of(lambda text=text, call=call: database.run(call, [text], role="operator"))
            == "PW015"
        ), name

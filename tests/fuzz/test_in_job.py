"""What jobs call: outside of a job, inside of one, inside of a child session."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from support import Database

from . import aftermath
from .calls import fuzz, shortened
from .catalog import FUZZED
from .conftest import Callers
from .values import Value, either

IN_JOB = ("current_id", "progress", "log", "snooze")
PRETENDED = (
    "1/1 1",
    "x",
    "/",
    "1/x",
    "9223372036854775808/1 1",
    "-1/-1 -1",
    "1/99999999999 1",
    " 1/1 1",
    "1e3/1 1",
    "'",
    "\u0661/1 1",
)


@pytest.mark.parametrize("function", IN_JOB)
def test_outside(database: Database, caller: Callers, function: str) -> None:
    call = caller(function)

    @fuzz(150)
    @given(FUZZED[function].arguments())
    def one(arguments: dict[str, Value]) -> None:
        call(arguments)

    one()


@pytest.mark.parametrize("function", IN_JOB)
def test_in_a_session_that_pretends(database: Database, caller: Callers, function: str) -> None:
    """Whoever sets our own settings in a session hurts nobody."""
    call = caller(function)
    pretending = database.connect()
    call.connect = lambda: pretending

    @fuzz(60)
    @given(
        FUZZED[function].arguments(),
        either(*PRETENDED),
        either("", "x", "1 x", "NaN y", "infinity z", "9e999 z"),
        st.booleans(),
    )
    def one(arguments: dict[str, Value], job: Value, said: Value, child: bool) -> None:
        pretending.execute(
            "select set_config('pyworker.job', %s, false), set_config('pyworker.said', %s, false),"
            " set_config('pyworker.child', %s, false)",
            [job, said, "on" if child else ""],
        )
        call(arguments)
        pretending.execute("reset all; deallocate all")

    one()
    aftermath.run_all(database)
    aftermath.assert_all_well(database)


@pytest.mark.parametrize("function", ["progress", "log"])
def test_inside(database: Database, caller: Callers, function: str) -> None:
    """In a job the call succeeds or raises an error of ours, which is then the job's;
    so in a child session.
    """
    enqueue, enqueue_sql = caller("enqueue"), caller("enqueue_sql")

    @fuzz(150)
    @given(FUZZED[function].arguments(), st.integers(0, 9))
    def one(arguments: dict[str, Value], place: int) -> None:
        if place:
            fields = arguments.get("fields")
            given = {name: value for name, value in arguments.items() if name != "fields"}
            raw = json.dumps(given)
            if fields is not None:
                raw = raw[:-1] + (", " if given else "") + f'"fields": {fields}' + "}"
            enqueue({"task": f"app.{function}", "args": raw})
        else:
            literals = ", ".join(
                f"{name} => {_literal(value)}" for name, value in arguments.items()
            )
            enqueue_sql(
                {"statement": f"do $fuzz$ begin perform jobs.{function}({literals}); end $fuzz$"}
            )

    one()
    aftermath.run_all(database)
    failed = database.admin(
        "select f.error, f.args, s.body from jobs_internal.finished as f"
        " left join jobs_internal.finished_statement as s on s.job_id = f.id"
        " where f.error ->> 'context' like '%%function jobs.%%' and f.error ->> 'sqlstate' not"
        " like 'PW%%'"
    )
    assert failed == [], "\n".join(shortened(row, 1_000) for row in failed)
    aftermath.assert_all_well(database)
    assert function != "log" or database.admin("select count(*) > 20 from jobs.log_lines") == [
        (True,)
    ]


def test_current_id(database: Database) -> None:
    """Inside a job it is the job's own, whatever else runs."""
    jobs = [
        row[0]
        for row in database.run(
            "select jobs.enqueue('jobs.current_id') from generate_series(1, 20)"
        )
    ]
    jobs += [
        row[0]
        for row in database.run(
            "select jobs.enqueue_sql('insert into app.t select jobs.current_id()')"
        )
    ]
    database.drain()

    assert [database.result(job) for job in jobs[:-1]] == jobs[:-1]
    assert database.admin("select n from app.t") == [(jobs[-1],)]


def _literal(value: Value) -> str:
    return "null" if value is None else "'" + value.replace("'", "''") + "'"


def test_values_are_kept_as_they_are(database: Database) -> None:
    """A line comes out of jobs.log as it went in, cut where the manual says."""

    @fuzz(15)
    @given(st.lists(FUZZED["log"].parameters["message"], min_size=1, max_size=20))
    def one(messages: list[Value]) -> None:
        jobs = database.run(
            "select * from jobs.enqueue_many('app.log', %s)",
            [[Jsonb({"message": text}) for text in messages]],
        )
        database.drain()
        lines = database.admin(
            "select message from jobs.log_lines where job_id = any (%s) order by job_id",
            [[job for (job,) in jobs]],
        )
        assert [line for (line,) in lines] == [(text or "")[:8000] for text in messages]

    one()

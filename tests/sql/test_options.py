"""The parameter options of every enqueue function: checked keys, kept with the job,
and listed in jobs.options.
"""

from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from support import Database, sqlstate_of

KEPT = {"title": "Nightly load of the ledger", "notify": "ledger", "repeatable": True}


def _kept(database: Database, job: int) -> Any:
    return database.admin(
        "select options from jobs_internal.job where id = %(id)s"
        " union all select options from jobs_internal.finished where id = %(id)s",
        {"id": job},
    )[0][0]


def _enqueued(database: Database, options: object) -> dict[str, int]:
    given = [Jsonb(options)]
    queries = {
        "enqueue": "select jobs.enqueue('app.keep', '{\"tag\": \"x\"}', options => %s)",
        "enqueue, later": (
            "select jobs.enqueue('app.keep', '{\"tag\": \"x\"}', run_at => 'infinity',"
            " options => %s)"
        ),
        "enqueue_many": (
            "select jobs.enqueue_many('app.keep', array['{\"tag\": \"x\"}']::jsonb[],"
            " options => %s)"
        ),
        "enqueue_sql": "select jobs.enqueue_sql('call app.keep(''x'', 1)', options => %s)",
        "enqueue_published": (
            "select jobs.enqueue_published('app.keep', '{\"tag\": \"x\"}', options => %s)"
        ),
    }
    return {
        name: database.value(query, given, role="other" if "published" in name else "app")
        for name, query in queries.items()
    }


def test_they_are_kept_from_enqueue_to_history_and_back(database: Database) -> None:
    """Every function keeps them, null when empty; a cancelled job has them in its history,
    a retried one again.
    """
    database.run("select jobs.publish('app.keep', 'other')")
    for options, kept in ((KEPT, KEPT), ({}, None), ({"title": "x"}, {"title": "x"})):
        for name, job in _enqueued(database, options).items():
            assert _kept(database, job) == kept, name
            assert database.value("select jobs.cancel(%s)", [job]) == "cancelled"
            assert _kept(database, job) == kept, name
            assert database.value("select jobs.retry(%s)", [job]) == "retrying"
            assert _kept(database, job) == kept, name
            database.run("select jobs.cancel(%s)", [job])


def test_a_null_is_no_option(database: Database) -> None:
    """A client that passes NULL passes none."""
    database.run("select jobs.publish('app.keep', 'other')")
    jobs = (
        database.value("select jobs.enqueue('app.nothing', options => null)"),
        database.value(
            "select jobs.enqueue_many('app.nothing', array['{}']::jsonb[], options => null)"
        ),
        database.value("select jobs.enqueue_sql('select 1', options => null)"),
        database.value(
            "select jobs.enqueue_published('app.keep', '{\"tag\": \"x\"}', options => null)",
            role="other",
        ),
    )
    assert [_kept(database, job) for job in jobs] == 4 * [None]


def test_condition_and_way_back_stay_with_the_statement(database: Database) -> None:
    """done_when and rollback as options are the parameters of these names."""
    by_options = database.value(
        "select jobs.enqueue_sql('vacuum', options =>"
        """ '{"done_when": "1 = 1", "rollback": " select 2 ", "title": "t"}')"""
    )
    by_parameters = database.value(
        "select jobs.enqueue_sql('vacuum', done_when => '1 = 1', rollback => ' select 2 ',"
        ' options => \'{"title": "t"}\')'
    )
    stored = "select done_when, rollback_sql from jobs_internal.statement where job_id = %s"
    assert database.admin(stored, [by_options]) == database.admin(stored, [by_parameters])
    assert database.admin(stored, [by_options])[0][1] == "select 2"
    assert _kept(database, by_options) == _kept(database, by_parameters) == {"title": "t"}


def test_the_view_lists_what_the_check_takes(database: Database) -> None:
    """For each function and key: what jobs.options says is taken is taken, all else is refused."""
    database.run("select jobs.create_window('night', '@daily', '1 hour')", role="operator")
    database.run("select jobs.publish('app.keep', 'other')")
    sample = {
        "boolean": True,
        "text": "select true",
        "array": ["select 1"],
        "number": 3,
        "lock_timeout": "1 s",
        "wait_timeout": "1 s",
        "on_deadlock_risk": "warn",
        "deadline": "2100-01-01",
        "reuse_for": "1 hour",
        "window": "night",
        "after": [],
        "concurrency_key": "k",
        "after_state": "finished",
    }
    polite = ["lock_attempts", "lock_timeout"]  # of what others queue behind
    builds = ["wait_timeout", "wait_for_snapshots", "on_deadlock_risk"]
    statements = dict.fromkeys(polite, "analyze app.ledger")
    statements |= dict.fromkeys(builds, "drop index concurrently app.i")
    # those of schedules and of callbacks: tests/execution/test_schedule_control.py, test_batches.py
    listed = database.run(
        "select key, type, functions from jobs.options"
        " where not functions <@ '{create_batch, schedule, schedule_sql}'"
    )
    assert {key for key, _, _ in listed} == {
        "repeatable",
        "done_when",
        "rollback",
        "title",
        "notify",
        "measure",
        "yield",
        "after",
        "after_state",
        "batch",
        *polite,
        *builds,
        "deadline",
        "reuse_for",
        "concurrency_key",
        "window",
    }
    calls = {
        "enqueue": ("app", "select jobs.enqueue('app.keep', '{\"tag\": \"x\"}', options => %s)"),
        "enqueue_many": (
            "app",
            (
                "select jobs.enqueue_many('app.keep', array['{\"tag\": \"x\"}']::jsonb[],"
                " options => %s)"
            ),
        ),
        "enqueue_sql": ("app", "select jobs.enqueue_sql('{}', options => %s)"),
        "enqueue_published": (
            "other",
            "select jobs.enqueue_published('app.keep', '{\"tag\": \"x\"}', options => %s)",
        ),
    }
    for key, kind, functions in listed:
        for function, (role, query) in calls.items():
            options = {key: sample.get(key, sample[kind])}
            if key == "batch":
                options = {key: database.value("select jobs.create_batch('b')", role=role)}
            if key == "after_state":
                options["after"] = []
            given = [Jsonb(options)]
            text = query.replace("'{}'", f"'{statements.get(key, 'vacuum')}'")
            if key == "reuse_for":  # a statement needs a key then
                text = text.replace("'vacuum'", "'vacuum', unique_key => 'k'")
            refused = sqlstate_of(
                lambda text=text, given=given, role=role: database.run(text, given, role=role)
            )
            assert refused == (None if function in functions else "PW029"), (key, function)


@pytest.mark.parametrize(
    ("query", "repeatable"),
    [
        ("select jobs.enqueue_sql('vacuum app.marks')", True),
        ("select jobs.enqueue_sql('VACUUM (analyze) app.marks')", True),
        ("select jobs.enqueue_sql('/* x */ analyze app.marks')", True),
        ("select jobs.enqueue_sql('reindex (verbose) table concurrently app.marks')", True),
        ("select jobs.enqueue_sql('refresh materialized view app.marks')", True),
        ("select jobs.enqueue_sql('vacuum', options => '{\"repeatable\": false}')", False),
        ("select jobs.enqueue_sql('call app.keep(''x'', 1)')", False),
        (
            (
                "select jobs.enqueue_sql('call app.keep(''x'', 1)', options => '{\"repeatable\":"
                " true}')"
            ),
            True,
        ),
        ("select jobs.enqueue_sql('create index concurrently on app.marks (tag)')", False),
        ("select jobs.enqueue_sql('explain analyze select 1')", False),
        ("select jobs.enqueue('app.keep', '{\"tag\": \"x\"}')", False),
        (
            (
                'select jobs.enqueue(\'app.keep\', \'{"tag": "x"}\', options => \'{"repeatable":'
                " true}')"
            ),
            True,
        ),
    ],
)
def test_what_may_simply_be_run_again(shared: Database, query: str, repeatable: bool) -> None:
    """What was declared holds; VACUUM, ANALYZE, REINDEX and REFRESH are repeatable by
    themselves.
    """
    job = shared.value(query)
    assert shared.admin("select jobs_internal.is_repeatable(%s)", [job]) == [(repeatable,)]


@pytest.mark.parametrize(("key", "length"), [("", 0), ("k" * 513, 513), ("ä" * 300, 600)])
def test_the_length_of_a_wrong_concurrency_key_is_said(
    database: Database, key: str, length: int
) -> None:
    with pytest.raises(
        psycopg.Error,
        match=f'^the option "concurrency_key" must have 1 to 512 bytes, not {length}\n',
    ) as refused:
        _enqueued(database, {"concurrency_key": key})
    assert refused.value.sqlstate == "PW029"

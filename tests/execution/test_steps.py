"""Several statements as one job: one after the other, each once, on from where it stopped."""

import json

import pytest
from stage import attempts, gate_shut, ledger, put_steps, quick_retries, state, wait_at_gate
from support import Database, sqlstate_of, wait_until


def states(database: Database, job: int) -> list[str]:
    """The state of each step."""
    return [found for (found,) in database.run("select state from jobs.steps where id = %s", [job])]


def test_statements_of_both_kinds_run_in_their_order(database: Database) -> None:
    job = put_steps(
        database,
        "create table app.points (n integer)",
        {"statement": "insert into app.points select generate_series(1, 100)"},
        "create index concurrently points_n on app.points (n)",
        "vacuum (analyze) app.points",
        {"statement": "drop table app.points", "done_when": "to_regclass('app.points') is null"},
    )
    assert states(database, job) == ["current", *["waiting"] * 4]
    database.drain()
    found = database.job(job)
    assert (found["state"], found["result"]["steps"]) == ("succeeded", 5)
    assert states(database, job) == ["done"] * 5
    assert attempts(database, job) == [(1, "succeeded")]
    assert database.run(
        "select result->>'rows' from jobs.steps where id = %s and step = 2", [job]
    ) == [("100",)]


def test_a_step_that_fails_stops_there_and_a_retry_goes_on_there(database: Database) -> None:
    job = put_steps(
        database,
        "select app.note(1)",
        "select app.note(2)",
        "insert into app.missing values (3)",
        "select app.note(4)",
        max_attempts=1,
    )
    database.drain()
    found = database.job(job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "42P01")
    assert found["statement"] == "insert into app.missing values (3)"
    assert states(database, job) == ["done", "done", "current", "waiting"]
    database.run("create table app.missing (n integer)")
    database.run("select jobs.retry(%s)", [job])
    database.drain()
    assert state(database, job) == "succeeded"
    assert ledger(database) == [1, 2, 4]
    assert attempts(database, job) == [(1, "failed"), (2, "succeeded")]


def test_what_is_done_already_is_not_run(database: Database) -> None:
    job = put_steps(
        database,
        {"statement": "select app.note(1)", "done_when": "true"},
        {"statement": "call app.watched(2, '')", "done_when": "select true"},
        {
            "statement": "select app.note(3)",
            "done_when": "exists (select from app.ledger where n = 3)",
        },
    )
    database.drain()
    assert (state(database, job), ledger(database)) == ("succeeded", [3])
    results = database.run("select result from jobs.steps where id = %s", [job])
    assert results == [({"verified": True},), ({"verified": True},), ({"rows": 1},)]


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_session_that_dies_leaves_the_step_to_the_next_attempt(
    database: Database, step: int
) -> None:
    """What was done before is not done again, and of what was under way nothing is left."""
    quick_retries(database)
    job = put_steps(
        database,
        *[f"select app.{'gate' if n == step else 'note'}({n})" for n in (1, 2, 3)],
        max_attempts=2,
    )
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not database.background())
    database.drain()
    assert (state(database, job), ledger(database)) == ("succeeded", [1, 2, 3])


def test_a_cancel_stops_between_two_steps(database: Database) -> None:
    """It comes too late for the step that runs: that one is done, the next one is not begun."""
    job = put_steps(database, "select app.gate(1)", "select app.note(2)")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        # as jobs.cancel notes it; no supervisor is there to signal
        database.admin(
            "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)"
            " values (%s, 1, 'cancelled', 'app')",
            [job],
        )
    wait_until(lambda: not database.background())
    assert (state(database, job), ledger(database)) == ("cancelled", [1])
    assert states(database, job) == ["done", "current"]
    database.run("select jobs.retry(%s)", [job])
    database.drain()
    assert (state(database, job), ledger(database)) == ("succeeded", [1, 2])


def test_a_cancel_of_a_running_step_undoes_that_step_only(database: Database) -> None:
    job = put_steps(database, "select app.note(1)", "select app.gate(2)", "select app.note(3)")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.run("select jobs.cancel(%s)", [job])
        wait_until(lambda: state(database, job) == "cancelled")
    assert (states(database, job), ledger(database)) == (["done", "current", "waiting"], [1])


def test_attempts_are_of_the_whole_job(database: Database) -> None:
    """A step that is done charges none: a job of one attempt has many steps."""
    quick_retries(database)
    job = put_steps(database, *[f"select app.note({n})" for n in range(5)], max_attempts=1)
    twice = put_steps(
        database, "select app.stumble(10, times => 1)", "select app.stumble(11)", max_attempts=2
    )
    database.drain()
    assert (state(database, job), ledger(database)) == ("succeeded", [0, 1, 2, 3, 4, 10, 11])
    assert attempts(database, twice) == [(1, "failed"), (2, "succeeded")]


def test_each_step_has_its_own_lock_timeout(database: Database) -> None:
    database.run(
        "create table app.points (n integer); insert into app.points values (1);"
        " create table app.told (n text); create function app.tell() returns boolean"
        " language plpgsql as $$ begin insert into app.told values"
        " (current_setting('lock_timeout')); return true; end $$"
    )
    job = put_steps(
        database,
        {"statement": "alter table app.points add check (app.tell())", "lock_timeout": "300 ms"},
        "alter table app.points add check (app.tell())",
        options=json.dumps({"lock_timeout": "700 ms"}),
    )
    database.drain()
    assert state(database, job) == "succeeded"
    assert database.run("select n from app.told") == [("300ms",), ("700ms",)]


def test_a_unique_key_is_held_until_the_last_step(database: Database) -> None:
    job = put_steps(database, "select app.note(1)", "select app.gate(2)", unique_key="k")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert put_steps(database, "select app.note(9)", unique_key="k") == job
    database.drain()
    assert ledger(database) == [1, 2]


def test_wait_does_not_wait_for_a_step_at_top_level_to_come(database: Database) -> None:
    database.run("create table app.points (n integer)")
    job = put_steps(database, "select app.note(1)", "create index concurrently on app.points (n)")
    assert sqlstate_of(lambda: database.run("select jobs.wait(%s, '1 s')", [job])) == "PW034"


def test_a_timeout_is_for_each_step(database: Database) -> None:
    """What the steps before took does not count."""
    job = put_steps(database, "select app.note(1)", "select app.gate(2)", timeout="1 hour")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        ((before,),) = database.run(
            "select finished_at from jobs.steps where id = %s and step = 1", [job]
        )
        ((started,),) = database.admin(
            "select started_at from jobs_internal.job where id = %s", [job]
        )
    assert started >= before


@pytest.mark.parametrize(
    "last", ["analyze app.points", "alter table app.points add later integer", "select 1"]
)
def test_queries_are_measured_before_the_first_step_and_after_the_last(
    database: Database, last: str
) -> None:
    """At top level and in a transaction."""
    database.run("create table app.points as select n from generate_series(1, 20000) as n")
    job = put_steps(
        database,
        "select app.note(1)",
        "create index points_n on app.points (n)",
        last,
        options=json.dumps({"measure": ["select n from app.points where n = 7"]}),
    )
    database.drain()
    assert state(database, job) == "succeeded"
    rows = database.admin(
        "select m.before -> 'indexes', m.after -> 'indexes' from jobs_internal.measurement as m"
        " where m.job_id = %s and m.kind = 'query'",
        [job],
    )
    assert rows == [([], ["points_n"])]

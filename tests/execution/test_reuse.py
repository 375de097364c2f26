"""The option reuse_for: the same call that has succeeded a short while ago is the answer."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb
from stage import age_history, ledger, put, put_sql, put_steps, state, step_history
from support import Database, sqlstate_of

from .reused import HOUR, ask, reused


def _age(database: Database, by: str) -> None:
    database.admin(
        "update jobs_internal.fresh_result set finished_at = finished_at - %s::interval", [by]
    )


def _forget(database: Database, given: str, role: str = "app") -> int:
    return int(database.value(f"select jobs.forget({given})", role=role))


def test_the_last_success_is_the_answer(database: Database) -> None:
    """Nothing is enqueued, a NOTICE says so, and the job counts how often."""
    job = ask(database)
    database.drain()
    heard: list[str] = []
    line = database.line()
    line.add_notice_handler(lambda notice: heard.append(notice.message_primary or ""))
    assert [ask(database) for _ in range(3)] == 3 * [job]
    assert all(f"job {job} has succeeded at" in text for text in heard)
    assert len(heard) == 3
    database.drain()
    assert ledger(database) == [1]
    assert reused(database, job) == 3
    assert database.value("select count(*) from jobs.job") == 1


def test_other_arguments_are_another_call(database: Database) -> None:
    """What counts are the arguments as they were cast: neither their order nor their spelling."""
    database.run(
        "create function app.two(a integer, b text default 'x') returns text language sql"
        " return a || b"
    )
    first = put(database, "app.two", {"a": 1, "b": "y"}, options=HOUR)
    other = put(database, "app.two", {"a": 2, "b": "y"}, options=HOUR)
    short = put(database, "app.two", {"a": 1}, options=HOUR)
    database.drain()
    assert len({first, other, short}) == 3
    assert put(database, "app.two", {"b": "y", "a": 1}, options=HOUR) == first
    assert put(database, "app.two", {"b": "y", "a": "1"}, options=HOUR) == first
    assert put(database, "app.two", {"a": 1}, options=HOUR) == short


def test_a_function_without_arguments(database: Database) -> None:
    job = put(database, "pg_catalog.now", options=HOUR)
    database.drain()
    assert put(database, "now", options=HOUR) == job


def test_a_key_that_is_given(database: Database) -> None:
    """Then the arguments do not count, and one is not the other's."""
    keyed = ask(database, 1, unique_key="k")
    plain = ask(database, 1)
    database.drain()
    assert ask(database, 2, unique_key="k") == keyed
    assert ask(database, 1) == plain
    assert ledger(database) == [1, 1]


@pytest.mark.parametrize("kind", ["in a transaction", "at top level", "steps"])
def test_statements_with_a_key(database: Database, kind: str) -> None:
    """Their text does not count; without a key it is not known what is the same."""

    def ask_sql(*, again: bool = False, **more: Any) -> int:
        if kind == "steps":
            steps = ["insert into app.ledger (n) values (1)", "select 1"]
            return put_steps(database, *steps[: 1 if again else 2], options=HOUR, **more)
        statement = "vacuum app.ledger" if kind == "at top level" else "select 1"
        return put_sql(database, statement + (" " if again else ""), options=HOUR, **more)

    job = ask_sql(unique_key="k")
    database.drain()
    assert ask_sql(unique_key="k", again=True) == job
    assert reused(database, job) == 1
    assert database.admin("select count(*) from jobs_internal.statement") == [(0,)]
    assert database.value("select jobs.forget(unique_key => 'k')") == 1
    other = ask_sql(unique_key="k")
    assert other > job
    database.drain()
    assert sqlstate_of(ask_sql) == "PW029"
    assert not database.run("select 1 from jobs.queued")


def test_how_young_is_said_by_each_call(database: Database) -> None:
    job = ask(database)
    database.drain()
    _age(database, "10 minutes")
    assert ask(database, options={"reuse_for": "11 minutes"}) == job
    second = ask(database, options={"reuse_for": "9 minutes"})
    assert second != job
    database.drain()
    assert ask(database) == second  # the last one


def test_only_a_success_of_such_a_job_counts(database: Database) -> None:
    """Not a failure, not a cancel, not a job that did not say so."""
    failed = put(database, "app.fail", options=HOUR, max_attempts=1)
    plain = put(database, "app.note", {"n": 1}, unique_key="k")
    database.drain()
    cancelled = ask(database, run_at="2099-01-01")
    database.run("select jobs.cancel(%s)", [cancelled])
    assert put(database, "app.fail", options=HOUR, max_attempts=1) > failed
    assert ask(database) > cancelled
    assert ask(database, unique_key="k") > plain


def test_one_that_is_not_finished_is_the_answer_too(database: Database) -> None:
    """By its unique_key, as ever."""
    job = ask(database, run_at="2099-01-01")
    assert ask(database) == job
    assert reused(database, job) == 0


def test_each_owner_and_queue_has_its_own(database: Database) -> None:
    """None is the answer to another tenant, nor forgotten by one."""
    database.admin("select jobs.create_queue('q')")

    def now(role: str = "app", queue: str = "default") -> int:
        return put(database, "pg_catalog.now", role=role, queue=queue, options=HOUR)

    mine, there, theirs = now(), now(queue="q"), now("other")
    database.drain()
    database.drain(role="other")
    assert len({mine, there, theirs}) == 3
    assert (now(), now(queue="q"), now("other")) == (mine, there, theirs)
    assert _forget(database, "'now'", role="other") == 1
    assert now() == mine
    assert now("other") > theirs
    assert _forget(database, "'now'") == 2
    assert now() > mine


def test_forgotten_is_just_the_one(database: Database) -> None:
    one, two, keyed = ask(database, 1), ask(database, 2), ask(database, 1, unique_key="k")
    database.drain()
    assert _forget(database, "'app.note', '{\"n\": 3}'") == 0
    assert _forget(database, "'app.note', '{\"n\": 1}'") == 1
    assert _forget(database, "'app.note', '{\"n\": 1}'") == 0
    assert ask(database, 2) == two
    assert ask(database, unique_key="k") == keyed
    assert ask(database, 1) > one
    assert _forget(database, "unique_key => 'k'") == 1
    assert ask(database, unique_key="k") > keyed


def test_a_rollback_takes_everything_back(database: Database) -> None:
    """A reuse that is not committed is not counted, a forgotten result is there again."""
    job = ask(database)
    database.drain()
    with database.connect() as line:
        line.execute("begin")
        line.execute("select jobs.forget('app.note', '{\"n\": 1}')")
        line.execute("rollback")
        line.execute("begin")
        line.execute("select jobs.enqueue('app.note', '{\"n\": 1}', options => %s)", [Jsonb(HOUR)])
        line.execute("rollback")
    assert reused(database, job) == 0
    assert ask(database) == job


def test_an_open_transaction_keeps_none_waiting(database: Database) -> None:
    """Who reuses, forgets or ends a job waits for no other who does, uncommitted."""
    job = ask(database)
    database.drain()
    holder = database.connect()
    holder.execute("begin")
    holder.execute("select jobs.enqueue('app.note', '{\"n\": 1}', options => %s)", [Jsonb(HOUR)])
    holder.execute("select jobs.forget('app.note', '{\"n\": 1}')")
    assert ask(database) == job
    again = ask(database, options={"reuse_for": "0.000001 s"})
    assert again != job
    database.drain()
    assert state(database, again) == "succeeded"
    database.admin("select jobs_internal.sum_reuses()")
    holder.execute("commit")
    assert reused(database, job) == 2
    assert ask(database) == again


def test_a_replaced_function_is_the_same_call(database: Database) -> None:
    job = ask(database)
    database.drain()
    database.run(
        "create or replace function app.note(n integer) returns integer language sql"
        " as 'insert into app.ledger (n) values (note.n + 1) returning n'"
    )
    assert ask(database) == job


def test_what_history_has_lost_is_made_anew(database: Database) -> None:
    """A result goes with its job: retention, and a bucket that is dropped."""
    job = ask(database)
    database.drain()
    assert ask(database) == job
    age_history(database, "100 days")
    step_history(database)
    assert not database.run("select 1 from jobs.job where id = %s", [job])
    assert not database.admin("select 1 from jobs_internal.fresh_result")
    assert not database.admin("select 1 from jobs_internal.reuse")
    assert ask(database) > job


def test_the_count_of_what_was_forgotten_goes_too(database: Database) -> None:
    """With the history of its job."""
    job = ask(database)
    database.drain()
    assert ask(database) == job
    assert _forget(database, "'app.note', '{\"n\": 1}'") == 1
    age_history(database, "100 days")
    step_history(database)
    assert not database.admin("select 1 from jobs_internal.reuse")


def test_counts_are_summed_up(database: Database) -> None:
    """Rows are added, never changed; the upkeep makes one of them."""
    job, other = ask(database), ask(database, 2)
    database.drain()
    for _ in range(5):
        ask(database)
    ask(database, 2)
    database.admin(
        "insert into jobs_internal.reuse (job_id, bucket) values (999999, 1), (999999, 1)"
    )
    database.admin("select jobs_internal.sum_reuses()")
    assert database.admin("select job_id, times from jobs_internal.reuse order by 1") == [
        (job, 5),
        (other, 1),
    ]
    ask(database)
    database.admin("select jobs_internal.sum_reuses()")
    assert (reused(database, job), reused(database, other)) == (6, 1)


@pytest.mark.parametrize(
    "value",
    ["soon", "", "0", "-1 s", "infinity", 3, True, None, "1 month -40 days", "178000000 years"],
)
def test_what_is_no_time_is_refused(database: Database, value: object) -> None:
    assert sqlstate_of(lambda: ask(database, options={"reuse_for": value})) == "PW029"
    assert not database.run("select 1 from jobs.job")


def test_longer_than_history_is_refused(database: Database) -> None:
    database.admin("select jobs.create_queue('q', retention => '2 hours')")
    two = {"reuse_for": "2 hours"}
    ask(database, queue="q", options=two)
    refused = {"reuse_for": "2 hours 1 second"}
    assert sqlstate_of(lambda: ask(database, queue="q", options=refused)) == "PW108"


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_an_old_snapshot_is_refused(database: Database, level: str) -> None:
    line = database.connect()
    line.execute(f"set default_transaction_isolation = '{level}'".encode())

    def one() -> None:
        line.execute("select jobs.enqueue('app.note', '{\"n\": 1}', options => %s)", [Jsonb(HOUR)])

    assert sqlstate_of(one) == "PW109"


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("", "PW110"),
        ("null", "PW110"),
        ("'app.note', unique_key => 'k'", "PW110"),
        ("args => '{\"n\": 1}', unique_key => 'k'", "PW110"),
        ("'no such'", "PW001"),
        ("'app.note', '{\"m\": 1}'", "PW003"),
    ],
)
def test_what_cannot_be_forgotten_is_refused(database: Database, given: str, code: str) -> None:
    assert sqlstate_of(lambda: _forget(database, given)) == code

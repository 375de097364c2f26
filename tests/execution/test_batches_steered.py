"""What is asked of batches: a cancel, a retry, what others may, what cannot be."""

import psycopg
import pytest
from psycopg.types.json import Jsonb
from stage import put, put_many, put_sql, state, wait_for
from support import Database, sqlstate_of

from .batches import add, add_many, calls, close, counts, finish, fold, make, stage


@pytest.fixture(autouse=True)
def _staged(database: Database) -> None:
    stage(database)


def test_cancel(database: Database) -> None:
    """What waits is cancelled, and no more can be added; then the callbacks come."""
    batch = make(database)
    jobs = [*add_many(database, batch, 20), add(database, batch, run_at="infinity")]
    assert database.value("select jobs.cancel_batch(%s)", [batch]) == 21
    assert {state(database, job) for job in jobs} == {"cancelled"}
    assert sqlstate_of(lambda: add(database, batch)) == "PW116"
    finish(database)
    assert sorted(calls(database, batch)) == ["failure", "finish"]
    assert database.value("select jobs.cancel_batch(%s)", [batch]) == 0


def test_cancel_many(database: Database) -> None:
    """In slices, of each queue and kind; what a session has in hand is left to it."""
    database.admin("select jobs.create_queue('two')")
    for queue in ("default", "two"):
        put(database, "app.note", {"n": 1}, queue=queue)
    database.drain()
    batch = make(database)
    jobs = add_many(database, batch, 450)
    given = Jsonb({"batch": batch})
    jobs += put_many(database, "app.note", [{"n": 1}] * 250, queue="two", options=given)
    jobs.append(put_sql(database, "select 1", options=given))
    jobs.append(add(database, batch, options={"after": [jobs[0]]}))
    other = put(database, "app.note", {"n": 77})
    message = database.admin(
        "select msg_id, lane_id from jobs_internal.job where id = %s", [jobs[3]]
    )[0]
    with database.connect("postgres") as held, held.transaction():
        held.execute(
            f"select from pgmq.q_pyworker_{message[1]} where msg_id = %s for update", message[:1]
        )
        assert database.value("select jobs.cancel_batch(%s)", [batch]) == len(jobs)
        assert counts(database, batch)[5] == len(jobs) - 1
    finish(database)
    assert {state(database, job) for job in jobs} == {"cancelled"}
    assert state(database, other) == "succeeded"
    assert calls(database, batch) == ["finish", "failure"]
    assert database.admin("select count(*) from jobs_internal.job") == [(0,)]
    database.assert_reasons()


def test_cancel_what_runs(database: Database) -> None:
    """It is stopped."""
    make_lane = put(database, "app.note", {"n": 1})
    database.drain()
    assert state(database, make_lane) == "succeeded"
    batch = make(database)
    job = add(database, batch, "app.nap", {"seconds": 60})
    database.run("select jobs.start()")
    wait_for(database, job, "running")
    assert database.value("select jobs.cancel_batch(%s)", [batch]) == 1
    wait_for(database, job, "cancelled")
    finish(database)
    assert sorted(calls(database, batch)) == ["failure", "finish"]


def test_a_retry_before_its_end(database: Database) -> None:
    """It takes its end back."""
    batch = make(database)
    job = add(database, batch, "app.stumble", {"n": 1}, max_attempts=1)
    database.drain()
    assert counts(database, batch) == ("open", 1, 0, 0, 1, 0, 0)
    database.run("select jobs.retry(%s)", [job])
    assert counts(database, batch) == ("open", 1, 1, 0, 0, 0, 0)
    close(database, batch)
    finish(database)
    assert sorted(calls(database, batch)) == ["finish", "success"]


def test_retry_batch(database: Database) -> None:
    """Another end, with callbacks of its own; a retry of one job makes none."""
    batch = make(database)
    add(database, batch)
    job = add(database, batch, "app.fail", max_attempts=1)
    close(database, batch)
    finish(database)
    assert calls(database, batch) == ["finish", "failure"]
    database.run("select jobs.retry(%s)", [job])
    finish(database)
    assert calls(database, batch) == ["finish", "failure"]
    assert counts(database, batch) == ("finished", 2, 0, 1, 1, 0, 0)
    database.run(
        "create or replace function app.fail(state text default 'P0001', n integer default"
        " null) returns void language sql as ''"
    )
    assert database.value("select jobs.retry_batch(%s)", [batch]) == 1
    assert counts(database, batch) == ("closed", 2, 1, 1, 0, 0, 0)
    finish(database)
    assert calls(database, batch) == ["finish", "failure", "finish", "success"]
    assert database.value("select jobs.retry_batch(%s)", [batch]) == 0
    finish(database)
    assert len(calls(database, batch)) == 4


def test_of_another_role(database: Database) -> None:
    """As one that is not there; an operator acts on all, which is audited."""
    batch = make(database)
    given = Jsonb({"batch": batch})
    for call in ("close_batch", "cancel_batch", "retry_batch"):
        for number in (batch, 10**9, None):
            with pytest.raises(psycopg.Error) as caught:
                database.run(f"select jobs.{call}(%s)", [number], role="other")
            assert caught.value.sqlstate == "PW115"
    for query in (
        "select jobs.enqueue('pg_catalog.now', options => %s)",
        "select jobs.enqueue_many('pg_catalog.now', '{\"{}\"}', options => %s)",
        "select jobs.enqueue_sql('select 1', options => %s)",
    ):
        assert sqlstate_of(lambda q=query: database.run(q, [given], role="other")) == "PW115"
    assert database.value("select count(*) from jobs.batches", role="other") == 0
    assert database.value("select count(*) from jobs.batches", role="reader") == 1
    assert database.value("select jobs.close_batch(%s)", [batch], role="operator") is True
    assert database.admin("select action, object from jobs_internal.audit") == [
        ("close_batch", f"batch {batch}")
    ]


def test_a_published_task(database: Database) -> None:
    """The job is the publisher's, the batch the enqueuer's."""
    database.run("create function app.shared(n integer) returns integer language sql return n")
    database.run("select jobs.publish('app.shared', 'other')")
    database.admin("create table other.seen (batch bigint); grant all on other.seen to public")
    database.run(
        "create function other.over() returns void language sql begin atomic"
        " insert into other.seen select r.batch from jobs.current_run() as r; end",
        role="other",
    )
    batch = database.value(
        "select jobs.create_batch('b', on_success => 'other.over')", role="other"
    )
    database.value(
        "select jobs.enqueue_published('app.shared', '{\"n\": 1}', options => %s)",
        [Jsonb({"batch": batch})],
        role="other",
    )
    database.run("select jobs.close_batch(%s)", [batch], role="other")
    database.drain()
    fold(database)
    database.drain(role="other")
    assert database.admin("select batch from other.seen") == [(batch,)]


def test_callbacks_that_cannot_be_enqueued(database: Database) -> None:
    """They are not lost: health names the batch, and a round tries again."""
    database.admin("select jobs.create_queue('calls')")
    batch = make(database, "on_finish => 'app.finished', options => '{\"queue\": \"calls\"}'")
    add(database, batch)
    close(database, batch)
    database.admin("select jobs.alter_queue('calls', accepting => false)")
    finish(database)
    finish(database)
    assert calls(database, batch) == []
    state_now, trouble = database.run(
        "select state, trouble from jobs.batches where id = %s", [batch]
    )[0]
    assert (state_now, trouble) == ("calling", "the queue of its callbacks takes no jobs")
    status, detail = database.admin(
        "select status, detail from jobs.health where \"check\" = 'batches'"
    )[0]
    assert status == "warning"
    assert f"of batch {batch}: the queue of its callbacks takes no jobs (PW008)" in detail
    database.admin("select jobs.alter_queue('calls', accepting => true)")
    finish(database)
    assert calls(database, batch) == ["finish"]
    assert database.admin("select status from jobs.health where \"check\" = 'batches'") == [("ok",)]


@pytest.mark.parametrize("value", ["x", -1, 1.5, 10**30, True, None, [1]])
def test_a_number_that_is_none(database: Database, value: object) -> None:
    """PW029."""
    assert (
        sqlstate_of(lambda: put(database, "app.note", {"n": 1}, options=Jsonb({"batch": value})))
        == "PW029"
    )


def test_schedules_have_none(database: Database) -> None:
    """A batch ends once."""
    batch = make(database)
    assert (
        sqlstate_of(
            lambda: database.run(
                "select jobs.schedule('s', '@daily', 'pg_catalog.now', options => %s)",
                [Jsonb({"batch": batch})],
            )
        )
        == "PW029"
    )

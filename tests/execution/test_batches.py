"""Batches: what is counted, when they call back, and what is asked of them."""

import psycopg
import pytest
from psycopg.types.json import Jsonb
from stage import put, put_many, put_sql, state, wait_for
from support import Database, Row, sqlstate_of

from .batches import add, add_many, calls, close, counts, finish, fold, make, stage
from .dependents import follow


@pytest.fixture(autouse=True)
def _staged(database: Database) -> None:
    stage(database)


@pytest.mark.parametrize("sessions", [1, 4])
def test_all_succeed(database: Database, sessions: int) -> None:
    """Its callbacks are enqueued by a session that works, without a supervisor."""
    batch = make(database)
    add_many(database, batch, 500)
    single = add(database, batch)
    assert counts(database, batch) == ("open", 501, 501, 0, 0, 0, 0)
    database.drain(sessions=sessions)
    assert counts(database, batch) == ("open", 501, 0, 501, 0, 0, 0)
    assert calls(database, batch) == []
    close(database, batch)
    finish(database)
    assert sorted(calls(database, batch)) == ["finish", "success"]
    assert counts(database, batch) == ("finished", 501, 0, 501, 0, 0, 0)
    finish(database)
    assert sorted(calls(database, batch)) == ["finish", "success"]
    assert database.value("select batch from jobs.job where id = %s", [single]) == batch


def test_the_session_that_ends_the_last_job_calls_back(database: Database) -> None:
    """By its next commit."""
    batch = make(database)
    add_many(database, batch, 300)
    close(database, batch)
    database.drain()
    assert sorted(calls(database, batch)) == ["finish", "success"]
    assert database.admin("select count(*) from jobs_internal.batch_delta") == [(0,)]


@pytest.mark.parametrize("end", ["failed", "cancelled"])
def test_one_does_not_succeed(database: Database, end: str) -> None:
    """What is cancelled has ended, and has not succeeded."""
    batch = make(database)
    add(database, batch)
    other = add(database, batch, "app.fail", max_attempts=1)
    if end == "cancelled":
        database.run("select jobs.cancel(%s)", [other])
    close(database, batch)
    finish(database)
    assert state(database, other) == end
    assert sorted(calls(database, batch)) == ["failure", "finish"]
    assert counts(database, batch)[3:6] == (1, end == "failed", end == "cancelled")


def test_an_attempt_that_is_tried_again_is_no_end(database: Database) -> None:
    """Nor is a snooze."""
    batch = make(database)
    add(database, batch, "app.stumble", {"n": 3}, max_attempts=3)
    close(database, batch)
    database.drain()
    database.admin("update jobs_internal.job set due_at = now() where due_at is not null")
    database.admin("select jobs_internal.dispatch()")
    finish(database)
    assert sorted(calls(database, batch)) == ["finish", "success"]


def test_an_empty_batch(database: Database) -> None:
    """It calls back when it is closed, as one of which all have succeeded."""
    batch = make(database)
    fold(database)
    assert calls(database, batch) == []
    close(database, batch)
    finish(database)
    assert sorted(calls(database, batch)) == ["finish", "success"]
    assert database.value("select jobs.close_batch(%s)", [batch]) is False


def test_a_batch_without_callbacks(database: Database) -> None:
    """It is finished all the same."""
    batch = database.value("select jobs.create_batch('silent')")
    add(database, batch)
    close(database, batch)
    finish(database)
    assert counts(database, batch)[0] == "finished"


def test_arguments_are_cast_when_it_is_made(database: Database) -> None:
    """With the path and the rights of then; what does not fit makes no batch."""
    with database.connect("app") as line:
        line.execute("set search_path = app, public")
        batch = line.execute(
            "select jobs.create_batch('a', on_finish => 'note', args => '{\"n\": \"7\"}',"
            ' options => \'{"title": "the end", "priority": "high"}\')'
        ).fetchone()[0]
    close(database, batch)
    finish(database)
    assert database.run(
        "select j.args, j.title, j.priority, j.state from jobs.batches as b"
        " join jobs.job as j on j.id = any (b.callback_jobs) where b.id = %s",
        [batch],
    ) == [({"n": 7}, "the end", "high", "succeeded")]
    for call, code in (
        ("on_finish => 'app.no_such'", "PW001"),
        ("on_finish => 'app.note'", "PW004"),
        ("on_success => 'app.note', args => '{\"n\": \"x\"}'", "PW005"),
        ("on_failure => 'other.work'", "PW006"),
    ):
        assert sqlstate_of(lambda call=call: make(database, call)) == code, call
    assert database.value("select count(*) from jobs.batches") == 1


def test_the_jobs_of_a_batch(database: Database) -> None:
    """They are listed, wherever they are, and no others."""
    batch, other = make(database), make(database)
    mine, its = [], []
    for n in range(80):
        (mine if n % 3 else its).append(add(database, batch if n % 3 else other))
    put(database, "app.note", {"n": 1})
    many = add_many(database, batch, 50)
    listed = "select array(select jobs.batch_jobs(%s))"
    assert database.value(listed, [batch]) == mine + many
    database.drain()
    assert database.value(listed, [batch]) == mine + many
    assert database.value(listed, [other]) == its
    assert database.value(listed, [batch], role="other") == []


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


def _in_doubt(database: Database, batch: int) -> int:
    """A job of a batch that ended unseen."""
    job = add(database, batch, run_at="infinity")
    database.admin(
        "select jobs_internal.archive_jobs(queue_id, owner, 'scheduled', 0, 'in_doubt', null,"
        " array[row(id, attempt, null, null, now(), null, null, null, null, null, null, null,"
        " null, null, null, null, null, null, null, null)::jobs_internal.attempt_result])"
        " from jobs_internal.job where id = %s",
        [job],
    )
    return job


def test_a_job_in_doubt_has_not_ended(database: Database) -> None:
    """Until a person has decided."""
    batch = make(database)
    job = _in_doubt(database, batch)
    close(database, batch)
    finish(database)
    assert calls(database, batch) == []
    assert counts(database, batch) == ("closed", 1, 0, 0, 0, 0, 1)
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelled"
    assert counts(database, batch) == ("calling", 1, 0, 0, 0, 1, 0)
    finish(database)
    assert calls(database, batch) == ["finish", "failure"]


def test_a_job_in_doubt_whose_history_has_gone(database: Database) -> None:
    """It counts as cancelled, once."""
    batch = make(database)
    job = _in_doubt(database, batch)
    close(database, batch)
    fold(database)
    sweep = "select jobs_internal.sweep_batches()"
    database.admin(sweep)
    finish(database)
    assert calls(database, batch) == []
    database.admin("delete from jobs_internal.finished where id = %s", [job])
    database.admin(sweep)
    database.admin(sweep)
    finish(database)
    assert calls(database, batch) == ["finish", "failure"]
    assert counts(database, batch) == ("finished", 1, 0, 0, 0, 1, 0)


def test_a_job_of_the_batch_adds_to_it(database: Database) -> None:
    """As long as it is open."""
    batch = make(database)
    add(database, batch, "app.add_to", {"batch": batch})
    database.drain()
    assert counts(database, batch) == ("open", 2, 0, 2, 0, 0, 0)
    late = add(database, batch, "app.add_to", {"batch": batch}, max_attempts=1)
    close(database, batch)
    finish(database)
    assert database.job(late)["error"]["sqlstate"] == "PW116"
    assert calls(database, batch) == ["finish", "failure"]


def test_after_with_a_batch(database: Database) -> None:
    """A child that is cancelled for its parent has ended; with it, it comes back."""
    batch = make(database)
    parent = add(database, batch, "app.stumble", {"n": 1}, max_attempts=1)
    child = add(database, batch, options={"after": [parent]})
    close(database, batch)
    database.drain()
    follow(database)
    finish(database)
    assert state(database, child) == "cancelled"
    assert calls(database, batch) == ["finish", "failure"]
    assert counts(database, batch)[3:6] == (0, 1, 1)
    assert database.value("select jobs.retry_batch(%s)", [batch]) == 1
    database.drain()
    fold(database)
    follow(database)
    database.drain()
    finish(database)
    assert state(database, child) == "succeeded"
    assert calls(database, batch) == ["finish", "failure", "finish", "success"]


def test_what_enqueues_nothing_adds_nothing(database: Database) -> None:
    """A unique_key that an unfinished job has, and a result that is reused."""
    batch = make(database)
    first = put(database, "app.note", {"n": 1}, unique_key="k", run_at="infinity")
    assert add(database, batch, unique_key="k", run_at="infinity") == first
    done = put(database, "app.note", {"n": 2}, options=Jsonb({"reuse_for": "1 hour"}))
    database.drain()
    assert add(database, batch, args={"n": 2}, options={"reuse_for": "1 hour"}) == done
    assert counts(database, batch)[:3] == ("open", 0, 0)
    close(database, batch)
    finish(database)
    assert calls(database, batch) == ["finish", "success"]


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


def _waits_for(database: Database, batch: int) -> Row:
    (row,) = database.run("select state, waits_for from jobs.batches where id = %s", [batch])
    return row


def test_what_its_callbacks_wait_for(database: Database) -> None:
    """From its making to its end."""
    database.admin("select jobs.create_queue('calls')")
    batch = make(database, "on_finish => 'app.finished', options => '{\"queue\": \"calls\"}'")
    database.admin("select jobs.alter_queue('calls', accepting => false)")
    closing = f"jobs.close_batch({batch})"
    assert _waits_for(database, batch) == ("open", closing)
    add(database, batch)
    assert _waits_for(database, batch) == ("open", f"{closing}, and the end of 1 job")
    database.drain()
    assert _waits_for(database, batch) == ("open", closing)
    doubtful = _in_doubt(database, batch)
    waiting = add(database, batch, run_at="infinity")
    close(database, batch)
    assert _waits_for(database, batch) == ("closed", "the end of 2 jobs, 1 of them in doubt")
    database.run("select jobs.cancel(%s)", [doubtful])
    assert _waits_for(database, batch) == ("closed", "the end of 1 job")
    database.run("select jobs.cancel(%s)", [waiting])
    assert _waits_for(database, batch) == (
        "calling",
        "a round of a supervisor, or a session of its owner",
    )
    fold(database)
    assert _waits_for(database, batch) == (
        "calling",
        "its next try to enqueue them: the queue of its callbacks takes no jobs",
    )
    database.admin("select jobs.alter_queue('calls', accepting => true)")
    fold(database)
    assert _waits_for(database, batch) == ("finished", None)


def test_health_names_a_batch_that_stays_open(database: Database) -> None:
    """All its jobs have ended, and nothing was added for a day."""
    batch = make(database)
    add(database, batch)
    database.drain()
    fold(database)
    look = "select status, remedy from jobs.health where \"check\" = 'batches'"
    assert database.admin(look) == [("ok", None)]
    database.admin("update jobs_internal.batch_count set changed_at = now() - interval '25 hours'")
    assert database.admin(look)[0][0] == "warning"
    assert f"close_batch({batch})" in database.admin(look)[0][1]
    add(database, batch, run_at="infinity")
    assert database.admin(look) == [("ok", None)]


def test_batches_go_with_the_history_of_their_jobs(database: Database) -> None:
    """Not before."""
    batch, empty = make(database), make(database)
    add_many(database, batch, 3)
    for made in (batch, empty):
        close(database, made)
    finish(database)
    sweep = "select jobs_internal.sweep_batches()"
    left = "select array_agg(id order by id) from jobs_internal.batch"
    database.admin(sweep)
    assert database.admin(left) == [([batch, empty],)]
    database.admin("update jobs_internal.batch set finished_at = now() - interval '25 hours'")
    database.admin(sweep)
    assert database.admin(left) == [([batch, empty],)]
    database.admin("delete from jobs_internal.finished where options is null")
    database.admin(sweep)
    assert database.admin(left) == [([batch],)]
    database.admin("delete from jobs_internal.finished")
    database.admin(sweep)
    for table in ("batch", "batch_callback", "batch_call", "batch_count", "batch_jobs"):
        assert database.admin(f"select count(*) from jobs_internal.{table}") == [(0,)], table


def test_eta_and_percent(database: Database) -> None:
    """By what has ended since the first end."""
    batch = make(database)
    for _ in range(3):
        add_many(database, batch, 10)
        database.drain()
        fold(database)
    put_many(
        database, "app.note", [{"n": 1}] * 10, run_at="infinity", options=Jsonb({"batch": batch})
    )
    percent, soon = database.run(
        "select percent, eta between now() - interval '1 second' and now() + interval '1 hour'"
        " from jobs.batches"
    )[0]
    assert (float(percent), soon) == (75.0, True)
    assert database.run('select total, ok, "%" from jobs.batch_list') == [(40, 30, percent)]


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

"""Retention against live work: no step of it makes anybody wait, whoever reads history meanwhile;
cut off, it heals.
"""

import psycopg
import pytest
from psycopg import Connection
from stage import (
    age_history,
    attempts,
    make_lane,
    put,
    put_many,
    put_sql,
    state,
    step_history,
    wait_for,
)
from support import Database, Row, wait_until

from .waiting import Ask, begin

VIEWS = (
    "job",
    "queued",
    "running",
    "failed",
    "finished",
    "attempts",
    "log_lines",
    "queues",
    "health",
)


def _old_history(database: Database) -> list[int]:
    """Jobs of some kinds whose retention has passed, though no round has noted that yet."""
    jobs = put_many(database, "app.note", [{"n": n} for n in range(20)])
    jobs.append(put(database, "app.say", {"lines": 2}))
    jobs.append(put(database, "app.stumble", {"n": 1}))
    database.drain()
    age_history(database, "8 days")
    return jobs


def _read(line: Connection[Row]) -> None:
    """Have a reader in the middle of a long transaction: with its snapshot, and with a lock on all
    of history.
    """
    line.execute("begin isolation level repeatable read")
    for view in VIEWS:
        line.execute(f"select * from jobs.{view}".encode())


def _live_work_goes_on(database: Database) -> None:
    """Enqueue, run, cancel, retry and look, all without a wait: what waited for the reader would
    wait for ever.
    """
    line = database.connect("app", lock_timeout="200ms")
    wanted = {
        put(database, "app.note", {"n": 1}): "succeeded",
        put_sql(database, "select 1"): "succeeded",
        put(database, "app.fail", max_attempts=1): "failed",
    }
    later = line.execute(
        "select jobs.enqueue('app.note', '{\"n\": 1}', run_at => '2100-01-01')"
    ).fetchone()
    assert later is not None
    line.execute("select jobs.start()")
    for job in wanted:
        wait_for(database, job, timeout=10)
    assert {job: state(database, job) for job in wanted} == wanted
    for step, done in (("cancel", "cancelled"), ("retry", "retrying"), ("cancel", "cancelled")):
        assert line.execute(f"select jobs.{step}(%s)".encode(), later).fetchone() == (done,)
    for view in VIEWS:
        line.execute(f"select * from jobs.{view} limit 100".encode())
    wait_until(lambda: not database.admin("select 1 from jobs_internal.session"))


def _detaching(database: Database) -> list[int]:
    """List the sessions that detach a partition and wait for somebody."""
    rows = database.admin(
        "select pid from pg_stat_activity where datname = current_database()"
        " and query like 'alter table %% detach %%' and wait_event_type = 'Lock'"
    )
    return [row[0] for row in rows]


def _pending(database: Database) -> bool:
    return bool(
        database.value(
            "select exists (select from pg_inherits where inhdetachpending)", role="postgres"
        )
    )


def _round(database: Database) -> None:
    """One round, in a session that would not wait either."""
    database.connect("supervisor", lock_timeout="5s").execute("select jobs_internal.maintain()")


def test_rolling_makes_nobody_wait(database: Database) -> None:
    """A bucket is made, opened and left while somebody reads history."""
    make_lane(database)
    reader = database.connect("app")
    _read(reader)
    database.admin("update jobs_internal.history_bucket set opened_at = now() - interval '2 days'")
    for _ in range(3):
        _round(database)
        _live_work_goes_on(database)
    assert database.admin(
        "select left_at is not null, closed_at is not null from jobs_internal.history_bucket"
        " order by id"
    ) == [
        (True, False),  # the reader's snapshot is older
        (False, False),
    ]
    assert database.admin("select distinct bucket from jobs_internal.finished order by 1") == [
        (1,),
        (2,),
    ]
    reader.execute("commit")
    step_history(database)
    assert database.admin(
        "select closed_at is not null from jobs_internal.history_bucket where id = 1"
    ) == [(True,)]


def test_dropping_makes_nobody_wait(database: Database) -> None:
    """A partition is detached while somebody reads it: the detach waits, and nobody behind it."""
    jobs = _old_history(database)
    reader = database.connect("app")
    _read(reader)
    _round(database)
    wait_until(lambda: _detaching(database))
    _live_work_goes_on(database)
    _round(database)
    _live_work_goes_on(database)
    assert len(_detaching(database)) == 1
    # The reader still sees what it saw; everybody else does not.
    seen = reader.execute("select count(*) from jobs.job where id = any (%s)", [jobs]).fetchone()
    assert seen == (len(jobs),)
    assert database.run("select count(*) from jobs.job where id = any (%s)", [jobs]) == [(0,)]
    reader.execute("commit")
    wait_until(lambda: not _detaching(database))
    step_history(database)
    assert database.admin("select count(*) from jobs_internal.history_bucket") == [(1,)]
    assert database.admin(
        "select to_regclass('jobs_internal.finished_1'),"
        " to_regclass('jobs_internal.past_log_line_1')"
    ) == [(None, None)]


@pytest.mark.parametrize(
    "who", ["nobody", "who looks with a new snapshot", "who looks with an old one"]
)
def test_a_detach_that_was_cut_off_heals(database: Database, who: str) -> None:
    """Its session dies in the middle: the next rounds find that in the catalog,
    and end it when it hurts nobody.
    """
    jobs = _old_history(database)
    reader, other = database.connect("app"), database.connect("app")
    _read(reader)
    if who.endswith("old one"):
        other.execute("begin isolation level repeatable read")
        other.execute("select 1")
    _round(database)
    found = wait_until(lambda: _detaching(database))
    database.admin("select pg_terminate_backend(%s)", found)
    wait_until(lambda: not database.background())
    assert _pending(database)
    assert database.run("select count(*) from jobs.job where id = any (%s)", [jobs]) == [(0,)]
    for _ in range(2):
        _round(database)  # nothing may be done while the reader is there
        _live_work_goes_on(database)
        assert _pending(database)
        assert not _detaching(database)
    reader.execute("commit")
    if who.endswith("old one"):
        _round(database)
        wait_until(lambda: not database.background())
        assert other.execute(
            "select count(*) from jobs.job where id = any (%s)", [jobs]
        ).fetchone() == (len(jobs),)
        other.execute("commit")
    elif who.endswith("new snapshot"):
        other.execute("begin isolation level repeatable read")
        assert other.execute(
            "select count(*) from jobs.job where id = any (%s)", [jobs]
        ).fetchone() == (0,)
        _round(database)
        wait_until(lambda: _detaching(database))
        _live_work_goes_on(database)
        other.execute("select * from jobs.job")
        other.execute("commit")
        wait_until(lambda: not _detaching(database))
    step_history(database)
    assert not _pending(database)
    assert database.admin("select count(*) from jobs_internal.history_bucket where id = 1") == [
        (0,)
    ]
    assert database.admin("select to_regclass('jobs_internal.finished_1')") == [(None,)]


def test_a_round_that_is_cut_off_leaves_nothing_half_done(database: Database) -> None:
    """A server that stops in any round goes on where it was: what a round did is one
    transaction.
    """
    put(database, "app.note", {"n": 1})
    database.drain()
    database.admin("update jobs_internal.history_bucket set opened_at = now() - interval '2 days'")
    line = database.connect("supervisor")
    begin(line, "select jobs_internal.maintain()")
    database.admin("select pg_terminate_backend(%s)", [line.info.backend_pid])
    line.close()
    wait_until(
        lambda: database.admin("select to_regclass('jobs_internal.finished_2')") == [(None,)]
    )
    step_history(database)
    assert database.admin("select count(*) from jobs_internal.history_bucket") == [(2,)]


def test_a_transaction_that_wrote_history_before_knows_the_next_bucket(database: Database) -> None:
    """It holds its lock of history, and so hears of no new partition: none is opened before it
    has ended.
    """
    make_lane(database)
    jobs = [put(database, "app.note", {"n": n}, run_at="2100-01-01") for n in range(3)]
    writer = database.connect("app")
    assert begin(writer, f"select jobs.cancel({jobs[0]})") == "cancelled"
    database.admin("update jobs_internal.history_bucket set opened_at = now() - interval '2 days'")
    for _ in range(4):
        _round(database)
    assert database.admin(
        "select opened_at is not null from jobs_internal.history_bucket order by id"
    ) == [
        (True,),
        (False,),
    ]
    assert writer.execute(f"select jobs.cancel({jobs[1]})".encode()).fetchone() == ("cancelled",)
    # Who comes later is not waited for.
    later = database.connect("app")
    assert begin(later, f"select jobs.cancel({jobs[2]})") == "cancelled"
    writer.execute("commit")
    _round(database)
    assert database.admin("select bucket from jobs_internal.history_class") == [(2,)]
    put(database, "app.note", {"n": 1})
    database.drain()
    later.execute("commit")
    step_history(database)
    assert database.admin(
        "select bucket, count(*) from jobs_internal.finished group by 1 order by 1"
    ) == [
        (1, 4),
        (2, 1),
    ]


def test_an_old_snapshot_writes_where_it_is_kept(database: Database) -> None:
    """A transaction that still sees the bucket before as the open one: that one is not closed,
    and not dropped.
    """
    database.admin("select jobs.alter_queue('default', retention => '0')")
    make_lane(database)
    job = put(database, "app.note", {"n": 1}, run_at="2100-01-01")
    writer = database.connect("app")
    writer.execute("begin isolation level repeatable read")
    writer.execute("select 1")
    database.admin("update jobs_internal.history_bucket set opened_at = now() - interval '2 days'")
    for _ in range(5):
        _round(database)
    assert database.admin("select bucket from jobs_internal.history_class") != [(1,)]
    assert writer.execute(f"select jobs.cancel({job})".encode()).fetchone() == ("cancelled",)
    for _ in range(2):
        _round(database)
    writer.execute("commit")
    assert database.admin("select bucket from jobs_internal.finished where id = %s", [job]) == [
        (1,)
    ]
    assert step_history(database) == 1
    assert database.admin("select count(*) from jobs_internal.finished where id = %s", [job]) == [
        (0,)
    ]


def test_a_queue_that_is_being_made_is_known_to_its_bucket(database: Database, ask: Ask) -> None:
    """No bucket of its class is opened before the transaction that makes the queue has ended."""
    make_lane(database)
    maker = database.connect("operator")
    begin(maker, "select jobs.create_queue('new', retention => '6 days')")
    database.admin("update jobs_internal.history_bucket set opened_at = now() - interval '2 days'")
    for _ in range(3):
        _round(database)
    assert database.admin("select bucket from jobs_internal.history_class") == [(1,)]
    # Nor does one maker wait for another, or a round for any.
    second = database.connect("operator", lock_timeout="200ms")
    assert (
        ask(second, "select jobs.create_queue('newer', retention => '6 days')").result(10) is True
    )
    maker.execute("commit")
    step_history(database)
    assert database.admin(
        "select bucket, count(*) from jobs_internal.history_use group by 1 order by 1"
    ) == [
        (1, 3),
        (2, 3),
    ]


def test_two_rounds_at_once(database: Database, ask: Ask) -> None:
    """The second has nothing to do, and does not wait."""
    jobs = _old_history(database)
    first, second = (
        database.connect("supervisor"),
        database.connect("supervisor", lock_timeout="200ms"),
    )
    begin(first, "select jobs_internal.maintain()")
    assert ask(second, "select (jobs_internal.maintain() ->> 'more')::boolean").result(10) is False
    first.execute("commit")
    step_history(database)
    assert database.admin(
        "select count(*) from jobs_internal.finished where id = any (%s)", [jobs]
    ) == [(0,)]


def test_a_retry_while_its_bucket_goes(database: Database) -> None:
    """Either it is retried and lives with all that belongs to it, or it is gone;
    it is never both.
    """
    jobs = [put(database, "app.say", {"lines": 1, "fails": True}, max_attempts=1) for _ in range(2)]
    database.drain()
    age_history(database, "8 days")
    steerer = database.connect("app")
    assert begin(steerer, f"select jobs.retry({jobs[0]})") == "retrying"
    _round(database)
    wait_until(lambda: _detaching(database))
    with pytest.raises(psycopg.Error) as gone:
        database.run("select jobs.retry(%s)", [jobs[1]])
    assert gone.value.sqlstate == "PW030"
    steerer.execute("commit")
    step_history(database)
    assert attempts(database, jobs[0]) == [(1, "failed")]
    database.drain()
    assert wait_for(database, jobs[0])["attempt"] == 2
    assert database.run(
        "select attempt from jobs.log_lines where job_id = %s order by 1", [jobs[0]]
    ) == [(1,), (2,)]
    assert database.run("select 1 from jobs.job where id = %s", [jobs[1]]) == []

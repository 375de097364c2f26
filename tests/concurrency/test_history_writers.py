"""Retention while others write history: none is lost."""

import psycopg
import pytest
from stage import age_history, attempts, make_lane, put, step_history, wait_for
from support import Database, wait_until

from .histories import is_detaching, make_old_history, one_round
from .waiting import Ask, begin


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
        one_round(database)
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
    one_round(database)
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
        one_round(database)
    assert database.admin("select bucket from jobs_internal.history_class") != [(1,)]
    assert writer.execute(f"select jobs.cancel({job})".encode()).fetchone() == ("cancelled",)
    for _ in range(2):
        one_round(database)
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
        one_round(database)
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
    jobs = make_old_history(database)
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
    one_round(database)
    wait_until(lambda: is_detaching(database))
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

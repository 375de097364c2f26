"""Retention: finished jobs stay as long as their queue says, by age and by rows,
and go in whole partitions.
"""

from stage import (
    age_history,
    attempts,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    state,
    step_history,
    wait_for,
)
from support import Database, wait_until

TABLES = ("finished", "finished_attempt", "finished_log_line", "finished_statement")


def _bucket(database: Database, job: int) -> int:
    return int(
        database.admin("select bucket from jobs_internal.finished where id = %s", [job])[0][0]
    )


def _partitions(database: Database, bucket: int) -> set[str]:
    rows = database.admin(
        "select c.relname from pg_class as c where c.relnamespace = 'jobs_internal'::regnamespace"
        " and c.relkind = 'r' and c.relname ~ ('^(finished|past_.*)_' || %s || '$')",
        [bucket],
    )
    return {row[0] for row in rows}


def _lines(database: Database, job: int) -> list[str]:
    rows = database.run(
        "select message from jobs.log_lines where job_id = %s order by attempt, n", [job]
    )
    return [row[0] for row in rows]


def _left(database: Database, jobs: list[int]) -> set[int]:
    return {row[0] for row in database.run("select id from jobs.job where id = any (%s)", [jobs])}


def test_by_age(database: Database) -> None:
    """What finished longer ago than its queue's retention goes with all that belongs to it;
    nothing else does.
    """
    database.admin("select jobs.create_queue('brief', retention => '1 hour')")
    step_history(database)
    make_lane(database)
    old = [put(database, "app.say", {"lines": 1}, queue=queue) for queue in ("brief", "default")]
    statement = put_sql(database, "insert into app.ledger (n) values (1)", queue="brief")
    stumbled = put(database, "app.stumble", {"n": 1}, queue="brief")
    waiting = put(database, "app.note", {"n": 1}, queue="brief", run_at="2100-01-01")
    database.drain()
    bucket = _bucket(database, old[0])
    assert (
        _bucket(database, statement)
        == _bucket(database, stumbled)
        == bucket
        != _bucket(database, old[1])
    )
    age_history(database, "59 minutes")
    assert step_history(database) == 0
    assert _left(database, [old[0], statement, stumbled]) == {old[0], statement, stumbled}

    fresh = put(database, "app.note", {"n": 1}, queue="brief")
    database.drain()
    age_history(database, "2 minutes")
    database.admin("update jobs_internal.job set created_at = now() - interval '1 year'")
    assert step_history(database) == 1
    assert _left(database, [*old, statement, stumbled, waiting, fresh]) == {old[1], waiting, fresh}
    assert _partitions(database, bucket) == set()
    assert _lines(database, old[0]) == []
    assert _lines(database, old[1]) != []
    assert attempts(database, stumbled) == []
    assert database.admin("select count(*) from jobs_internal.finished_statement") == [(0,)]
    assert state(database, waiting) == "scheduled"

    age_history(database, "8 days")
    step_history(database)
    assert _left(database, [old[1]]) == set()


def test_by_rows(database: Database) -> None:
    """A queue keeps so many finished jobs at least; older ones go, those of others stay."""
    database.admin("select jobs.create_queue('few', retention => 'infinity', retention_rows => 20)")
    step_history(database)
    kept = put(database, "app.note", {"n": 0})
    waves = []
    for _ in range(5):
        waves.append(put_many(database, "app.note", [{"n": n} for n in range(10)], queue="few"))
        database.drain()
        age_history(database, "1 minute")
        # A wave goes once two others, twenty jobs, have finished after it.
        assert _left(database, [job for wave in waves for job in wave]) == {
            job for wave in waves[-2:] for job in wave
        }
    assert _left(database, [kept]) == {kept}
    assert database.run("select retention_rows from jobs.queues order by queue") == [(None,), (20,)]

    # Without the limit it keeps what is there, in partitions that it shares with others.
    database.admin("select jobs.alter_queue('few', retention_rows => 0)")
    step_history(database)
    last = put(database, "app.note", {"n": 1}, queue="few")
    database.drain()
    age_history(database, "5 years")
    step_history(database)
    assert _left(database, [*waves[4], last]) == {*waves[4], last}
    assert database.admin(
        "select count(*) from jobs_internal.history_class where queue_id is not null"
    ) == [(1,)]


def test_a_bucket_of_rows_lasts_until_it_has_a_quarter(database: Database) -> None:
    database.admin(
        "select jobs.create_queue('few', retention => 'infinity', retention_rows => 8000)"
    )
    step_history(database)
    first = put_many(database, "pg_catalog.now", [{} for _ in range(900)], queue="few")
    database.drain()
    step_history(database)
    assert database.admin(
        "select count(*) from jobs_internal.history_bucket where class_id <> 1"
    ) == [(1,)]
    put_many(database, "pg_catalog.now", [{} for _ in range(2600)], queue="few")
    database.drain()
    step_history(database)
    rows = database.admin(
        "select rows from jobs_internal.history_bucket where class_id <> 1 order by id"
    )
    assert rows == [(3500,), (None,)]
    assert _bucket(database, first[0]) == _bucket(database, first[-1])


def test_queues_share_partitions(database: Database) -> None:
    """Many queues with about the same retention do not make many partitions."""
    for number in range(40):
        database.admin(
            "select jobs.create_queue(%s, retention => make_interval(hours => %s))",
            [f"q{number}", 7 + number % 17],
        )
    step_history(database)
    assert database.admin(
        "select retention from jobs_internal.history_class order by id"
    ) == database.admin("values (interval '7 days'), (interval '1 day')")
    assert database.admin("select count(*) from jobs_internal.history_bucket") == [(2,)]


def test_a_shorter_retention_takes_effect_once_no_other_queue_needs_more(
    database: Database,
) -> None:
    for queue in ("one", "two"):
        database.admin("select jobs.create_queue(%s, retention => '20 days')", [queue])
    step_history(database)
    jobs = [put(database, "app.note", {"n": 1}, queue=queue) for queue in ("one", "two")]
    database.drain()
    assert _bucket(database, jobs[0]) == _bucket(database, jobs[1])
    age_history(database, "2 days")
    database.admin("select jobs.alter_queue('one', retention => '1 day')")
    assert step_history(database) == 0
    assert _left(database, jobs) == set(jobs)
    database.admin("select jobs.alter_queue('two', retention => '1 day')")
    assert step_history(database) == 1
    assert _left(database, jobs) == set()


def test_a_longer_retention_saves_what_is_there(database: Database) -> None:
    database.admin("select jobs.create_queue('one', retention => '1 hour')")
    step_history(database)
    job = put(database, "app.note", {"n": 1}, queue="one")
    database.drain()
    age_history(database, "2 hours")
    database.admin("select jobs.alter_queue('one', retention => '1 year')")
    assert step_history(database) == 0
    later = put(database, "app.note", {"n": 1}, queue="one")
    database.drain()
    age_history(database, "300 days")
    assert step_history(database) == 0
    assert _left(database, [job, later]) == {job, later}


def test_the_history_of_a_dropped_queue_stays_as_long(database: Database) -> None:
    database.admin("select jobs.create_queue('gone', retention => '1 day')")
    step_history(database)
    job = put(database, "app.note", {"n": 1}, queue="gone")
    database.drain()
    database.admin("select jobs.drop_queue('gone')")
    age_history(database, "23 hours")
    step_history(database)
    assert _left(database, [job]) == {job}
    age_history(database, "2 hours")
    step_history(database)
    assert _left(database, [job]) == set()
    assert database.admin("select id from jobs_internal.history_class") == [(1,)], (
        "its class went with it"
    )


def test_nothing_of_an_unfinished_job_goes(database: Database) -> None:
    """A job that is tried again and again keeps its attempts, lines and statement,
    however old they are.
    """
    database.admin("select jobs.create_queue('none', retention => '0', backoff => '1 hour')")
    step_history(database)
    job = put(database, "app.say", {"lines": 1, "fails": True}, queue="none", max_attempts=50)
    statement = put_sql(database, "select 1 / (1 - 1.0)", queue="none", max_attempts=50)
    database.admin("select jobs.set_retry_rule('22012', true)")
    done = put(database, "app.note", {"n": 1}, queue="none")
    for _ in range(2):
        database.drain()
        database.run("select jobs.run_now(id) from jobs.queued")
    database.drain()
    tried = [len(attempts(database, each)) for each in (job, statement)]
    assert tried == [3, 3]
    lines = _lines(database, job)
    database.admin("update jobs_internal.attempt set finished_at = now() - interval '9 years'")
    database.admin("update jobs_internal.log_line set at = now() - interval '9 years'")
    age_history(database, "10 years")
    step_history(database)
    assert _left(database, [job, statement, done]) == {job, statement}
    assert [len(attempts(database, each)) for each in (job, statement)] == tried
    assert _lines(database, job) == lines != []
    assert database.job(statement)["statement"] == "select 1 / (1 - 1.0)"
    # What it leaves when it ends goes with it.
    for each in (job, statement):
        assert database.value("select jobs.cancel(%s)", [each]) == "cancelled"
        assert len(attempts(database, each)) == tried[0 if each == job else 1]
    assert _lines(database, job) == lines
    assert database.job(statement)["statement"] == "select 1 / (1 - 1.0)"
    for table in ("attempt", "log_line", "statement"):
        assert database.admin(f"select count(*) from jobs_internal.{table}") == [(0,)]
    age_history(database, "1 minute")
    step_history(database)
    assert _left(database, [job, statement]) == set()
    for table in TABLES:
        assert database.admin(f"select count(*) from jobs_internal.{table}") == [(0,)]


def test_a_retry_out_of_an_old_bucket(database: Database) -> None:
    """Everything comes back with it, and ends in the bucket that is open then."""
    job = put(database, "app.say", {"lines": 1, "fails": True}, max_attempts=2)
    statement = put_sql(database, "select 1 / (select count(*) from app.ledger)", max_attempts=1)
    database.drain()
    old = _bucket(database, job)
    age_history(database, "5 days")
    assert [attempts(database, each) for each in (job, statement)] == [
        [(1, "failed"), (2, "failed")],
        [(1, "failed")],
    ]
    said = _lines(database, job)
    assert database.value("select jobs.retry(%s)", [job]) == "retrying"
    assert database.value("select jobs.retry(%s)", [statement]) == "retrying"
    for table in TABLES:
        assert database.admin(
            f"select count(*) from jobs_internal.{table} where bucket = {old}"
        ) == [(0,)]
    assert attempts(database, job) == [(1, "failed"), (2, "failed")]
    assert _lines(database, job) == said
    assert database.job(statement)["task"] == "select"
    age_history(database, "10 years")
    step_history(database)
    database.run("insert into app.ledger (n) values (7)")
    database.drain()
    assert wait_for(database, statement)["state"] == "succeeded"
    assert attempts(database, statement) == [(1, "failed"), (2, "succeeded")]
    assert attempts(database, job) == [(1, "failed"), (2, "failed"), (3, "failed")]
    assert _lines(database, job)[: len(said)] == said
    assert _bucket(database, job) == _bucket(database, statement) != old
    assert 7 in ledger(database)


def test_a_chunk_takes_along_what_its_jobs_left_before(database: Database) -> None:
    """Jobs that end in a shared transaction after attempts or lines of their own leave nothing with
    the live ones.
    """
    jobs = put_many(database, "app.stumble", [{"n": n} for n in range(5)])
    said = put(database, "app.say", {"lines": 2})
    database.drain()
    assert [attempts(database, job) for job in jobs] == [[(1, "failed"), (2, "succeeded")]] * 5
    assert len(_lines(database, said)) == 2
    assert database.admin(
        "select (select count(*) from jobs_internal.attempt), (select count(*)"
        " from jobs_internal.log_line),"
        " (select count(*) from jobs_internal.finished_attempt)"
    ) == [(0, 0, 5)]


def test_an_empty_bucket_lasts(database: Database) -> None:
    """A system without work makes no partitions, however long it stands."""
    database.admin("update jobs_internal.history_bucket set opened_at = now() - interval '9 years'")
    assert step_history(database) == 0
    assert database.admin("select count(*) from jobs_internal.history_bucket") == [(1,)]


def test_an_operator_may_roll(database: Database) -> None:
    put(database, "app.note", {"n": 1})
    database.drain()
    database.admin("update jobs_internal.history_bucket set opened_at = now() - interval '1 day'")
    for _ in range(3):
        database.run("select jobs_internal.maintain()", role="operator")
    assert database.admin(
        "select closed_at is not null from jobs_internal.history_bucket order by id"
    ) == [
        (True,),
        (False,),
    ]
    wait_until(lambda: not database.background(), 10)

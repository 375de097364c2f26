"""What retention leaves alone: unfinished jobs, those that live again, empty buckets."""

from stage import age_history, attempts, ledger, put, put_many, put_sql, step_history, wait_for
from support import Database, wait_until

from .history import TABLES, bucket_of, jobs_left, lines_of


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
    lines = lines_of(database, job)
    database.admin("update jobs_internal.attempt set finished_at = now() - interval '9 years'")
    database.admin("update jobs_internal.log_line set at = now() - interval '9 years'")
    age_history(database, "10 years")
    step_history(database)
    assert jobs_left(database, [job, statement, done]) == {job, statement}
    assert [len(attempts(database, each)) for each in (job, statement)] == tried
    assert lines_of(database, job) == lines != []
    assert database.job(statement)["statement"] == "select 1 / (1 - 1.0)"
    # What it leaves when it ends goes with it.
    for each in (job, statement):
        assert database.value("select jobs.cancel(%s)", [each]) == "cancelled"
        assert len(attempts(database, each)) == tried[0 if each == job else 1]
    assert lines_of(database, job) == lines
    assert database.job(statement)["statement"] == "select 1 / (1 - 1.0)"
    for table in ("attempt", "log_line", "statement"):
        assert database.admin(f"select count(*) from jobs_internal.{table}") == [(0,)]
    age_history(database, "1 minute")
    step_history(database)
    assert jobs_left(database, [job, statement]) == set()
    for table in TABLES:
        assert database.admin(f"select count(*) from jobs_internal.{table}") == [(0,)]


def test_a_retry_out_of_an_old_bucket(database: Database) -> None:
    """Everything comes back with it, and ends in the bucket that is open then."""
    job = put(database, "app.say", {"lines": 1, "fails": True}, max_attempts=2)
    statement = put_sql(database, "select 1 / (select count(*) from app.ledger)", max_attempts=1)
    database.drain()
    old = bucket_of(database, job)
    age_history(database, "5 days")
    assert [attempts(database, each) for each in (job, statement)] == [
        [(1, "failed"), (2, "failed")],
        [(1, "failed")],
    ]
    said = lines_of(database, job)
    assert database.value("select jobs.retry(%s)", [job]) == "retrying"
    assert database.value("select jobs.retry(%s)", [statement]) == "retrying"
    for table in TABLES:
        assert database.admin(
            f"select count(*) from jobs_internal.{table} where bucket = {old}"
        ) == [(0,)]
    assert attempts(database, job) == [(1, "failed"), (2, "failed")]
    assert lines_of(database, job) == said
    assert database.job(statement)["task"] == "select"
    age_history(database, "10 years")
    step_history(database)
    database.run("insert into app.ledger (n) values (7)")
    database.drain()
    assert wait_for(database, statement)["state"] == "succeeded"
    assert attempts(database, statement) == [(1, "failed"), (2, "succeeded")]
    assert attempts(database, job) == [(1, "failed"), (2, "failed"), (3, "failed")]
    assert lines_of(database, job)[: len(said)] == said
    assert bucket_of(database, job) == bucket_of(database, statement) != old
    assert 7 in ledger(database)


def test_a_chunk_takes_along_what_its_jobs_left_before(database: Database) -> None:
    """Jobs that end in a shared transaction after attempts or lines of their own leave nothing with
    the live ones.
    """
    jobs = put_many(database, "app.stumble", [{"n": n} for n in range(5)])
    said = put(database, "app.say", {"lines": 2})
    database.drain()
    assert [attempts(database, job) for job in jobs] == [[(1, "failed"), (2, "succeeded")]] * 5
    assert len(lines_of(database, said)) == 2
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

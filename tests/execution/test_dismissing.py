"""A failure that a person has looked at is dismissed: no list and no check brings it up again."""

import pytest
from stage import make_lane, put, state
from support import Database, sqlstate_of

CHECK = """select status, detail, remedy from jobs.health where "check" = 'failures'"""


def fail(database: Database, *, role: str = "app", queue: str = "default") -> int:
    """Run a job that fails for good."""
    job = put(
        database, "pg_catalog.int4div", {"$1": 1, "$2": 0}, role=role, queue=queue, max_attempts=1
    )
    database.drain(role=role)
    assert state(database, job) == "failed"
    return job


def listed(database: Database, role: str = "app") -> list[int]:
    """Give the jobs of jobs.failed."""
    return sorted(job for (job,) in database.run("select id from jobs.failed", role=role))


def audited(database: Database) -> list[tuple[object, ...]]:
    """Give what the audit keeps of dismissals."""
    return database.admin(
        "select login, action, object, before, after from jobs.audit order by at, object"
    )


def test_a_failure_is_in_health_until_it_is_dismissed(database: Database) -> None:
    """How many, since when, and what to do; then none.
    Who dismissed it and when stands beside the job.
    """
    assert database.admin(CHECK) == [("ok", "none that is not dismissed", None)]
    first, second = fail(database), fail(database)
    since = database.value(
        "select finished_at::timestamptz(0)::text from jobs.job where id = %s", [first]
    )

    ((status, detail, remedy),) = database.run(CHECK)
    assert status == "warning"
    assert detail == f"2 jobs, the oldest since {since}"
    for call in ("jobs.failed", "jobs.retry(id)", "jobs.dismiss(id)", "jobs.dismiss_failed(queue)"):
        assert call in remedy

    assert database.value("select jobs.dismiss(%s)", [first]) == "dismissed"
    assert listed(database) == [second]
    assert database.run(CHECK)[0][1].startswith("1 job, the oldest")
    assert database.value("select failed from jobs.queues where queue = 'default'") == 1
    job = database.job(first)
    assert (job["state"], job["dismissed_by"]) == ("failed", "app")
    assert job["dismissed_at"] > job["finished_at"]
    assert database.job(second)["dismissed_at"] is None

    assert database.value("select jobs.dismiss(%s)", [first]) == "dismissed", (
        "a second time changes nothing"
    )
    assert database.job(first) == job
    database.run("select jobs.dismiss(%s)", [second])
    assert database.admin(CHECK) == [("ok", "none that is not dismissed", None)]
    assert audited(database) == [], "what an owner does with its own jobs is in their history"


def test_a_dismissed_job_can_be_retried(database: Database) -> None:
    """It runs again under its id, and what it fails with then is a failure that is not
    dismissed.
    """
    job = fail(database)
    database.run("select jobs.dismiss(%s)", [job])
    assert database.value("select jobs.retry(%s)", [job]) == "retrying"
    assert database.job(job)["dismissed_at"] is None
    database.drain()
    assert state(database, job) == "failed"
    assert listed(database) == [job]
    assert database.job(job)["dismissed_by"] is None


def test_a_job_in_doubt_is_dismissed_too(database: Database) -> None:
    """It stays in doubt, and is in the way of no check."""
    job = fail(database)
    database.admin("update jobs_internal.finished set state = 'in_doubt' where id = %s", [job])
    doubt = """select status from jobs.health where "check" = 'in doubt'"""
    assert database.admin(doubt) == [("warning",)]
    assert database.admin(CHECK)[0][0] == "ok", "it has a check of its own"
    assert database.value("select jobs.dismiss(%s)", [job]) == "dismissed"
    assert database.admin(doubt) == [("ok",)]
    assert state(database, job) == "in_doubt"


def test_what_has_not_failed_is_not_dismissed(database: Database) -> None:
    """The answer is its state, and nothing has changed."""
    done = put(database, "pg_catalog.now")
    database.drain()
    waiting = put(database, "pg_catalog.now")
    cancelled = put(database, "pg_catalog.now")
    database.run("select jobs.cancel(%s)", [cancelled])
    for job, is_now in ((done, "succeeded"), (waiting, "queued"), (cancelled, "cancelled")):
        assert database.value("select jobs.dismiss(%s)", [job]) == is_now
        assert database.job(job)["dismissed_at"] is None


def test_failures_of_a_queue_are_dismissed_up_to_a_time(database: Database) -> None:
    """Only of that queue, and only those that its caller can have seen."""
    database.run("select jobs.create_queue('nightly')", role="operator")
    for queue in ("default", "nightly"):
        make_lane(database, queue=queue)
    kept, first = fail(database), fail(database, queue="nightly")
    until = database.value("select clock_timestamp()")
    second = fail(database, queue="nightly")

    assert database.value("select jobs.dismiss_failed('nightly', %s)", [until]) == 1
    assert listed(database) == [kept, second]
    assert database.value("select jobs.dismiss_failed('nightly')") == 1
    assert database.value("select jobs.dismiss_failed('nightly')") == 0
    assert listed(database) == [kept]
    assert database.value("select jobs.dismiss_failed()") == 1
    assert listed(database) == []
    assert database.job(first)["state"] == "failed"
    assert sqlstate_of(lambda: database.run("select jobs.dismiss_failed('no such')")) == "PW007"


def test_an_operator_dismisses_all_and_an_owner_its_own(database: Database) -> None:
    """What operators do is in the audit, with how many; whose job it is not may not."""
    mine, theirs = fail(database), fail(database, role="other")
    assert sqlstate_of(lambda: database.run("select jobs.dismiss(%s)", [theirs])) == "PW030"
    assert sqlstate_of(lambda: database.run("select jobs.dismiss(0)")) == "PW030"
    assert (
        sqlstate_of(lambda: database.run("select jobs.dismiss(%s)", [mine], role="reader"))
        == "42501"
    )
    assert database.value("select jobs.dismiss_failed('default')") == 1
    assert listed(database, "operator") == [theirs]

    assert database.value("select jobs.dismiss(%s)", [theirs], role="operator") == "dismissed"
    assert audited(database) == [
        ("operator", "dismiss", f"job {theirs}", {"state": "failed"}, {"dismissed": True}),
    ]
    again = fail(database, role="other")
    assert database.value("select jobs.dismiss_failed('default')", role="operator") == 1
    assert audited(database)[1:] == [
        ("operator", "dismiss", "failures of queue default", None, {"dismissed": 1}),
    ]
    assert database.job(again, role="other")["dismissed_by"] == "operator"


@pytest.mark.parametrize("call", ["jobs.dismiss({})", "jobs.dismiss_failed()"])
def test_a_rollback_takes_it_back(database: Database, call: str) -> None:
    """It is a function in the caller's transaction."""
    job = fail(database)
    with database.connect() as session:
        session.execute("begin")
        session.execute(f"select {call.format(job)}".encode())
        session.execute("rollback")
    assert listed(database) == [job]


def test_a_queue_is_dismissed_around_what_is_being_retried(database: Database) -> None:
    """It waits for nobody: a job that another transaction retries is not a failure to dismiss."""
    retried, other = fail(database), fail(database)
    with database.connect() as session:
        session.execute("begin")
        session.execute("select jobs.retry(%s)", [retried])
        with database.connect(statement_timeout="5s") as second:
            assert second.execute("select jobs.dismiss_failed()").fetchone() == (1,)
        session.execute("rollback")
    assert listed(database) == [retried]
    assert database.job(other)["dismissed_by"] == "app"

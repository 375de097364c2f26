"""What cannot be enqueued, or not now: it is said why, and the other schedules go on."""

from support import Database

from .schedules import HOUR, START, fire, runs, schedule, set_clock


def test_what_cannot_be_enqueued_is_skipped(database: Database) -> None:
    """With its reason: a queue that takes none, one that was dropped, a quota that is full, an
    unfinished job with its unique key, an owner that is privileged.
    """
    database.run("select jobs.create_queue('nights')", role="operator")
    schedule(database, "hourly", "@hourly", overlap="parallel", options={"queue": "nights"})
    set_clock(database, START)

    def reason(hour: int) -> str:
        fire(database, START + hour * HOUR)
        outcome, why = database.run(
            "select outcome, reason from jobs.schedule_runs where due_at = %s",
            [START + hour * HOUR],
        )[0]
        assert outcome == "skipped"
        return str(why)

    database.run("select jobs.alter_queue('nights', accepting => false)", role="operator")
    assert reason(1) == "its queue takes no jobs (PW008)"
    database.run("select jobs.alter_queue('nights', accepting => true)", role="operator")
    database.run("select jobs.set_quota('app', pending => 0)", role="operator")
    assert reason(2).endswith("(PW071)")
    database.run("select jobs.set_quota('app')", role="operator")
    database.run("select jobs.drop_queue('nights')", role="operator")
    assert reason(3) == "its queue was dropped (PW007)"
    database.run("select jobs.create_queue('nights')", role="operator")
    fire(database, START + 4 * HOUR)
    assert runs(database, "outcome")[-1] == ("fired",)
    assert database.admin("select queue from jobs.job order by id desc limit 1") == [("nights",)]
    database.drain()
    database.run("select jobs.unschedule('hourly')")
    schedule(database, "unique", "@hourly", overlap="parallel", options={"unique_key": "k"})
    set_clock(database, START + 4 * HOUR)
    fire(database, START + 5 * HOUR)
    database.run("select jobs.set_quota('app')", role="operator")
    assert reason(6) == "an unfinished job has the unique key k"


def test_a_function_that_is_gone_fails_its_job(database: Database) -> None:
    """The occurrence is fired: that it cannot run is seen where it would run."""
    database.run("create function app.passing() returns integer language sql return 1")
    schedule(database, "hourly", "@hourly", task="app.passing", args={})
    database.run("drop function app.passing()")
    set_clock(database, START)
    fire(database, START + HOUR)
    database.drain()
    (job,) = runs(database, "job_id")[0]
    assert database.job(job)["error"]["sqlstate"] == "PW042"


def test_an_error_of_one_schedule_costs_the_others_nothing(database: Database) -> None:
    """It is noted, and tried again later."""
    for name in ("one", "two", "three"):
        schedule(database, name, "@hourly")
    set_clock(database, START)
    database.admin("update jobs_internal.schedule set timezone = 'No/Where' where name = 'two'")
    fire(database, START + HOUR)
    assert {name for (name,) in runs(database, "name")} == {"one", "three"}
    assert database.admin("select duty from jobs_internal.duty_failure") == [("schedule",)]


def test_an_owner_that_is_gone_or_privileged(database: Database) -> None:
    """Its occurrences are skipped, with the reason; those of others come."""
    schedule(database, "ours", "@hourly")
    schedule(
        database,
        "theirs",
        "@hourly",
        role="other",
        task="pg_catalog.now",
        args={},
        overlap="parallel",
    )
    set_clock(database, START)
    database.admin("update jobs_internal.schedule set owner = 4294960001 where name = 'ours'")
    fire(database, START + HOUR)
    assert sorted(runs(database, "name, outcome, reason", role="operator")) == [
        ("ours", "skipped", "its owner is gone (PW019)"),
        ("theirs", "fired", None),
    ]
    # that is enough of it: an operator sees why it is paused, and can remove it
    seen = "select paused, paused_by, owner from jobs.schedules where name = 'ours'"
    [(paused, why, owner)] = database.run(seen, role="operator")
    assert (paused, why, owner) == (True, "its owner was dropped", "unknown (OID=4294960001)")
    database.run("select jobs.unschedule('ours', %s)", [owner], role="operator")
    assert database.run(seen, role="operator") == []
    with database.server.administrate() as line:
        line.execute("alter role other createrole")
        try:
            fire(database, START + 2 * HOUR)
        finally:
            line.execute("alter role other nocreaterole")
    assert runs(database, "outcome, reason", role="other")[-1] == (
        "skipped",
        "jobs of other are refused (PW019)",
    )


def test_a_skipped_duplicate_is_not_charged(database: Database) -> None:
    """An unfinished job has its unique key: the quota for each minute is untouched."""
    schedule(database, "hourly", "@hourly", overlap="parallel", options={"unique_key": "k"})
    set_clock(database, START)
    database.run("select jobs.set_quota('app', per_minute => 2)", role="operator")
    for hour in (1, 2, 3, 4):
        fire(database, START + hour * HOUR)
    assert {reason for (reason,) in runs(database, "reason")} == {
        None,
        "an unfinished job has the unique key k",
    }

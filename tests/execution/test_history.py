"""Retention: finished jobs stay as long as their queue says, by age and by rows,
and go in whole partitions.
"""

from stage import age_history, attempts, make_lane, put, put_many, put_sql, state, step_history
from support import Database

from .history import bucket_of, jobs_left, lines_of, partitions_of


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
    bucket = bucket_of(database, old[0])
    assert (
        bucket_of(database, statement)
        == bucket_of(database, stumbled)
        == bucket
        != bucket_of(database, old[1])
    )
    age_history(database, "59 minutes")
    assert step_history(database) == 0
    assert jobs_left(database, [old[0], statement, stumbled]) == {old[0], statement, stumbled}

    fresh = put(database, "app.note", {"n": 1}, queue="brief")
    database.drain()
    age_history(database, "2 minutes")
    database.admin("update jobs_internal.job set created_at = now() - interval '1 year'")
    assert step_history(database) == 1
    assert jobs_left(database, [*old, statement, stumbled, waiting, fresh]) == {
        old[1],
        waiting,
        fresh,
    }
    assert partitions_of(database, bucket) == set()
    assert lines_of(database, old[0]) == []
    assert lines_of(database, old[1]) != []
    assert attempts(database, stumbled) == []
    assert database.admin("select count(*) from jobs_internal.finished_statement") == [(0,)]
    assert state(database, waiting) == "scheduled"

    age_history(database, "8 days")
    step_history(database)
    assert jobs_left(database, [old[1]]) == set()


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
        assert jobs_left(database, [job for wave in waves for job in wave]) == {
            job for wave in waves[-2:] for job in wave
        }
    assert jobs_left(database, [kept]) == {kept}
    assert database.run("select retention_rows from jobs.queues order by queue") == [(None,), (20,)]

    # Without the limit it keeps what is there, in partitions that it shares with others.
    database.admin("select jobs.alter_queue('few', retention_rows => 0)")
    step_history(database)
    last = put(database, "app.note", {"n": 1}, queue="few")
    database.drain()
    age_history(database, "5 years")
    step_history(database)
    assert jobs_left(database, [*waves[4], last]) == {*waves[4], last}
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
    assert bucket_of(database, first[0]) == bucket_of(database, first[-1])


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
    assert bucket_of(database, jobs[0]) == bucket_of(database, jobs[1])
    age_history(database, "2 days")
    database.admin("select jobs.alter_queue('one', retention => '1 day')")
    assert step_history(database) == 0
    assert jobs_left(database, jobs) == set(jobs)
    database.admin("select jobs.alter_queue('two', retention => '1 day')")
    assert step_history(database) == 1
    assert jobs_left(database, jobs) == set()


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
    assert jobs_left(database, [job, later]) == {job, later}


def test_the_history_of_a_dropped_queue_stays_as_long(database: Database) -> None:
    database.admin("select jobs.create_queue('gone', retention => '1 day')")
    step_history(database)
    job = put(database, "app.note", {"n": 1}, queue="gone")
    database.drain()
    database.admin("select jobs.drop_queue('gone')")
    age_history(database, "23 hours")
    step_history(database)
    assert jobs_left(database, [job]) == {job}
    age_history(database, "2 hours")
    step_history(database)
    assert jobs_left(database, [job]) == set()
    assert database.admin("select id from jobs_internal.history_class") == [(1,)], (
        "its class went with it"
    )

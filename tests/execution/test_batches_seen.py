"""What is seen of batches: what they wait for, how far they are, how long; jobs in doubt."""

import pytest
from psycopg.types.json import Jsonb
from stage import put_many
from support import Database, Row

from .batches import add, add_many, calls, close, counts, finish, fold, make, stage


@pytest.fixture(autouse=True)
def _staged(database: Database) -> None:
    stage(database)


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

"""Retention against live work: no step of it makes anybody wait, whoever reads history meanwhile;
cut off, it heals.
"""

import pytest
from stage import make_lane, put, step_history
from support import Database, wait_until

from .histories import (
    is_detaching,
    live_work_goes_on,
    make_old_history,
    one_round,
    pending_ones,
    read_all,
)
from .waiting import begin


def test_rolling_makes_nobody_wait(database: Database) -> None:
    """A bucket is made, opened and left while somebody reads history."""
    make_lane(database)
    reader = database.connect("app")
    read_all(reader)
    database.admin("update jobs_internal.history_bucket set opened_at = now() - interval '2 days'")
    for _ in range(3):
        one_round(database)
        live_work_goes_on(database)
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
    jobs = make_old_history(database)
    reader = database.connect("app")
    read_all(reader)
    one_round(database)
    wait_until(lambda: is_detaching(database))
    live_work_goes_on(database)
    one_round(database)
    live_work_goes_on(database)
    assert len(is_detaching(database)) == 1
    # The reader still sees what it saw; everybody else does not.
    seen = reader.execute("select count(*) from jobs.job where id = any (%s)", [jobs]).fetchone()
    assert seen == (len(jobs),)
    assert database.run("select count(*) from jobs.job where id = any (%s)", [jobs]) == [(0,)]
    reader.execute("commit")
    wait_until(lambda: not is_detaching(database))
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
    jobs = make_old_history(database)
    reader, other = database.connect("app"), database.connect("app")
    read_all(reader)
    if who.endswith("old one"):
        other.execute("begin isolation level repeatable read")
        other.execute("select 1")
    one_round(database)
    found = wait_until(lambda: is_detaching(database))
    database.admin("select pg_terminate_backend(%s)", found)
    wait_until(lambda: not database.background())
    assert pending_ones(database)
    assert database.run("select count(*) from jobs.job where id = any (%s)", [jobs]) == [(0,)]
    for _ in range(2):
        one_round(database)  # nothing may be done while the reader is there
        live_work_goes_on(database)
        assert pending_ones(database)
        assert not is_detaching(database)
    reader.execute("commit")
    if who.endswith("old one"):
        one_round(database)
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
        one_round(database)
        wait_until(lambda: is_detaching(database))
        live_work_goes_on(database)
        other.execute("select * from jobs.job")
        other.execute("commit")
        wait_until(lambda: not is_detaching(database))
    step_history(database)
    assert not pending_ones(database)
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

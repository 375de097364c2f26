"""What is asked again at each enqueue, also by the short way into a lane that is there already."""

import pytest
from stage import know_as_short, put
from support import Database, sqlstate_of


@pytest.fixture(name="lane")
def _lane(database: Database) -> str:
    """A queue in which app has run a job."""
    database.run("select jobs.create_queue('known')", role="operator")
    put(database, "app.note", {"n": 1}, queue="known")
    database.drain()
    assert database.admin("select count(*) from jobs_internal.lane") == [(1,)]
    return "known"


def test_a_queue_that_was_closed(database: Database, lane: str) -> None:
    database.run("select jobs.alter_queue('known', accepting => false)", role="operator")
    assert sqlstate_of(lambda: put(database, "app.note", {"n": 2}, queue=lane)) == "PW008"


def test_a_queue_that_was_dropped(database: Database, lane: str) -> None:
    database.run("select jobs.drop_queue('known')", role="operator")
    assert sqlstate_of(lambda: put(database, "app.note", {"n": 2}, queue=lane)) == "PW007"


def test_what_the_queue_says_of_its_jobs_by_now(database: Database, lane: str) -> None:
    database.run(
        "select jobs.alter_queue('known', timeout => '7 minutes', max_attempts => 9)",
        role="operator",
    )
    job = put(database, "app.note", {"n": 2}, queue=lane)
    kept = "select timeout = '7 minutes', max_attempts from jobs_internal.job where id = %s"
    assert database.admin(kept, [job]) == [(True, 9)]


def test_a_function_that_was_replaced_is_called_as_it_is_now(database: Database) -> None:
    """A job of an older form would run alone, and look for the new one, each time."""
    make = (
        "create or replace function app.changing(a integer default {}) returns integer"
        " language sql return a"
    )
    database.run(make.format(1))
    put(database, "app.changing")
    database.run(make.format(2))
    job = put(database, "app.changing")
    fresh = (
        "select s.version = p.xmin from jobs_internal.job as j join jobs_internal.call_template"
        " as s on s.id = j.call_template_id"
        " join pg_proc as p on p.oid = s.func where j.id = %s"
    )
    assert database.admin(fresh, [job]) == [(True,)]
    database.drain()
    assert database.result(job) == 2


def test_a_lease_writes_no_index(database: Database) -> None:
    """A claim changes nothing of a message that is indexed, and finds room for the new version in
    its page.
    """
    put(database, "app.note", {"n": 1})
    database.drain()
    know_as_short(database)
    database.run(
        "select jobs.enqueue_many('app.note', array_fill('{\"n\": 2}'::jsonb, array[1000]))"
    )
    database.drain()
    query = (
        "select s.n_tup_upd > 1000, s.n_tup_hot_upd = s.n_tup_upd from jobs_internal.lane as l"
        " join pg_stat_all_tables as s on s.relid = to_regclass('pgmq.q_' || l.pgmq_queue)"
    )
    assert database.admin(query) == [(True, True)]

"""A job in a chunk is known to those who watch by application_name; a job may set that.
It is found all the same.
"""

from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    state,
    wait_at_gate,
    wait_for,
)
from support import Database, wait_until

HIDES = """
create function app.hide_and_wait(n integer, name text default 'my step') returns integer
  language plpgsql as $$
begin
  perform set_config('application_name', name, false);
  return app.gate(n);
end $$;
create function app.hide(n integer) returns integer language plpgsql as $$
begin
  perform set_config('application_name', 'my step', false);
  return app.note(n);
end $$;
"""


def tick(database: Database) -> None:
    database.admin("select jobs_internal.supervisor_tick(0)")


def test_a_job_that_hides_in_a_chunk_is_shaken_off_and_seen(database: Database) -> None:
    """Nobody sees which job of the chunk runs: it is run again, alone and uncharged,
    and the others go on.
    """
    database.run(HIDES)
    make_lane(database)
    put(database, "app.hide_and_wait", {"n": -1}, run_at="2200-01-01")
    with gate_shut(database):
        (slow,) = put_many(database, "app.hide_and_wait", [{"n": 1}], max_attempts=1)
        others = put_many(database, "app.note", [{"n": 2}, {"n": 3}], max_attempts=1)
        know_as_short(database)
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert database.run("select id from jobs.running") == []

        def shaken() -> bool:
            tick(database)
            database.run("select jobs.start()")
            return database.admin(
                "select job_id from jobs_internal.session where job_id is not null"
            ) == [(slow,)]

        wait_until(shaken, 15, step=0.3)
        assert database.run("select id from jobs.running") == [(slow,)]

        def others_ran() -> bool:
            tick(database)  # takes back what waits behind it
            database.run("select jobs.start()")
            return {state(database, job) for job in others} == {"succeeded"}

        wait_until(others_ran, 15, step=0.3)
        # Seen now, it can be cancelled.
        assert database.value("select jobs.cancel(%s)", [slow]) == "cancelling"
        assert wait_for(database, slow)["state"] == "cancelled"
    wait_until(lambda: not database.background(), 10)
    assert ledger(database) == [2, 3]


def test_a_job_that_hides_for_a_moment_is_left_alone(database: Database) -> None:
    database.run(HIDES)
    make_lane(database)
    put(database, "app.hide", {"n": 0}, run_at="2200-01-01")
    know_as_short(database)
    jobs = put_many(database, "app.hide", [{"n": n} for n in range(1, 6)], max_attempts=1)
    database.drain()
    assert [state(database, job) for job in jobs] == ["succeeded"] * 5
    assert [attempts(database, job) for job in jobs] == [[(1, "succeeded")]] * 5
    # From the first time on its function runs alone, where a name means nothing.
    assert database.admin("select bool_or(renames) from jobs_internal.call_stats") == [(True,)]
    again = put(database, "app.hide_and_wait", {"n": 6})
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert database.run("select id from jobs.running") == [(again,)]
    wait_for(database, again, "succeeded")

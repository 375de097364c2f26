"""The server's clock is set back by an hour while sessions take a nap:
nothing waits for that hour.
"""

from collections.abc import Iterator

import pytest
from kit.daemon import Supervise
from stage import attempts, gate_shut, make_lane, put, put_sql, wait_at_gate, wait_for, wait_running
from support import Database, wait_until

from tests.torture.clock import Clock

HOUR = 3600.0


@pytest.fixture
def clock(database: Database) -> Iterator[Clock]:
    """A clock that can be set, of the server of this tier."""
    private = database.server.private
    assert private is not None
    why = Clock.impossible()
    if why is not None:
        pytest.skip(why)
    made = Clock(private)
    made.make()
    database.close()
    private.restart()
    yield made
    made.set(0)
    database.close()
    made.remove()


def test_naps_end_when_the_clock_is_set_back(
    database: Database, supervise: Supervise, clock: Clock
) -> None:
    """An idle session takes the next job, and a watcher sees its child end:
    neither sleeps for the hour.
    """
    make_lane(database)
    one = supervise(database.dsn("supervisor"))
    with gate_shut(database):
        call = put_sql(database, "call app.watched(1, 'x')", max_attempts=1)
        (child,) = wait_at_gate(database)
        watcher = wait_running(database, call)["pid"]
        for n in range(5):  # each time the clock meets it in its nap, or it does not
            for job in [put(database, "app.note", {"n": 10 * n + k}) for k in range(3)]:
                wait_for(database, job, "succeeded", timeout=8)
            idle = wait_until(
                lambda: [row[0] for row in database.background() if row[2] == "pw idle"], 5
            )
            clock.set(-HOUR * (n + 1))
            job = put(database, "app.note", {"n": 10 * n + 5})
            assert wait_for(database, job, timeout=8)["state"] == "succeeded"
            assert wait_running(database, call)["pid"] == watcher, "it goes on watching"
            wait_until(lambda: not _asleep(database, child), 8)
            assert idle
    assert wait_for(database, call, timeout=8)["state"] == "succeeded"
    assert attempts(database, call) == [(1, "succeeded")]
    assert one.stop() == 0
    wait_until(lambda: not database.background(), 20)


def _asleep(database: Database, child: int) -> list[tuple[object, ...]]:
    """List the sessions whose nap began in the future; the child waits for its lock."""
    return database.admin(
        "select pid, application_name, xact_start from pg_stat_activity"
        " where datname = current_database()"
        " and xact_start > clock_timestamp() + interval '1 s' and backend_type <> 'client backend'"
        " and pid <> %s",
        [child],
    )


def test_a_watcher_that_has_not_noted_its_child_yet_is_woken_too(
    database: Database, supervise: Supervise, clock: Clock
) -> None:
    database.admin(
        "alter function jobs_internal.note_child(bigint, bigint, integer, integer) rename to"
        " note_now"
    )
    database.admin(_NOTES_LATER)
    make_lane(database)
    one = supervise(database.dsn("supervisor"))
    with gate_shut(database):
        with database.server.connect("postgres", database.name) as holder:
            holder.execute("select pg_advisory_lock(3)")
            call = put_sql(database, "call app.watched(1, 'x')", max_attempts=1)
            (child,) = wait_at_gate(database)
            for n in range(8):  # each time the clock meets it in its nap, or it does not
                clock.set(-HOUR * (n + 1))
                wait_until(lambda: not _asleep(database, child), 8)
        noted = "select 1 from jobs_internal.job where id = %s and child_pid = %s"
        wait_until(lambda: database.admin(noted, [call, child]), 8)
    assert wait_for(database, call, timeout=8)["state"] == "succeeded"
    assert attempts(database, call) == [(1, "succeeded")]
    assert one.stop() == 0


#: Finds no child while somebody holds the lock.
_NOTES_LATER = """
create function
  jobs_internal.note_child(p_session bigint, p_job bigint, p_attempt integer, p_child_pid integer)
    returns timestamptz
language plpgsql as $$
begin
  if exists (select from pg_catalog.pg_locks where locktype = 'advisory' and objid = 3) then
    return null;
  end if;
  return jobs_internal.note_now(p_session, p_job, p_attempt, p_child_pid);
end $$;
grant execute on function jobs_internal.note_child(bigint, bigint, integer, integer) to jobs_runner;
"""


def test_one_whose_child_has_ended_is_not_woken(database: Database, clock: Clock) -> None:
    """It looks at what the child left: a signal would end it, and lose how the job ended."""
    database.admin("alter function jobs_internal.leftovers(bigint) rename to leftovers_now")
    database.admin(_LOOKS_LATER)
    make_lane(database)
    with database.server.connect("postgres", database.name) as holder:
        holder.execute("select pg_advisory_lock(3)")
        job = put_sql(database, "create index concurrently on app.ledger (n)", max_attempts=1)
        database.run("select jobs.start()")
        wait_until(
            lambda: database.admin("select 1 from pg_locks where objid = 3 and not granted"), 25
        )
        clock.set(-HOUR)
        assert database.admin("select jobs_internal.wake_after_clock_step()") == [(0,)]
    assert wait_for(database, job, timeout=25)["state"] == "succeeded"
    assert attempts(database, job) == [(1, "succeeded")]


#: Does not see what a child has left while somebody holds the lock.
_LOOKS_LATER = """
create function jobs_internal.leftovers(p_job bigint)
  returns table (index oid, name text, droppable boolean)
language plpgsql security definer as $$
begin
  if exists (select from jobs_internal.job where id = p_job and child_pid is not null) then
    perform pg_catalog.pg_advisory_xact_lock(3);
  end if;
  return query select * from jobs_internal.leftovers_now(p_job);
end $$;
grant execute on function jobs_internal.leftovers(bigint) to jobs_runner;
"""

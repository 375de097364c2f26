"""jobs.operations and jobs.phases: what is seen of long operations, while they run and after."""

from collections.abc import Iterator
from typing import Any

import pytest
from stage import age_history, put_sql, running, step_history, wait_for
from support import Database, wait_until

ROW = "select * from jobs.operations where id = %s"

#: A view that takes its time at one of its rows, while one lock is held, and waits for another.
VIEW = """
create table app.sales as select n, repeat('x', 500) as pad from generate_series(1, 4000) as n;
create function app.slow(n integer) returns integer language plpgsql as $$
begin
  if n = 3000 then
    while not pg_try_advisory_lock_shared(77, n) loop
      perform pg_sleep(0.02);
    end loop;
    perform pg_advisory_unlock_shared(77, n), pg_advisory_lock_shared(78, n);
    perform pg_advisory_unlock_shared(78, n);
  end if;
  return n;
end $$;
create materialized view app.totals as select app.slow(n) as n, pad from app.sales;
analyze app.totals;
"""


def operation(database: Database, job: int, role: str = "app") -> dict[str, Any]:
    """Give the row of jobs.operations."""
    return database.record(ROW, [job], role=role)


@pytest.fixture
def refreshed(database: Database) -> Iterator[tuple[Database, int, Any]]:
    """A REFRESH that stands at three quarters of its rows; the second of its kind."""
    database.run(VIEW)
    put_sql(database, "refresh materialized view app.totals")
    database.drain()
    database.run("analyze app.totals")
    with database.connect() as holder:
        holder.execute("select pg_advisory_lock(77, 3000), pg_advisory_lock(78, 3000)")
        job = put_sql(database, "refresh materialized view app.totals")
        database.run("select jobs.start()")
        wait_until(lambda: (running(database, job) or {}).get("wait_event") == "Timeout:PgSleep")
        # it is not in its first seconds, in which nothing is shown that was not noted
        database.admin(
            "update jobs_internal.job set started_at = now() - interval '3 seconds' where id = %s",
            [job],
        )
        yield database, job, holder
    wait_for(database, job, "succeeded")


def test_by_its_file(refreshed: tuple[Database, int, Any]) -> None:
    """Where the size of files may be read, by the size of the new one, live."""
    database, job, _holder = refreshed
    database.admin("grant execute on function pg_stat_file(text, boolean) to jobs_owner")
    try:
        row = operation(database, job)
    finally:
        database.admin("revoke execute on function pg_stat_file(text, boolean) from jobs_owner")
    assert row["progress_source"] == "file"
    assert 40 < row["percent"] < 100


def test_by_its_history(refreshed: tuple[Database, int, Any]) -> None:
    """Else by the time that the one before took, and it says so."""
    database, job, _holder = refreshed
    database.admin(
        "update jobs_internal.operation set started_at = ended_at - interval '1 hour'"
        " where state = 'succeeded'"
    )
    row = operation(database, job)
    assert row["progress_source"] == "history"
    assert 0 <= row["percent"] < 50
    database.admin(
        "update jobs_internal.operation set started_at = ended_at - interval '0.1 ms'"
        " where state = 'succeeded'"
    )
    assert operation(database, job)["percent"] == 95


def test_what_it_waits_for_and_what_waits_for_it(refreshed: tuple[Database, int, Any]) -> None:
    database, job, holder = refreshed
    holder.execute("select pg_advisory_unlock(77, 3000)")
    with database.connect() as waiter:
        waiter.pgconn.send_query(b"select count(*) from app.totals")
        row = wait_until(
            lambda: (
                row if (row := operation(database, job))["blocking"] and row["blocked_by"] else None
            )
        )
        assert row["blocking"] == [waiter.info.backend_pid]
        assert row["blocked_by"] == [holder.info.backend_pid]
        assert row["waits_for"] == f"pid {holder.info.backend_pid} (app: lock)"
        assert row["eta"] is None
        holder.execute("select pg_advisory_unlock(78, 3000)")
        wait_for(database, job, "succeeded")
        while waiter.pgconn.get_result():
            pass


def test_the_latest_come_first_and_a_state_is_the_one_of_now(database: Database) -> None:
    """Of those that wait, of those that have ended, and of one that was retried after its end."""
    listed = "select id, state from jobs.operations"
    failed = put_sql(database, "analyze app.missing", max_attempts=1)
    database.drain()
    ended = put_sql(database, "analyze app.ledger")
    database.drain()
    waiting = [put_sql(database, "analyze app.ledger") for _ in range(3)]
    assert database.run(listed) == [
        *((job, "queued") for job in reversed(waiting)),
        (ended, "succeeded"),
        (failed, "failed"),
    ]
    assert database.run(f"{listed} where state = 'failed'") == [(failed, "failed")]
    database.run("select jobs.retry(%s)", [failed])
    assert database.run(f"{listed} where state = 'failed'") == []
    assert database.run(f"{listed} where id = %s", [failed]) != [(failed, "failed")]


def test_after_its_end(database: Database) -> None:
    """What is left in the row, for its owner, for an operator and for another role."""
    database.run("create table app.items as select n from generate_series(1, 1000) as n")
    job = put_sql(
        database,
        "create index concurrently items_n on app.items (n)",
        rollback="drop index concurrently app.items_n",
        note={"ticket": "T-1"},
        options={"title": "find items"},
    )
    waiting = operation(database, job)
    assert (waiting["percent"], waiting["elapsed"], waiting["outcome"]) == (None, None, None)
    database.drain()
    row = operation(database, job)
    assert (row["state"], row["outcome"], row["percent"]) == ("succeeded", "succeeded", 100)
    assert (row["kind"], row["object"]) == ("create index concurrently", "app.items")
    assert (row["title"], row["note"]) == ("find items", {"ticket": "T-1"})
    assert row["undo"] == "drop index concurrently app.items_n"
    assert row["disk_bytes"] == database.value("select pg_relation_size('app.items_n')")
    assert (row["pid"], row["eta"], row["blocked_by"]) == (None, None, None)

    seen = operation(database, job, "operator")
    assert (seen["title"], seen["note"], seen["undo"]) == ("find items", {"ticket": "T-1"}, None)
    seen = operation(database, job, "reader")
    assert (seen["note"], seen["undo"]) == (None, None)
    assert seen["title"] == "create index concurrently app.items_n"
    for view in ("operations", "phases"):
        assert database.value(f"select count(*) from jobs.{view}", role="other") == 0


def test_phases_of_each_attempt(database: Database) -> None:
    """A child that is watched for some seconds leaves its phases, the last one closed; what is
    learned of it is used by the next.
    """
    database.run(
        "create table app.points as select n from generate_series(1, 40) as n;"
        " create function app.slow(n integer) returns integer language plpgsql immutable as"
        " $$ begin perform pg_sleep(0.1); return n; end $$"
    )
    build = "create index concurrently on app.points (app.slow(n))"
    job = put_sql(database, build)
    database.drain()
    phases = database.run(
        "select attempt, n, phase, seconds from jobs.phases where job_id = %s", [job]
    )
    assert phases[0][:3] == (1, 1, "building index: scanning table")
    assert phases[0][3] > 1
    assert database.admin("select count(*) from jobs_internal.phase where finished_at is null") == [
        (0,)
    ]
    ((rate,),) = database.admin(
        "select seconds_per_unit from jobs_internal.phase_rate"
        " where kind = 'create index concurrently' and phase = 'building index: scanning table'"
    )
    assert 1 < rate < 60  # a page
    again = put_sql(database, build)
    database.drain()
    expected = database.value(
        "select max(expected_seconds) from jobs.phases where job_id = %s", [again]
    )
    assert float(expected) == pytest.approx(rate, rel=0.01)


def test_it_goes_with_the_history_of_its_job(database: Database) -> None:
    job = put_sql(database, "vacuum app.ledger")
    database.drain()
    # it is too short for a look
    database.admin(
        "insert into jobs_internal.phase (job_id, attempt, n, phase, started_at)"
        " values (%s, 1, 1, 'scanning heap', now())",
        [job],
    )
    database.admin(
        "insert into jobs_internal.measurement (job_id, n, label, kind)"
        " values (%s, 1, 'a', 'plan')",
        [job],
    )
    age_history(database, "1 day")
    step_history(database)
    assert database.run(ROW, [job])
    assert database.run("select 1 from jobs.phases where job_id = %s", [job])
    age_history(database, "400 days")
    step_history(database)
    assert not database.run("select from jobs.job where id = %s", [job])
    left = [
        database.admin(f"select count(*) from jobs_internal.{table} where job_id = {job}")[0][0]
        for table in ("operation", "phase", "step", "measurement")
    ]
    assert left == [0, 0, 0, 0]

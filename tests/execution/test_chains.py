"""A job that enqueues itself under its own unique_key gives up the key for its successor,
and the chain goes on.
"""

import pytest
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    put,
    put_sql,
    quick_retries,
    state,
    wait_at_gate,
    wait_for,
    wait_running,
)
from support import Database, sqlstate_of, wait_until

CHAIN = """
create function app.chain(n integer, last integer default 5, fails integer default 0) returns bigint
language plpgsql as $$
declare
  v_id bigint;
begin
  insert into app.ledger (n) values (n);
  if n < last then
    v_id := jobs.enqueue('app.chain',
      jsonb_build_object('n', n + 1, 'last', last), unique_key => 'chain');
  end if;
  if app.attempt() <= fails then
    raise exception using errcode = '40001', message = 'not yet';
  end if;
  return v_id;
end $$;
create procedure app.chain_of_calls(n integer, last integer default 3, how text default '')
language plpgsql as $$
begin
  insert into app.ledger (n) values (n);
  if n < last then
    perform jobs.enqueue('app.chain_of_calls',
      jsonb_build_object('n', n + 1, 'last', last), unique_key => 'calls',
      run_at => now() + case when how <> '' then interval '1 hour' else '0' end);
  end if;
  if how = 'waits' then
    perform pg_advisory_xact_lock(1);
  end if;
  commit;
  if how = 'fails' and app.attempt() = 1 then
    raise exception using errcode = '40001', message = 'not yet';
  end if;
end $$;
"""


@pytest.fixture(autouse=True)
def functions(database: Database) -> None:
    database.run(CHAIN)
    quick_retries(database)


def _kept(database: Database, key: str) -> list[str]:
    return [
        row[0]
        for row in database.admin(
            "select state from jobs.job where unique_key = %s order by id", [key]
        )
    ]


@pytest.mark.parametrize("short", [False, True], ids=["alone", "in a chunk"])
def test_a_function_that_enqueues_itself(database: Database, *, short: bool) -> None:
    """Each link runs once, has the key until its successor is there, and its history keeps it."""
    first = put(database, "app.chain", {"n": 1}, unique_key="chain")
    if short:
        know_as_short(database)
    database.drain()
    assert ledger(database) == [1, 2, 3, 4, 5]
    assert _kept(database, "chain") == 5 * ["succeeded"]
    second = database.result(first)
    assert second > first
    assert database.value("select unique_key from jobs.job where id = %s", [second]) == "chain"


def test_a_function_that_fails_takes_its_successor_back(database: Database) -> None:
    """Successor and work are one transaction: an attempt that fails has enqueued nothing,
    and the job has its key.
    """
    first = put(
        database, "app.chain", {"n": 1, "last": 3, "fails": 2}, unique_key="chain", max_attempts=3
    )
    database.admin("select jobs.alter_queue('default', backoff => '1 hour')")
    for _ in range(2):
        database.drain()
        assert state(database, first) == "scheduled"
        assert put(database, "app.chain", {"n": 9}, unique_key="chain") == first
        assert database.value("select jobs.run_now(%s)", [first]) == "queued"
    database.drain()
    assert ledger(database) == [1, 2, 3]
    assert _kept(database, "chain") == 3 * ["succeeded"]


def test_a_procedure_and_a_statement_that_enqueue_themselves(database: Database) -> None:
    """In a child session, which commits before the job is over; by enqueue and by enqueue_sql."""
    put(database, "app.chain_of_calls", {"n": 1}, unique_key="calls")
    database.drain()
    assert ledger(database) == [1, 2, 3]
    assert _kept(database, "calls") == 3 * ["succeeded"]
    put_sql(database, "call app.chain_of_calls(11, 13)", unique_key="calls")
    database.drain()
    assert ledger(database) == [1, 2, 3, 11, 12, 13]


def test_a_call_that_is_tried_again_finds_its_successor(database: Database) -> None:
    """What it committed stays: the second attempt gets the successor's number,
    and there are not two of them.
    """
    first = put(
        database,
        "app.chain_of_calls",
        {"n": 1, "last": 2, "how": "fails"},
        unique_key="calls",
        max_attempts=1,
    )
    database.drain()
    assert state(database, first) == "failed"
    (successor,) = database.run("select id from jobs.job where state = 'scheduled'")[0]
    assert put(database, "app.chain_of_calls", {"n": 7}, unique_key="calls") == successor
    # By hand it is refused as long as the successor is there.
    assert sqlstate_of(lambda: database.run("select jobs.retry(%s)", [first])) == "PW032"
    again = put(
        database,
        "app.chain_of_calls",
        {"n": 5, "last": 6, "how": "fails"},
        unique_key="other",
        max_attempts=2,
    )
    database.admin("update jobs_internal.job set unique_key = 'x' where id = %s", [successor])
    database.admin("update jobs_internal.job set unique_key = 'calls' where id = %s", [again])
    database.drain()
    assert wait_for(database, again)["state"] == "succeeded"
    assert attempts(database, again) == [(1, "failed"), (2, "succeeded")]
    assert database.run(
        "select count(*) from jobs.job where state = 'scheduled' and unique_key = 'calls'"
    ) == [(1,)]


def test_who_does_not_run_the_job_takes_no_key(database: Database) -> None:
    """A session that says of itself that it runs the job does not."""
    with gate_shut(database):
        job = put(database, "app.gate", {"n": 1}, unique_key="chain")
        database.run("select jobs.start()")
        wait_at_gate(database)
        with database.connect() as connection:
            for child in ("on", "off"):
                connection.execute("select set_config('pyworker.job', %s, false)", [f"{job}/1 1"])
                connection.execute("select set_config('pyworker.child', %s, false)", [child])
                found = connection.execute(
                    "select jobs.enqueue('app.note', '{\"n\": 2}', unique_key => 'chain')"
                )
                assert found.fetchone() == (job,)
    database.drain()
    assert ledger(database) == [1]


def test_a_child_that_holds_its_key_open_stops_no_supervisor(database: Database) -> None:
    """Its transaction has the job's row: neither its watcher nor a rescue waits for that."""
    job = put(
        database, "app.chain_of_calls", {"n": 1, "last": 2, "how": "waits"}, unique_key="calls"
    )
    with gate_shut(database):
        database.run("select jobs.start()")
        (child,) = wait_at_gate(database)
        row = wait_running(database, job)
        assert row["child_pid"] == child
        database.admin("select pg_terminate_backend(%s)", [row["pid"]])
        wait_until(lambda: [one[0] for one in database.background()] == [child])
        with database.connect("postgres", lock_timeout="2s") as connection:
            warned: list[str] = []
            connection.add_notice_handler(lambda said: warned.append(str(said.message_primary)))
            connection.execute("select jobs_internal.rescue()")
            assert warned == []  # a rescue that waited gives up one session, and says so
        assert state(database, job) == "running"
    wait_until(lambda: not database.background())
    database.run("select jobs.start()")
    assert wait_for(database, job)["state"] == "in_doubt"
    assert ledger(database) == [1]

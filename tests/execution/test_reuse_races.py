"""Callers of one result at once: one job is made, whatever they meet."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb
from stage import ledger, state
from support import Database, Row, wait_until

from .reused import HOUR, ask, reused

# Keys of advisory locks: where an enqueuer stops before its insert, a session after its result.
ENQUEUER, ENDS = 11, 12
TRIGGERS = f"""
create function public.stop_enqueuer() returns trigger language plpgsql as $$ begin
  if current_setting('application_name') = 'stops' then
    perform pg_advisory_xact_lock_shared({ENQUEUER});
  end if;
  return new;
end $$;
create trigger stops before insert on jobs_internal.job
for each row execute function public.stop_enqueuer();
create function public.stop_end() returns trigger language plpgsql as $$ begin
  perform pg_advisory_xact_lock_shared({ENDS});
  return null;
end $$;
create trigger stops after insert on jobs_internal.fresh_result
for each row execute function public.stop_end();
"""


@contextmanager
def _shut(database: Database, key: int) -> Iterator[Connection[Row]]:
    with database.server.connect("postgres", database.name) as holder:
        holder.execute("select pg_advisory_lock(%s)", [key])
        yield holder


def _wait(database: Database, kind: str, key: int | None = None) -> None:
    wait_until(
        lambda: database.admin(
            "select 1 from pg_locks where locktype = %s and not granted"
            " and (%s::int is null or objid = %s) and (database is null or database ="
            " (select oid from pg_database where datname = current_database()))",
            [kind, key, key],
        )
    )


@pytest.mark.parametrize("ended", [True, False], ids=["committed", "uncommitted"])
def test_the_second_look(database: Database, *, ended: bool) -> None:
    """An enqueuer that has looked, and found neither result nor job; another makes the job, which
    ends before the first one inserts: no second job is made. With its end committed, and with its
    end uncommitted, for which the insert waits.
    """
    ask(database, 7)  # its lane is there
    database.drain()
    database.admin(TRIGGERS)
    line = database.connect("app")
    line.execute("set application_name = 'stops'")
    query = "select jobs.enqueue('app.note', '{\"n\": 1}', options => %s)"
    with ThreadPoolExecutor(1) as pool, _shut(database, ENDS) as end:
        with _shut(database, ENQUEUER) as stop:
            first = pool.submit(lambda: line.execute(query, [Jsonb(HOUR)]).fetchone())
            _wait(database, "advisory", ENQUEUER)
            job = ask(database)
            database.run("select jobs.start()")
            _wait(database, "advisory", ENDS)
            if ended:
                end.execute("select pg_advisory_unlock_all()")
                wait_until(lambda: state(database, job) == "succeeded")
            stop.execute("select pg_advisory_unlock_all()")
        if not ended:
            _wait(database, "transactionid")
            end.execute("select pg_advisory_unlock_all()")
        assert first.result(60) == (job,)
    wait_until(lambda: not database.background())
    database.drain()
    assert ledger(database) == [1, 7]
    assert reused(database, job) == 1
    assert database.value("select count(*) from jobs.job") == 2


def test_many_callers_at_once_make_one_job(database: Database) -> None:
    """While it is enqueued, runs and ends: whatever they meet, there is one."""
    ask(database, 7)
    database.drain()

    def calls(_: int) -> set[int]:
        with database.server.connect("app", database.name) as line:
            query = "select jobs.enqueue('app.note', '{\"n\": 1}', options => %s)"
            rows = [line.execute(query, [Jsonb(HOUR)]).fetchone() for _ in range(40)]
            return {row[0] for row in rows if row}

    with ThreadPoolExecutor(6) as pool:
        answers = pool.map(calls, range(6))
        wait_until(lambda: database.admin("select 1 from jobs_internal.job"))
        database.drain()
        assert len(set().union(*answers)) == 1
    assert ledger(database) == [1, 7]

"""A server that is stopped under load: soon, and at no job's expense.

PYWORKER_STOPS says how often; the figures are printed (pytest -s).
"""

import os
import time

import pytest
from kit.daemon import Supervise
from stage import know_as_short, ledger, put, put_many, put_sql, wait_running
from support import Database, wait_until

STOPS = int(os.environ.get("PYWORKER_STOPS", "2"))
JOBS = 1200
OUTLAST = """
create function app.outlast(n integer, asked timestamptz) returns void language plpgsql as $$
begin
  if pg_postmaster_start_time() < asked then
    perform pg_sleep(600);
  end if;
  insert into app.ledger (n) values (n);
end $$
"""


@pytest.mark.timeout(60 + 60 * STOPS)
@pytest.mark.parametrize("mode", ["fast", "smart", "immediate"])
def test_a_stop_under_load_charges_nobody(
    database: Database, supervise: Supervise, mode: str
) -> None:
    """Every job has one attempt: one that is charged for the stop fails, and shows.

    `stop` gives up after a minute; those that run alone would take ten,
    until the server was started again.
    """
    private = database.server.private
    assert private is not None
    database.run(OUTLAST)
    put(database, "app.nap", {"seconds": 0, "n": -1})
    database.drain()
    know_as_short(database)
    one = supervise(database.dsn("supervisor"))
    took = []
    expected = [-1]
    for n in range(STOPS):
        first = 10000 * (n + 1)
        many = range(first, first + JOBS)
        asked = database.value("select clock_timestamp()::text")
        lone = [
            put(
                database,
                "app.outlast",
                {"n": first + JOBS + k, "asked": asked},
                max_attempts=1,
                settings={"work_mem": "1MB"},
            )
            for k in range(2)
        ]
        child = put_sql(
            database,
            f"do $$ begin perform app.outlast({first + JOBS + 2}, '{asked}'); commit; end $$",
            done_when=f"exists (select from app.ledger where n = {first + JOBS + 2})",
            max_attempts=1,
        )
        put_many(database, "app.nap", [{"seconds": 0.004, "n": k} for k in many], max_attempts=1)
        for job in (*lone, child):
            wait_running(database, job)
        before = len(ledger(database))
        wait_until(lambda before=before: len(ledger(database)) > before + 20, 30)  # type: ignore[misc]
        database.close()
        begun = time.monotonic()
        if mode == "smart":
            # A smart stop waits for clients: the supervisor is one, and leaves when it is told to.
            assert one.stop() == 0
        private.stop(mode=mode)  # type: ignore[arg-type]
        took.append(time.monotonic() - begun)
        private.start()
        if mode == "smart":
            one = supervise(database.dsn("supervisor"))
        wait_until(lambda: database.admin("select count(*) from jobs_internal.job") == [(0,)], 60)
        expected += [*many, *range(first + JOBS, first + JOBS + 3)]
    print(f"\n{mode}: {', '.join(f'{seconds:.2f}' for seconds in took)} s")
    assert ledger(database) == expected
    assert database.run("select distinct state, attempt from jobs.job") == [("succeeded", 1)]
    assert one.events("owner_unreachable") == []
    if mode != "smart":
        told = [len(one.events(name)) for name in ("server_lost", "server_back")]
        assert told == [STOPS, STOPS]
    assert one.stop() == 0
    wait_until(lambda: not database.background(), 20)

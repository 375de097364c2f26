"""A cancel hits the job that it was meant for: thousands of short jobs, cancelled at random by
several.

PYWORKER_STORM_JOBS says how many jobs, PYWORKER_STORM_SEED which; the figures are printed
(pytest -s).
"""

import os
import random
import threading
from collections import Counter

import pytest
from kit.daemon import Supervise
from stage import ledger, put_many
from support import Database, wait_until

COUNT = int(os.environ.get("PYWORKER_STORM_JOBS", "1500"))
SEED = int(os.environ.get("PYWORKER_STORM_SEED", "7"))
CANCELLERS = 3
THINGS = """
create function app.work_a_moment(n integer) returns integer language plpgsql as $$
begin
  insert into app.ledger (n) values (n);
  perform pg_sleep((n % 4) * 0.001);
  return n;
end $$;
"""


class Cancellers:
    """Several who cancel jobs that run at that moment, or any at all,
    and keep what they were told.
    """

    def __init__(self, database: Database, jobs: list[int]) -> None:
        self.answers: list[tuple[int, str]] = []
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._cancel, args=(database, jobs, random.Random(SEED + n)))
            for n in range(CANCELLERS)
        ]
        for thread in self._threads:
            thread.start()

    def _cancel(self, database: Database, jobs: list[int], dice: random.Random) -> None:
        with database.server.connect("app", database.name) as line:
            while not self._over.is_set():
                row = line.execute(
                    "select id from jobs.running order by random() limit 1"
                ).fetchone()
                job = row[0] if row and dice.random() < 0.8 else dice.choice(jobs)
                answer = line.execute("select jobs.cancel(%s)", [job]).fetchone()
                assert answer is not None
                self.answers.append((job, answer[0]))
                self._over.wait(dice.uniform(0, 0.03))

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)


@pytest.mark.parametrize("supervised", [True, False], ids=["with a supervisor", "without"])
@pytest.mark.timeout(60 + COUNT // 10)
def test_no_cancel_hits_another_job(
    database: Database, supervise: Supervise, supervised: bool
) -> None:
    database.run(THINGS)
    put_many(database, "app.work_a_moment", [{"n": -1}])
    database.drain()  # from now on they are known to be short, and share transactions
    one = supervise(database.dsn("supervisor")) if supervised else None
    jobs = put_many(database, "app.work_a_moment", [{"n": n} for n in range(COUNT)], max_attempts=1)
    left = "select count(*) from jobs_internal.job"
    storm = Cancellers(database, jobs)

    def over() -> bool:
        if not supervised and len(database.background()) < 3:
            database.run("select jobs.start(2)")  # a signal without a job sends a session home
        return database.admin(left) == [(0,)]

    try:
        wait_until(over, 50 + COUNT // 10, step=0.05)
    finally:
        storm.end()
    rows = database.run(
        "select id, state, attempt, error ->> 'sqlstate' from jobs.job where id = any (%s)", [jobs]
    )
    asked = {job for job, answer in storm.answers if answer in ("cancelling", "cancelled")}
    found = Counter((state, attempt, error) for _, state, attempt, error in rows)
    print(f"\n{len(storm.answers)} cancels of {len(asked)} jobs: {dict(found)}")
    cancelled = {job for job, state, _, _ in rows if state == "cancelled"}
    assert len(rows) == COUNT
    assert cancelled - asked == set()
    assert {state for _, state, _, _ in rows} <= {"succeeded", "cancelled"}
    assert cancelled
    done = sorted(n for n, job in enumerate(jobs) if job not in cancelled)
    assert ledger(database) == [-1, *done]
    assert database.admin(
        "select count(*) from jobs_internal.stop_request where reason = 'cancelled'"
    )[0][0] <= len(asked)
    if one is not None:
        assert one.stop() == 0
    wait_until(lambda: not database.background(), 20)

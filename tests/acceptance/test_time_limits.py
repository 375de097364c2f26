"""How exactly time limits are kept, for jobs of every kind: with a supervisor,
and by the server alone.

PYWORKER_TIME_LIMIT_JOBS says how many jobs are measured; the figures are printed (pytest -s).
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from statistics import median, quantiles
from threading import Event, Thread

from kit.daemon import Supervise
from psycopg.errors import QueryCanceled
from stage import attempts, gate_shut, know_as_short, put, put_sql
from support import Database, wait_until

COUNT = int(os.environ.get("PYWORKER_TIME_LIMIT_JOBS", "64"))
WAVE = 8
THINGS = """
create function app.doze(seconds float8) returns void language plpgsql as
$$ begin perform pg_sleep(seconds); end $$;
create function app.spin() returns void language plpgsql as
  $$ declare n bigint := 0; begin loop n := n + 1; end loop; end $$;
create procedure app.commit_and_doze(seconds float8) language plpgsql as
  $$ begin loop perform pg_sleep(least(seconds, 0.05)); commit; end loop; end $$;
"""

#: Jobs that never end by themselves. The first call of each kind makes its lane and shape.
KINDS: dict[str, Callable[..., int]] = {
    "alone": lambda base, **o: put(
        base, "app.nap", {"seconds": 600}, settings={"work_mem": "1MB"}, **o
    ),
    "in a chunk": lambda base, **o: put(base, "app.doze", {"seconds": 600}, **o),
    "pg_sleep": lambda base, **o: put(base, "pg_catalog.pg_sleep", {"$1": 600}, **o),
    "statement": lambda base, **o: put_sql(
        base, "insert into app.ledger (n) select 1 from pg_sleep(600)", **o
    ),
    "child": lambda base, **o: put_sql(
        base, "do $$ begin commit; perform pg_sleep(600); end $$", **o
    ),
    "call": lambda base, **o: put(base, "app.commit_and_doze", {"seconds": 600}, **o),
    "lock": lambda base, **o: put(base, "app.gate", **o),
    "loop": lambda base, **o: put(base, "app.spin", queue="spin", **o),
}


def prepare(database: Database) -> None:
    """Make what the jobs call; one loop at a time, so that the others have a processor."""
    database.run(THINGS)
    database.admin("select jobs.create_queue('spin', 1)")


def finish(database: Database, jobs: list[int], seconds: float) -> None:
    """Wait until they have ended."""
    left = "select count(*) from jobs_internal.job where id = any (%s)"
    wait_until(lambda: database.admin(left, [jobs]) == [(0,)], seconds)


@contextmanager
def plain_timeouts(database: Database) -> Iterator[list[float]]:
    """Measure meanwhile how late, in ms, the server's own statement_timeout is on this machine."""
    late: list[float] = []
    over = Event()

    def measure() -> None:
        with database.server.connect("postgres", database.name, statement_timeout="100ms") as line:
            while not over.is_set():
                begun = time.monotonic()
                with suppress(QueryCanceled):
                    line.execute("select pg_sleep(600)")
                late.append(1000 * (time.monotonic() - begun) - 100)

    thread = Thread(target=measure)
    thread.start()
    try:
        yield late
    finally:
        over.set()
        thread.join()


def test_overshoot_of_time_limits(database: Database, supervise: Supervise) -> None:
    prepare(database)
    # the server's own limits do not help
    database.admin("select jobs.configure('timeout_margin_ms', '3600000')")
    dice = random.Random(COUNT)
    one = supervise(database.dsn("supervisor"))
    kinds = list(KINDS)
    asked: dict[int, tuple[str, int]] = {}
    with gate_shut(database), plain_timeouts(database) as plain:
        for begun in range(0, COUNT, WAVE):
            know_as_short(database)
            wave = {}
            for n in range(begun, min(begun + WAVE, COUNT)):
                kind, limit = kinds[n % len(kinds)], dice.randint(100, 2000)
                wave[KINDS[kind](database, timeout=f"{limit} ms", max_attempts=1)] = (kind, limit)
            finish(database, list(wave), 60)
            asked |= wave
    rows = database.admin(
        "select job_id, outcome, error ->> 'sqlstate', 1000 * extract(epoch"
        " from finished_at - started_at)::float8"
        " from jobs.attempts where job_id = any (%s)",
        [list(asked)],
    )
    assert {row[0] for row in rows} == set(asked)
    assert {(row[1], row[2]) for row in rows} == {("timed_out", "PWT01")}
    overshoots = [ms - asked[job][1] for job, _, _, ms in rows]
    assert min(overshoots) >= 0
    cuts = quantiles(overshoots, n=100)
    print(
        f"\n{len(overshoots)} jobs: p50 {cuts[49]:.1f} ms, p99 {cuts[98]:.1f} ms,"
        f" most {max(overshoots):.1f} ms"
    )
    for kind in kinds:
        of_kind = [ms - asked[job][1] for job, _, _, ms in rows if asked[job][0] == kind]
        print(
            f"  {kind:12} {len(of_kind):4} jobs: p50 {median(of_kind):6.1f} ms,"
            f" most {max(of_kind):6.1f} ms"
        )
    # As late as the supervisor may be, and what this machine is late with by itself.
    late = max(plain)
    print(
        f"  {len(plain)} plain statement timeouts: p50 {median(plain):.1f} ms, most {late:.1f} ms"
    )
    assert cuts[49] <= 50 + 20 * median(plain)
    assert cuts[98] <= 250 + 20 * late
    assert one.stop() == 0


def test_the_server_alone_keeps_time_limits(database: Database) -> None:
    """No supervisor lives: the server's own limits end every kind long before it would end by
    itself, children too.
    """
    prepare(database)
    database.admin("select jobs_internal.make_lanes()")
    with gate_shut(database):
        jobs = {
            kind: make(database, timeout="500 ms", max_attempts=1) for kind, make in KINDS.items()
        }
        know_as_short(database)
        database.run("select jobs.start(%s)", [len(jobs)])
        at_work = "select count(*) from jobs.running"
        wait_until(lambda: database.admin(at_work) == [(len(jobs),)])
        wait_until(lambda: not _busy(database), 60)
        # Whoever comes next writes down how those ended whose session is gone.
        database.drain(timeout=25)
    for kind, job in jobs.items():
        assert (kind, attempts(database, job)) == (kind, [(1, "timed_out")])


def _busy(database: Database) -> list[tuple[object, ...]]:
    return [row for row in database.background() if row[2] not in ("pw idle", "pw end")]

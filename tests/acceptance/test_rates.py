"""A queue's rate, with supervisors that launch what they find useful."""

from collections.abc import Sequence

from kit.daemon import Supervise
from support import Database, wait_until

RATE = 60
JOBS = 240


def _starts(database: Database, value: int | None = None) -> list[float]:
    rows = database.admin(
        "select extract(epoch from started_at)::float8 from jobs.job"
        " where started_at is not null and (%(n)s::text is null or args ->> 'n' = %(n)s)"
        " order by 1",
        {"n": None if value is None else str(value)},
    )
    return [row[0] for row in rows]


def _excess(times: Sequence[float], rate: float) -> float:
    """By how much the starts of the worst stretch of time are more than its rate allows."""
    worst = least = 0.0
    for n, time in enumerate(times):
        since = rate * (time - times[0])
        least = min(least, n - since)
        worst = max(worst, n + 1 - since - least)
    return worst


def test_two_supervisors_keep_the_rate_of_a_queue(database: Database, supervise: Supervise) -> None:
    """Two owners, a backlog, and no more sessions than the rate can use."""
    database.run("select jobs.create_queue('q', rate_limit => %s)", [RATE], role="operator")
    for role in ("app", "other"):
        database.run(
            "select jobs.enqueue_many('pg_catalog.now', array_fill('{}'::jsonb, array[%s]),"
            " queue => 'q')",
            [JOBS // 2],
            role=role,
        )
    dsn = database.dsn("supervisor")
    both = [supervise(dsn, "--owner", "app", "--owner", "other") for _ in range(2)]
    wait_until(lambda: len(_starts(database)) == JOBS)
    launched = [line["count"] for one in both for line in one.events("sessions_launched")]
    # one more for each session: it may be held up between its claim and its start
    assert _excess(_starts(database), RATE) <= 1 + 0.1 * RATE + sum(launched)
    assert _starts(database)[-1] - _starts(database)[0] >= (JOBS - 1 - 0.1 * RATE) / RATE - 0.5
    assert sum(launched) <= 12
    assert [one.stop() for one in both] == [0, 0]


def test_a_supervisor_brings_back_what_waits_for_its_value(
    database: Database, supervise: Supervise
) -> None:
    """Each value has the rate for itself."""
    database.run("select jobs.create_queue('q', rate_limit => 4, rate_by => 'n')", role="operator")
    for value in (1, 2, 3):
        database.run(
            "select jobs.enqueue_many('app.note', array_fill(jsonb_build_object('n', %s::integer),"
            " array[12]), queue => 'q')",
            [value],
        )
    one = supervise(database.dsn("supervisor"), "--owner", "app")
    wait_until(lambda: len(_starts(database)) == 36)
    for value in (1, 2, 3):
        times = _starts(database, value)
        # one that is up to two seconds late starts all the same
        assert _excess(times, 4) <= 1 + 4 * 2.08 + 1
        assert times[-1] - times[0] >= 1
    assert one.stop() == 0

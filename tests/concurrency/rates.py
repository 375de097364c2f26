"""Short ways to make queues with a rate, and to count what started."""

from collections.abc import Sequence

from stage import put
from support import Database


def limit(database: Database, starts: int, period: str = "1 second", queue: str = "q") -> None:
    """Make a queue that has a rate."""
    database.run(
        "select jobs.create_queue(%s, rate_limit => %s, rate_period => %s)",
        [queue, starts, period],
        role="operator",
    )


def alter(database: Database, starts: int, period: str | None = None) -> None:
    """Give the queue another rate; 0: none."""
    database.run(
        "select jobs.alter_queue('q', rate_limit => %s, rate_period => %s)",
        [starts, period],
        role="operator",
    )


def fill(database: Database, count: int, *, queue: str = "q", role: str = "app") -> list[int]:
    """Enqueue so many jobs that do nothing; they are in their lane."""
    jobs = [put(database, "pg_catalog.now", queue=queue, role=role) for _ in range(count)]
    database.admin("select jobs_internal.dispatch()")
    return jobs


def starts(database: Database, role: str = "app") -> list[float]:
    """When jobs of a role started, in seconds, in order."""
    rows = database.admin(
        "select extract(epoch from started_at)::float8 from jobs.job"
        " where owner = %s and started_at is not null order by 1",
        [role],
    )
    return [row[0] for row in rows]


def excess(times: Sequence[float], rate: float) -> float:
    """By how much the starts of the worst stretch of time are more than its rate allows: a bucket
    that holds so many lets them pass, and no smaller one.
    """
    worst = least = 0.0
    for n, time in enumerate(times):
        since = rate * (time - times[0])
        least = min(least, n - since) if n else 0.0
        worst = max(worst, n + 1 - since - least)
    return worst


def burst(rate: float) -> float:
    """How many may start at once, as docs/limits.md has it."""
    return 1 + 0.1 * rate

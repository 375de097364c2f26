"""How soon all runs again once the server takes connections after a restart or a crash."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from tests.torture.scenario import Violation
from tests.torture.world import World

__all__ = ["PROMISED", "Outage", "check_recoveries", "late_recoveries", "outages"]

PROMISED = timedelta(seconds=5)

#: from the moment at which the server went down to that at which it was ready again
Outage = tuple[datetime, datetime]

_LINE = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC \[\d+\] .*?LOG:  (.*)$", re.MULTILINE
)
_READY = "database system is ready to accept connections"
_DOWN = (
    "received fast",
    "received smart",
    "received immediate",
    "terminating any other active",
    "all server processes",
)


def _moments(log: str) -> list[tuple[datetime, str]]:
    return [
        (datetime.strptime(f"{at} +0000", "%Y-%m-%d %H:%M:%S.%f %z"), text)
        for at, text in _LINE.findall(log)
    ]


def outages(log: str) -> list[Outage]:
    """List the times in which the server was down, by its own log and clock."""
    found: list[Outage] = []
    down: datetime | None = None
    for at, text in _moments(log):
        if text.startswith(_READY):
            found += [(down, at)] if down is not None else []
            down = None
        elif down is None and text.startswith(_DOWN):
            down = at
    return found


def late_recoveries(
    log: str, effects: Mapping[str, Sequence[datetime]], busy_until: datetime
) -> Iterator[str]:
    """Say where an owner's next effect came later than promised. Effects are in order;
    both are by the server's clock.

    Only moments count after which the server stayed up for that long, and enqueuers went on
    beyond it.
    """
    moments = _moments(log)
    for number, (ready, text) in enumerate(moments):
        limit = ready + PROMISED
        if not text.startswith(_READY) or limit > busy_until:
            continue
        if any(at <= limit and text.startswith(_DOWN) for at, text in moments[number + 1 :]):
            continue
        for owner, times in effects.items():
            found = bisect_left(times, ready)
            took = (
                f"{(times[found] - ready).total_seconds():.1f} s" if found < len(times) else "never"
            )
            if found == len(times) or times[found] > limit:
                yield (
                    f"the server was ready at {ready:%H:%M:%S}, and the next effect of {owner} came"
                    f" after {took}"
                )


def check_recoveries(world: World) -> list[Violation]:
    """Look at every restart of a scenario, as far as there was work for everybody all the time."""
    if world.scenario.clock_steps or not world.scenario.rate:
        return []
    effects: dict[str, list[datetime]] = {"app": [], "other": []}
    for owner, at in world.rows("select by_session, at from stage.ledger order by at"):
        effects.setdefault(owner, []).append(at)
    until = world.rows("select max(created_at) from jobs.job")[0][0]
    if until is None:
        return []
    return [
        world.scenario.violation("I12", text)
        for text in late_recoveries(world.log(), effects, until)
    ]

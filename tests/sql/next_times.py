"""Random schedules, compared with the oracle of wall_clock.py at changes of 30 zones, 1970 to 2037.

`python -m tests.sql.next_times CASES SEED` compares many, 100,000 if not told otherwise, in the
database of PYWORKER_DSN, as its administrator, and measures a call.
"""

import itertools
import math
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import click
import psycopg
from psycopg import Connection

from tests.sql.wall_clock import (
    DAY,
    EPOCH,
    SINCE,
    UNTIL,
    ZONES,
    Clock,
    Schedule,
    Walk,
    changes_of,
    far,
    zone_directory,
)

HALF = DAY // 2
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]


Part = tuple[str, frozenset[int]]
Kinds = tuple[str, ...]


DENSE = ("star", "step", "range", "range step", "one", "one", "one", "one")
SPARSE = ("one",)


def _part(
    rng: random.Random, low: int, high: int, near: int, names: list[str], kinds: Kinds
) -> Part:
    """Make an item of a field, around a number."""
    kind = rng.choice(kinds)
    if kind == "star":
        return "*", frozenset(range(low, high + 1))
    if kind == "step":
        step = min(rng.choice((2, 3, 5, 7, 10, 15, 20, 30)), high)
        return f"*/{step}", frozenset(range(low, high + 1, step))
    first = max(low, min(high, near + rng.choice((-1, 0, 0, 0, 1))))
    if kind == "one":
        shown = names[first - low] if names and rng.random() < 0.3 else str(first)
        return shown, frozenset((first,))
    last = rng.randint(first, high)
    if kind == "range":
        return f"{first}-{last}", frozenset(range(first, last + 1))
    step = rng.randint(1, min(10, high))
    return f"{first}-{last}/{step}", frozenset(range(first, last + 1, step))


def schedules(rng: random.Random, wall: int, kinds: Kinds = DENSE) -> Schedule:
    """Make a schedule that has to do with a minute of the wall clock."""

    def field_of(low: int, high: int, near: int, names: list[str]) -> Part:
        parts = [
            _part(rng, low, high, near, names, kinds) for _ in range(rng.choice((1, 1, 1, 2, 3)))
        ]
        return ",".join(text for text, _ in parts), frozenset().union(*(n for _, n in parts))

    day = EPOCH + timedelta(wall // 1440)
    open_days = 0.6 if kinds == DENSE else 0.2
    while True:
        minutes = field_of(0, 59, rng.choice((0, 30, wall % 60)), [])
        hours = field_of(0, 23, wall // 60 % 24, [])
        days: Part = ("*", frozenset(range(1, 32)))
        months: Part = ("*", frozenset(range(1, 13)))
        weekdays: Part = ("*", frozenset(range(7)))
        if rng.random() > open_days:
            days = field_of(1, 31, rng.choice((day.day, day.day, 1, 29, 31)), [])
            if rng.random() < 0.2:
                days = f"{days[0]},{rng.choice('lL$')}", days[1] | {0}
        if rng.random() > open_days:
            months = field_of(1, 12, rng.choice((day.month, day.month, 2)), _MONTHS)
        if rng.random() > open_days:
            weekdays = field_of(0, 7, day.isoweekday() % 7, [*_WEEKDAYS, "7"])
            if rng.random() < 0.3:  # both must match
                weekdays = f"*/7,{weekdays[0]}", weekdays[1] | {0}
        longest = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
        if 0 in days[1] or any(min(days[1]) <= longest.get(m, 31) for m in months[1]):
            break  # else its date never comes
    return Schedule(
        " ".join((minutes[0], hours[0], days[0], months[0], weekdays[0])),
        minutes[1], hours[1], days[1], months[1], frozenset(n % 7 for n in weekdays[1]),
        not (days[0].startswith("*") or weekdays[0].startswith("*")),
        "*" in minutes[0] or "*" in hours[0],
    )  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A schedule, an instant, and when the oracle says that it runs."""

    zone: str
    text: str
    at: float
    due: int | None
    looked_until: int  #: where due is None, it must come later than that

    def agrees(self, found: float | None) -> bool:
        if self.due is None:
            return found is None or found >= self.looked_until
        return found == self.due


def near_changes(
    rng: random.Random, clocks: dict[str, Clock], each: int, share: float = 1
) -> Iterator[list[Case]]:
    """Make cases around changes of the clocks (this share of them): a list for each zone."""
    for name, clock in clocks.items():
        cases = []
        changes = changes_of(clock) or [rng.randrange(SINCE, UNTIL) // 60 * 60 for _ in range(20)]
        for change in rng.sample(changes, max(1, round(len(changes) * share))):
            walk = Walk.of(clock, change - 2 * DAY, change + 2 * DAY)
            for _ in range(each):
                wall = walk.walls[2 * 1440 + rng.randint(-150, 150)]
                schedule = schedules(rng, wall)
                at = change + rng.choice(
                    (0, -1, rng.randint(-3 * HALF, 3 * HALF), rng.randint(-9000, 9000))
                )
                at = at + rng.choice((0, 0, -0.5, 0.25))
                cases.append(Case(name, schedule.text, at, walk.after(schedule, at), walk.end))
        yield cases


def far_ahead(rng: random.Random, clocks: dict[str, Clock], number: int) -> list[Case]:
    """Make cases whose next time may be years away."""
    cases = []
    for _ in range(number):
        name, clock = rng.choice(list(clocks.items()))
        at = rng.randrange(SINCE + DAY, UNTIL)
        schedule = schedules(rng, clock.wall(rng.choice(changes_of(clock) or [at])), SPARSE)
        cases.append(Case(name, schedule.text, at, far(clock, schedule, at), at + 41 * 365 * DAY))
    return cases


ASK = """
select extract(epoch from jobs_internal.next_time(jobs_internal.parse_schedule(c.text), c.zone,
    to_timestamp(c.at)))::float8
from unnest(%s::text[], %s::text[], %s::float8[]) with ordinality as c(zone, text, at, n)
order by c.n
"""


def differing(connection: Connection[tuple[object, ...]], cases: list[Case]) -> list[str]:
    """Ask the server; give the cases in which it does not agree."""
    columns = [[c.zone for c in cases], [c.text for c in cases], [float(c.at) for c in cases]]
    found = [row[0] for row in connection.execute(ASK, columns)]
    return [
        f"{c.zone}, {c.text}, after {shown(c.at)}: {shown(c.due)}, the server says {shown(f)}"
        for c, f in zip(cases, found, strict=True)
        if not c.agrees(f)
    ]


def shown(at: object) -> str:
    """Write an instant."""
    return str(datetime.fromtimestamp(at, UTC)) if isinstance(at, int | float) else str(at)


def zones_that_differ(
    connection: Connection[tuple[object, ...]], clocks: dict[str, Clock]
) -> list[str]:
    """List the zones in which the files say something else than the server, at any change."""
    found = []
    for name, clock in clocks.items():
        at = [second for change in changes_of(clock) for second in (change - 60, change)]
        theirs = connection.execute(
            "select floor(extract(epoch from to_timestamp(a) at time zone %s) / 60)::bigint"
            " from unnest(%s::bigint[]) with ordinality as u(a, n) order by n",
            [name, at],
        ).fetchall()
        if [row[0] for row in theirs] != [clock.wall(second) for second in at]:
            found.append(name)
    return found


SPEED = """
select percentile_cont(array[0.5, 0.99]) within group (order by us), count(due) from (
  select extract(epoch from c.ended - c.began) * 1e6 as us, c.due from (
    select clock_timestamp() as began,
      jobs_internal.next_time(p.timetable, p.zone, to_timestamp(p.at)) as due,
      clock_timestamp() as ended
    from (select jobs_internal.parse_schedule(c.text) as timetable, c.zone, c.at
      from unnest(%s::text[], %s::text[], %s::float8[]) as c(zone, text, at) offset 0) as p
    offset 0) as c) as t
"""


def speed(connection: Connection[tuple[object, ...]], cases: list[Case]) -> list[float]:
    """Measure a call in us: median, and the slowest of a hundred."""
    columns = [[c.zone for c in cases], [c.text for c in cases], [float(c.at) for c in cases]]
    row = connection.execute(SPEED, columns).fetchone()
    assert row is not None
    return list(row[0])  # type: ignore[call-overload]


def main(cases: int = 100_000, seed: int = 1) -> int:
    """Compare many cases on the server of PYWORKER_DSN; returns the exit code."""
    rng = random.Random(seed)
    with psycopg.connect(os.environ["PYWORKER_DSN"], autocommit=True) as connection:
        directory = zone_directory(connection)
        clocks = {name: Clock.read(directory, name) for name in ZONES}
        changes = sum(len(changes_of(clock)) for clock in clocks.values())
        click.echo(f"{len(clocks)} zones of {directory}, {changes} changes, seed {seed}")
        if differ := zones_that_differ(connection, clocks):
            click.echo(f"the server has other zones than these files: {', '.join(differ)}")
            return 2
        wrong = done = 0
        each = math.ceil(cases * 0.95 / changes)
        ahead = far_ahead(rng, clocks, cases // 20)
        for some in itertools.chain(near_changes(rng, clocks, each), [ahead]):
            connection.execute("select set_config('TimeZone', %s, false)", [rng.choice(ZONES)])
            found = differing(connection, some)
            done, wrong = done + len(some), wrong + len(found)
            click.echo("\n  ".join((f"{done} cases, {wrong} differ ({some[0].zone})", *found[:5])))
        median, slow = speed(connection, ahead)
        click.echo(f"a call takes {median:.0f} us, one of a hundred {slow:.0f} us or more")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))

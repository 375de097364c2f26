"""The oracle of next times: the wall clock of a zone, walked minute by minute.

It shares nothing with the SQL: a schedule is sets of numbers, and zones are read by zoneinfo, from
the files that the server reads itself.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from zoneinfo import ZoneInfo

from psycopg import Connection

#: Zones that jump in many ways: by half an hour, by two, by a day, at midnight, in Ramadan.
ZONES = (
    "UTC", "Europe/Zurich", "Europe/London", "Europe/Dublin", "Europe/Lisbon", "Europe/Istanbul",
    "Europe/Moscow", "Africa/Cairo", "Africa/Casablanca", "America/New_York", "America/St_Johns",
    "America/Sao_Paulo", "America/Havana", "America/Santiago", "America/Godthab",
    "America/Caracas", "Antarctica/Troll", "Antarctica/Casey", "Asia/Tehran", "Asia/Amman",
    "Asia/Gaza", "Asia/Kathmandu", "Asia/Pyongyang", "Asia/Kolkata", "Australia/Lord_Howe",
    "Australia/Adelaide", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kwajalein",
    "Pacific/Norfolk",
)  # fmt: skip
SINCE = int(datetime(1970, 1, 3, tzinfo=UTC).timestamp())
UNTIL = int(datetime(2037, 12, 29, tzinfo=UTC).timestamp())
DAY = 86400
EPOCH = date(1970, 1, 1)


def zone_directory(connection: Connection[tuple[object, ...]]) -> Path:
    """Tell where the server reads its zones; the connection is an administrator's."""
    settings = dict(connection.execute("select name, setting from pg_config").fetchall())
    system = re.search(r"--with-system-tzdata=([^' ]+)", str(settings["CONFIGURE"]))
    return Path(system[1]) if system else Path(str(settings["SHAREDIR"])) / "timezone"


@dataclass(frozen=True)
class Clock:
    """The wall clock of one zone."""

    zone: ZoneInfo

    @classmethod
    def read(cls, directory: Path, name: str) -> "Clock":
        """Read it from a file of this directory, and nowhere else."""
        with (directory / name).open("rb") as file:
            return cls(ZoneInfo.from_file(file, name))

    def wall(self, at: int) -> int:
        """Tell what it shows at a second: minutes since 1970, as if there were no zones."""
        shown = datetime.fromtimestamp(at, self.zone)
        return (shown.toordinal() - EPOCH.toordinal()) * 1440 + shown.hour * 60 + shown.minute

    def changes(self) -> list[int]:
        """List the seconds at which it jumps."""
        found = []
        before = self.wall(SINCE)
        for at in range(SINCE + DAY, UNTIL, DAY):
            shown = self.wall(at)
            if shown - before != 1440:
                low, high = at - DAY, at
                while high - low > 60:
                    middle = (low + high) // 120 * 60
                    if self.wall(middle) - (middle - low) // 60 == self.wall(low):
                        low = middle
                    else:
                        high = middle
                found.append(high)
            before = shown
        return found


@dataclass(frozen=True)
class Schedule:
    """Five fields, as text and as sets."""

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]  #: 0: the last of the month
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool  #: day or weekday
    wild: bool
    _dates: dict[int, bool] = field(default_factory=dict, compare=False)

    def on(self, day: int) -> bool:
        """Tell whether it runs on a day, counted from 1970-01-01."""
        if day not in self._dates:
            at = EPOCH + timedelta(day)
            last = (at + timedelta(1)).day == 1
            in_days = at.day in self.days or (last and 0 in self.days)
            in_week = at.isoweekday() % 7 in self.weekdays
            both = in_days or in_week if self.either else in_days and in_week
            self._dates[day] = both and at.month in self.months
        return self._dates[day]

    def at(self, wall: int) -> bool:
        """Tell whether it names a minute of the wall clock."""
        return wall % 60 in self.minutes and wall // 60 % 24 in self.hours and self.on(wall // 1440)

    def due(self, reached: int, wall: int) -> bool:
        """Tell whether it runs in a minute that shows this, when so much was reached before."""
        if self.wild:
            return self.at(wall)
        return any(self.at(minute) for minute in range(reached + 1, wall + 1))


@dataclass(frozen=True)
class Walk:
    """Some days of a clock, minute by minute."""

    begin: int
    walls: list[int]
    reached: list[int]  #: the most that was shown before that minute

    @classmethod
    def of(cls, clock: Clock, begin: int, end: int) -> "Walk":
        walls = [clock.wall(at) for at in range(begin, end, 60)]
        reached = [walls[0]]
        for wall in walls:
            reached.append(max(reached[-1], wall))
        return cls(begin, walls, reached)

    @property
    def end(self) -> int:
        return self.begin + 60 * len(self.walls)

    def after(self, schedule: Schedule, at: float) -> int | None:
        """Find the first minute after an instant in which a schedule runs; None: none here."""
        first = int((at - self.begin) // 60) + 1
        for n in range(first, len(self.walls)):
            if schedule.due(self.reached[n], self.walls[n]):
                return self.begin + 60 * n
        return None


def far(clock: Clock, schedule: Schedule, at: int) -> int | None:
    """Find it however far it is, up to 41 years; days on which nothing can be due are passed."""
    begin = at // DAY * DAY
    for start in range(begin, begin + 41 * 366 * DAY, DAY):
        low, high = clock.wall(start - DAY) // 1440, clock.wall(start + 2 * DAY) // 1440
        if any(schedule.on(day) for day in range(low, high + 1)):
            found = Walk.of(clock, start - DAY, start + DAY).after(schedule, max(at, start - 1))
            if found is not None:
                return found
    return None


@cache
def changes_of(clock: Clock) -> list[int]:
    """List the changes of a clock, found once."""
    return clock.changes()

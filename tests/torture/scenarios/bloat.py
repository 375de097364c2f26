"""Wave upon wave of jobs with autovacuum off: the tables through which they go stay as large as one
wave made them.
"""

import random

from tests.torture.invariants import is_hot
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.world import World

__all__ = ["Bloat"]

_FIRST = 2  # waves after which a table has its size
_TIMES = 2.5
_SMALL = 2**17  # bytes below which nothing is vacuumed

_SIZES = (
    "select c.oid::regclass::text, pg_relation_size(c.oid) from pg_class as c where c.relkind = 'r'"
)
_LEFT = "select 1 from jobs_internal.job limit 1"
_VACUUM = "vacuum (skip_locked"


@register
class Bloat(Scenario):
    """Nothing but our own upkeep keeps the tables small; it is asked for after each wave."""

    name = "bloat"
    summary = (
        "waves of 2,000 jobs with autovacuum off: queue tables stay as large as one wave made them"
    )
    minimum = 20.0
    rate = 0.0

    def __init__(self) -> None:
        """Nothing was measured yet."""
        self._sizes: list[dict[str, int]] = []

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """As many waves as fit, at least six."""
        count = max(6, int(seconds / 2))
        return [
            Fault(round(number * seconds / count + rng.random(), 3), "wave")
            for number in range(count)
        ]

    def prepare(self, world: World) -> None:
        """Switch autovacuum off."""
        world.rows("alter system set autovacuum = off")
        world.rows("select pg_reload_conf()")

    def inject(self, world: World, fault: Fault) -> None:
        """One wave, to its end; then the upkeep, to its end."""
        world.enqueue("wave")
        world.until(lambda: not world.rows(_LEFT), 60.0, "the end of a wave")
        world.rows("select jobs_internal.maintain()")
        world.until(lambda: not world.background(_VACUUM), 30.0, "the end of the upkeep")
        self._sizes.append({name: size for name, size in world.rows(_SIZES) if is_hot(name)})

    def mend(self, world: World) -> None:
        """Switch it on again."""
        world.rows("alter system reset autovacuum")
        world.rows("select pg_reload_conf()")

    def check(self, world: World) -> list[Violation]:
        """Compare the sizes after the last wave with those after the second."""
        if len(self._sizes) < _FIRST + 3:
            return [
                self.violation(
                    "driver", f"only {len(self._sizes)} waves came to their end: too few to compare"
                )
            ]
        first, last = self._sizes[_FIRST - 1], self._sizes[-1]
        return [
            self.violation(
                "I9",
                f"{name}: {size} bytes after {len(self._sizes)} waves, {first.get(name, 0)}"
                " after two",
            )
            for name, size in last.items()
            if size > _SMALL and size > _TIMES * first.get(name, 0)
        ]

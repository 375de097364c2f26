"""Leases that run out while their jobs run."""

import random
from typing import ClassVar

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.world import World

__all__ = ["LeaseShort"]


@register
class LeaseShort(Scenario):
    """The lease runs out long before the job is over. A lease that ran out permits a look,
    never a second run.
    """

    name = "lease_short"
    summary = "jobs that take several times the lease, each of which runs once"
    settings: ClassVar[dict[str, str]] = {"lease_seconds": "1"}
    supervisors = 2

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """One long job after the other, several at once."""
        return [
            Fault(round(0.5 + n * (seconds - 1) / 12 * rng.uniform(0.8, 1.0), 3), "long_job")
            for n in range(12)
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Enqueue one."""
        world.enqueue("long")

    def check(self, world: World) -> list[Violation]:
        """Each has one attempt, which succeeded, and took longer than its lease."""
        found = []
        for job, attempts, outcomes, took in world.rows(
            "select job_id, count(*), array_agg(outcome), max(finished_at - started_at) <"
            " interval '2 s'"
            " from jobs.attempts where job_id in (select id from jobs.job"
            " where note ->> 'tag' like 'w\\_%') group by 1"
        ):
            if attempts != 1 or outcomes != ["succeeded"]:
                found.append(
                    self.violation(
                        "I2", f"job {job} with a short lease had {attempts} attempts: {outcomes}"
                    )
                )
            elif took:
                found.append(
                    self.violation(
                        "driver", f"job {job} was shorter than two leases: nothing was shown"
                    )
                )
        return found

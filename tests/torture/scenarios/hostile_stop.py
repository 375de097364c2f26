"""A fast stop of the server while jobs sit in C code: it ends in time, and charges nobody."""

import random

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.scenarios.hostile import INNOCENT, stage
from tests.torture.watched import SUCCEEDED, Ending, Job, Watched
from tests.torture.world import World

__all__ = ["HostileStop"]

_SLEEPS = ("pg_sleep", "series", "sort", "regexp", "lock")
_CANCELLED = (
    Ending(state="cancelled", code="PWC01", attempts=("cancelled",)),
    Ending(state="cancelled", code="PWC01", attempts=()),  # it waited
)
_UNSEEN = Ending(state="in_doubt", code="PWD01", effects=-1)
_PLACES = 6  # jobs of the owner that sleep at once; its other sessions go on with the load
_CANCEL = (
    "select jobs.cancel(id) from jobs.job where id = any (%s) and finished_at is null"
    " and task <> 'hostile.innocent'"
)
_STARTED = 20.0  # seconds in which they start


@register
class HostileStop(Scenario):
    """pg_ctl stop -m fast does not wait for them, and they are the same jobs after the start."""

    name = "hostile_stop"
    summary = "pg_ctl stop -m fast, while jobs sort, match, sleep and wait for locks without an end"
    minimum = 12.0
    restarts = True
    supervisors = 2

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Sleepers, and a stop once they are at work, every few seconds."""
        faults: list[Fault] = []
        at = 1.0
        while at < seconds - 4.0:
            sleeps = [rng.choice(_SLEEPS) for _ in range(_PLACES - 1)]
            faults.append(Fault(at=round(at, 3), kind="stop and start", facts={"sleeps": sleeps}))
            at += rng.uniform(4.0, 7.0)
        return faults

    def prepare(self, world: World) -> None:
        """Nobody sleeps yet."""
        self._watched = Watched(self.name)
        stage(world).close()

    def inject(self, world: World, fault: Fault) -> None:
        """Have them at work, then stop and start."""
        jobs = [
            Job(
                label=f"sleeps in {how}",
                call="hostile.sleep",
                args={"how": how},
                options={"max_attempts": 1},
                # nobody holds the lock after the stop
                may=(SUCCEEDED, *_CANCELLED) if how == "lock" else _CANCELLED,
            )
            for how in fault.facts["sleeps"]
        ]
        child = Job(
            label="sleeps in a child",
            call="do $$ begin commit; perform pg_sleep(3600); end $$",
            args=None,
            options={"max_attempts": 1},
            may=(_UNSEEN, *_CANCELLED),
        )
        with (
            world.connect("app", idle_in_transaction_session_timeout="0") as line,
            world.connect("app") as holder,
        ):
            holder.execute("select pg_advisory_lock(4712)")
            numbers = self._watched.enqueue(line, [*jobs, INNOCENT, child, INNOCENT])
            sleepers = [numbers[place] for place in (*range(len(jobs)), len(jobs) + 1)]
            at_work = "select 1 from jobs.running where id = any (%s) having count(*) = %s"
            world.until(
                lambda: world.rows(at_work, [sleepers, len(sleepers)]),
                _STARTED,
                "sleepers are at work",
            )
            world.restart("fast")
        # They start again; the next stop shall not find more of them than there are sessions.
        world.rows(_CANCEL, [sleepers])

    def mend(self, world: World) -> None:
        """Nobody has to sleep any longer."""
        world.rows(_CANCEL, [self._watched.numbers])

    def check(self, world: World) -> list[Violation]:
        """They were charged nothing by the stops; that these did not take long,
        the common checks ask.
        """
        return self._watched.check(world.admin())

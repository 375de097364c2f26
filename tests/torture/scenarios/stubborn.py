"""A job that will not stop: the ladder, the quarantine of its lane, and everybody else."""

import random
from dataclasses import replace
from typing import Any

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.scenarios.hostile import INNOCENT, stage
from tests.torture.watched import Ending, Job, Watched
from tests.torture.world import World

__all__ = ["Stubborn"]

_WAYS = ("function, cancelled", "child, cancelled", "child, timed out")
_LADDER = 10.0  # seconds from the wish to the quarantine
_HEALTH = "select status, detail, remedy from jobs.health where \"check\" = 'unstoppable jobs'"
_ENOUGH = "update hostile.flag set raised = true where name = 'enough'"
_PATIENCE = 60.0  # seconds that it goes on for, should others seem to wait for it


@register
class Stubborn(Scenario):
    """Cancelled, cancelled again, terminated, and it goes on: its lane waits, people are told,
    others go on.
    """

    name = "stubborn_job"
    summary = (
        "a job that traps every signal: its lane is quarantined, jobs.health is critical,"
        " other lanes go on"
    )
    minimum = 19.0
    #: No common load: it builds indexes concurrently, and such a build waits for every older
    #: transaction, this job's too, until all sessions of the owner wait.
    #: The jobs of other lanes are our own.
    rate = 0.0
    #: Its job would not let the server stop; it ends before the drain.
    stubborn = True

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """One such job, long enough for the whole ladder, and the looks at it."""
        way = rng.choice(_WAYS)
        begin = round(rng.uniform(0.3, 1.0), 3)
        quarantined = begin + _LADDER + 3.5
        return [
            Fault(at=begin, kind="begin", facts={"way": way}),
            Fault(at=round(begin + 1.0, 3), kind="wish", facts={"way": way}),
            Fault(at=round(begin + rng.uniform(2.0, 8.0), 3), kind="others"),
            Fault(at=round(quarantined, 3), kind="look"),
            Fault(at=round(quarantined + 0.1, 3), kind="others"),
            Fault(
                at=round(
                    min(quarantined + rng.uniform(1.0, 2.0), max(seconds, quarantined + 1)), 3
                ),
                kind="relent",
            ),
        ]

    def prepare(self, world: World) -> None:
        """Make a queue of its own for it: a lane that nobody else uses."""
        self._watched = Watched(self.name)
        self._line = stage(world)
        self._other = world.connect("other")
        admin = world.admin()
        admin.execute("select jobs.create_queue('stubborn', 2)")
        admin.execute("insert into hostile.flag (name) values ('enough')")
        admin.execute("grant execute on all functions in schema hostile to other")
        self._troubles: list[str] = []
        self._job = 0
        self._held: list[int] = []
        self._others: list[int] = []

    def inject(self, world: World, fault: Fault) -> None:
        """Begin it, want it to stop, look what becomes of it, and let it end."""
        match fault.kind:
            case "begin":
                self._begin(world, fault.facts["way"])
            case "wish":
                if fault.facts["way"].endswith("cancelled"):
                    self._line.execute("select jobs.cancel(%s)", [self._job])
            case "others":
                job = Job(label="of another lane", call=INNOCENT.call)
                high = replace(
                    job, label="of the lane with high priority", options={"priority": "high"}
                )
                self._others += self._watched.enqueue(self._line, [job, high] * 20)
                self._others += self._watched.enqueue(self._other, [job] * 20)
            case "look":
                self._look(world)
            case "relent":
                self._relent(world)

    def _begin(self, world: World, way: str) -> None:
        seconds = 120.0  # the end of all patience, should nobody raise the flag
        options: dict[str, Any] = {"queue": "stubborn", "max_attempts": 1}
        may = (
            # what it did is committed, and its outcome says what happened
            Ending(state="succeeded"),
            Ending(state="cancelled", code="PWC01", effects=-1),
            Ending(state="failed", code="PWT01", effects=-1, attempts=("timed_out",)),
            Ending(state="in_doubt", code="PWD01", effects=-1),
        )
        args: dict[str, Any] | None = None
        if way.startswith("function"):
            call, args = "hostile.trap_cancel", {"seconds": seconds, "flag": "enough"}
        else:
            call = f"call hostile.trap_in_child({seconds}, 'enough')"
        if way.endswith("timed out"):
            options["timeout"] = "1 s"
        job = Job(label=f"stubborn {way}", call=call, args=args, options=options, may=may)
        (self._job,) = self._watched.enqueue(self._line, [job])
        started = world.until(lambda: self._state(world, self._job) == "running", 10)
        if not started:
            self._troubles.append("the stubborn job did not start")

    def _look(self, world: World) -> None:
        """The lane is quarantined; people are told the process and what to do; it alone."""
        admin = world.admin()
        row = admin.execute(
            "select coalesce(r.child_pid, r.pid) from jobs.running as r where r.id = %s",
            [self._job],
        ).fetchone()
        status, detail, remedy = admin.execute(_HEALTH.encode()).fetchone() or ("", "", "")
        if row is None:
            self._troubles.append(
                f"the stubborn job stopped after all: {self._state(world, self._job)}"
            )
            return
        if status != "critical" or f"job {self._job} in process {row[0]}" not in detail:
            self._troubles.append(
                f"jobs.health does not tell of process {row[0]}: {status}, {detail}"
            )
        elif f"pg_terminate_backend({row[0]})" not in (remedy or ""):
            self._troubles.append(f"jobs.health has no runbook for process {row[0]}: {remedy}")
        lanes = admin.execute(
            "select count(*) from jobs_internal.lane where quarantine is not null"
        ).fetchone()
        if lanes != (1,):
            self._troubles.append(f"one lane should be quarantined; it is {lanes}")
        signals_sent = admin.execute(
            "select signals_sent from jobs_internal.stop_request where job_id = %s", [self._job]
        ).fetchone()
        if signals_sent is None or signals_sent[0] < 3:
            self._troubles.append(
                f"it was to be cancelled twice and terminated; signals sent: {signals_sent}"
            )
        held = Job(label="behind it", call=INNOCENT.call, options={"queue": "stubborn"})
        self._held = self._watched.enqueue(self._line, [held] * 3)

    def _relent(self, world: World) -> None:
        """Everybody else is through before it ends, however long that takes;
        those behind it are not.
        """
        left = "select id from jobs.job where id = any (%s) and finished_at is null"
        if not world.until(lambda: not world.rows(left, [self._others]), _PATIENCE, "others end"):
            self._troubles.append(
                f"jobs of other lanes wait for it: {world.rows(left, [self._others])}"
            )
        if any(self._state(world, job) == "succeeded" for job in self._held):
            self._troubles.append("a job of a quarantined lane ran")
        world.admin().execute(_ENOUGH)

    def _state(self, world: World, job: int) -> str | None:
        row = world.admin().execute("select state from jobs.job where id = %s", [job]).fetchone()
        return str(row[0]) if row else None

    def mend(self, world: World) -> None:
        """It may end."""
        world.admin().execute(_ENOUGH)
        self._line.close()
        self._other.close()

    def check(self, world: World) -> list[Violation]:
        """It was told, it cost its lane only, and its lane is back."""
        violations = [self.violation("ladder", trouble) for trouble in self._troubles]
        told = world.admin().execute(_HEALTH.encode()).fetchone()
        if told != ("ok", "none", None):
            violations.append(
                self.violation("ladder", f"the job is over, and jobs.health still says {told}")
            )
        return violations + self._watched.check(world.admin())

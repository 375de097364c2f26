"""Jobs that a scenario enqueues beside the load, each with what may become of it;
compared with what did.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from tests.torture.recovery import Outage
from tests.torture.scenario import Violation

__all__ = ["SUCCEEDED", "Ending", "Job", "Watched"]

#: What is known of watched jobs: how each ended, what it left, and how many attempts were charged.
_FACTS = """
select j.id, j.state, j.error ->> 'sqlstate', coalesce(j.error ->> 'message', ''), j.result,
  (select count(*) from hostile.effect as e where e.job_id = j.id),
  array(select a.outcome from jobs.attempts as a where a.job_id = j.id and a.outcome is not null
    order by a.attempt),
  j.max_attempts, j.created_at, j.finished_at
from jobs.job as j
where j.id = any (%s)
"""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """One way in which a job may end."""

    state: str
    code: str | None = None  #: SQLSTATE of its error
    effects: int | None = None  #: None: one if it succeeded, none otherwise; -1: any number
    #: outcomes of its attempts, in order; None: one that ended as the job did
    attempts: tuple[str, ...] | None = None
    says: str = ""  #: a part of its error's message

    def __str__(self) -> str:
        """Say it in short."""
        return " ".join(
            str(part) for part in (self.state, self.code, self.attempts, self.says) if part
        )

    def fits(self, fact: "Fact") -> bool:
        """Tell whether a job ended like this."""
        wanted = (1 if self.state == "succeeded" else 0) if self.effects is None else self.effects
        attempts = (self.state,) if self.attempts is None else self.attempts
        return (
            (fact.state, fact.code) == (self.state, self.code)
            and wanted in (fact.effects, -1)
            and fact.attempts == attempts
            and self.says in fact.message
        )


SUCCEEDED = Ending(state="succeeded")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to enqueue, and what may become of it."""

    label: str
    call: str  #: a function, or a statement where `args` is None
    args: dict[str, Any] | None = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    may: tuple[Ending, ...] = (SUCCEEDED,)
    #: seconds from its enqueue to its end at most, of a server that is up, for each crash
    within: float | None = None
    result: Any = None  #: result that it must have when it succeeded; None: any


@dataclass(frozen=True, kw_only=True)
class Fact:
    """What became of a job."""

    state: str
    code: str | None
    message: str
    result: Any
    effects: int
    attempts: tuple[str, ...]
    max_attempts: int
    created_at: datetime
    finished_at: datetime | None

    def waited(self, outages: Sequence[Outage]) -> tuple[float, int]:
        """Give the seconds from its enqueue to its end in which the server was up,
        and how often it went down.

        Of a job without an end no seconds.
        """
        if self.finished_at is None:
            return 0.0, 0
        met = [(max(down, self.created_at), min(up, self.finished_at)) for down, up in outages]
        lost = [up - down for down, up in met if up > down]
        return (self.finished_at - self.created_at - sum(lost, timedelta())).total_seconds(), len(
            lost
        )


class Watched:
    """The watched jobs of one scenario."""

    def __init__(self, scenario: str) -> None:
        """Nothing is watched yet."""
        self._scenario = scenario
        self._jobs: dict[int, Job] = {}

    @property
    def numbers(self) -> list[int]:
        """List the jobs."""
        return list(self._jobs)

    def enqueue(self, line: Connection[Any], jobs: Sequence[Job]) -> list[int]:
        """Enqueue jobs in one transaction, in their order. When its outcome is not known,
        none of them is watched.
        """
        numbers: list[int] = []
        with line.transaction():
            for job in jobs:
                statement = job.args is None
                given = {"statement" if statement else "task": job.call, **job.options}
                if not statement:
                    given["args"] = Jsonb(job.args)
                names = ", ".join(f"{name} => %({name})s" for name in given)
                function = "jobs.enqueue_sql" if statement else "jobs.enqueue"
                row = line.execute(f"select {function}({names})".encode(), given).fetchone()
                numbers.append(int(row[0]) if row else 0)
        self._jobs.update(zip(numbers, jobs, strict=True))
        return numbers

    def facts(self, admin: Connection[Any]) -> dict[int, Fact]:
        """Read what became of all."""
        rows = admin.execute(_FACTS.encode(), [list(self._jobs)]).fetchall()
        return {
            int(row[0]): Fact(
                state=row[1], code=row[2], message=row[3], result=row[4], effects=row[5],
                attempts=tuple(row[6]), max_attempts=row[7], created_at=row[8], finished_at=row[9],
            )
            for row in rows
        }  # fmt: skip

    def check(self, admin: Connection[Any], outages: Sequence[Outage] = ()) -> list[Violation]:
        """Compare all with what may have become of them; `outages`: when the server was down."""
        facts = self.facts(admin)
        return [
            Violation(
                invariant=invariant,
                scenario=self._scenario,
                message=f"job {number} ({job.label}): {message}",
            )
            for number, job in self._jobs.items()
            for invariant, message in _complaints(job, facts.get(number), outages)
        ]


def _complaints(
    job: Job, fact: Fact | None, outages: Sequence[Outage]
) -> Iterable[tuple[str, str]]:
    if fact is None:
        yield "I1", "it was enqueued, and nobody knows it any more"
    elif not any(ending.fits(fact) for ending in job.may):
        yield "hostile", f"expected {' or '.join(map(str, job.may))}; it is {fact}"
    else:
        seconds, crashes = fact.waited(outages)
        if job.within is not None and seconds > job.within * max(1, crashes):
            met = (
                f"with {crashes} outages in between, it took {seconds:.1f} s of a server"
                " that was up"
            )
            yield (
                "hostile",
                f"{met}, and should have taken {job.within:g} s for each at most; it is {fact}",
            )
        if job.result is not None and fact.state == "succeeded" and fact.result != job.result:
            yield "hostile", f"its result should be {job.result}; it is {fact.result}"

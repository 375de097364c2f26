"""What happened, gathered after the drain: from the journal, the ledger, the views and the logs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.torture.journal import Entry
from tests.torture.kinds import KINDS, Kind
from tests.torture.residue import Residue
from tests.torture.scenario import Scenario
from tests.torture.supervisors import Supervisors
from tests.torture.world import World

__all__ = ["Attempt", "Effect", "History", "Job", "Told", "gather"]

TERMINAL = frozenset({"succeeded", "failed", "cancelled", "in_doubt"})


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job as jobs.job shows it."""

    id: int
    tag: str | None
    queue: str
    owner: str
    state: str
    attempt: int
    max_attempts: int
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    timeout: timedelta | None
    sqlstate: str | None
    message: str | None
    detail: str | None = None
    task: str = ""
    priority: str = "normal"
    unique_key: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One attempt as jobs.attempts shows it."""

    job_id: int
    attempt: int
    outcome: str | None
    started_at: datetime | None
    finished_at: datetime | None
    sqlstate: str | None


@dataclass(frozen=True, kw_only=True)
class Effect:
    """One row of the ledger."""

    tag: str
    job_id: int | None
    attempt: int | None
    by_current: str
    by_session: str
    pid: int = 0


@dataclass(frozen=True, kw_only=True)
class Told:
    """What the logs of all supervisors tell."""

    #: job, attempt, outcome: of what did not succeed
    ends: frozenset[tuple[int, int, str]] = frozenset()
    last: frozenset[tuple[int, str]] = frozenset()  #: job, state: of the same
    twice: int = 0  #: lines of the first sort that are there a second time
    succeeded: int = 0  #: successes, in lines of their own and summed
    duty_errors: tuple[tuple[str, str], ...] = ()  #: duty, SQLSTATE
    #: a supervisor was killed or frozen: it may have told what it had not committed
    interrupted: bool = False


@dataclass(frozen=True, kw_only=True)
class History:
    """Everything that the invariants speak about."""

    scenario: Scenario
    entries: Sequence[Entry] = ()
    cancels: frozenset[int] = frozenset()
    jobs: Mapping[int, Job] = field(default_factory=dict)
    attempts: Mapping[int, Sequence[Attempt]] = field(default_factory=dict)
    effects: Sequence[Effect] = ()  #: in the order of their time
    orders: frozenset[str] = frozenset()
    queues: Mapping[str, int | None] = field(default_factory=dict)  #: concurrency
    indexes: Mapping[str, bool] = field(default_factory=dict)  #: indexes of schema stage -> valid
    before: Residue = field(default_factory=Residue)
    after: Residue = field(default_factory=Residue)
    counts: Mapping[str, int] = field(default_factory=dict)
    killed: frozenset[int] = frozenset()
    log: str = ""
    #: bytes of the relations of pyworker and pgmq
    sizes: Mapping[str, int] = field(default_factory=dict)
    canaries: Mapping[str, str] = field(default_factory=dict)  #: place -> what was seen there
    slow_stops: Sequence[str] = ()
    supervisor_ends: Sequence[str] = ()  #: supervisors that did not leave as asked
    supervisor_events: Mapping[str, int] = field(default_factory=dict)
    told: Told | None = None  #: None: nobody looked
    #: of jobs.log, by job and attempt
    lines: Mapping[tuple[int, int], Sequence[str]] = field(default_factory=dict)

    def by_tag(self) -> dict[str, list[Job]]:
        """Group the jobs by the enqueue that made them."""
        found: dict[str, list[Job]] = {}
        for job in self.jobs.values():
            if job.tag is not None:
                found.setdefault(job.tag, []).append(job)
        return found

    def calls(self) -> Iterator[tuple[Entry, Kind, list[Job]]]:
        """List the enqueues of the load, each with its kind and with the jobs that carry
        its tag.
        """
        by_tag = self.by_tag()
        for entry in self.entries:
            if entry.kind != "cancel":
                yield entry, KINDS[entry.kind], by_tag.get(entry.tag, [])

    def loaded(self) -> Iterator[tuple[Job, Kind]]:
        """List the jobs of the load with their kinds."""
        for _entry, kind, jobs in self.calls():
            for job in jobs:
                yield job, kind


_JOBS = """
select id, note ->> 'tag', queue, owner, state, attempt, max_attempts, run_at, started_at,
  finished_at, timeout, error ->> 'sqlstate', error ->> 'message', error ->> 'detail',
  task, priority, unique_key, args, result
from jobs.job
"""
_ATTEMPTS = """
select job_id, attempt, outcome, started_at, finished_at, error ->> 'sqlstate'
from jobs.attempts order by job_id, attempt
"""
_LINES = "select job_id, attempt, array_agg(message order by n) from jobs.log_lines group by 1, 2"
_EFFECTS = "select tag, job_id, attempt, by_current, by_session, pid from stage.ledger order by at"
_INDEXES = """
select c.relname, i.indisvalid from pg_index as i join pg_class as c on c.oid = i.indexrelid
where c.relnamespace = 'stage'::regnamespace
"""
_SIZES = """
select c.oid::regclass::text, pg_table_size(c.oid) from pg_class as c
where c.relkind = 'r' and c.relnamespace in ('jobs_internal'::regnamespace, 'pgmq'::regnamespace)
"""


def gather(
    world: World, before: Residue, after: Residue, *, canaries: Mapping[str, str]
) -> History:
    """Read everything, as the administrator."""
    attempts: dict[int, list[Attempt]] = {}
    for row in world.rows(_ATTEMPTS):
        attempts.setdefault(row[0], []).append(
            Attempt(
                job_id=row[0],
                attempt=row[1],
                outcome=row[2],
                started_at=row[3],
                finished_at=row[4],
                sqlstate=row[5],
            )
        )
    return History(
        scenario=world.scenario,
        entries=world.journal.entries(),
        cancels=frozenset(world.journal.cancels()),
        jobs={row[0]: _job(row) for row in world.rows(_JOBS)},
        attempts=attempts,
        effects=[
            Effect(
                tag=row[0],
                job_id=row[1],
                attempt=row[2],
                by_current=row[3],
                by_session=row[4],
                pid=row[5],
            )
            for row in world.rows(_EFFECTS)
        ],
        orders=frozenset(row[0] for row in world.rows("select tag from stage.orders")),
        queues=dict(world.rows("select queue, concurrency from jobs.queues")),
        indexes=dict(world.rows(_INDEXES)),
        before=before,
        after=after,
        counts=dict(world.counts),
        killed=frozenset(world.killed),
        log=world.log(),
        sizes=dict(world.rows(_SIZES)),
        canaries=canaries,
        slow_stops=tuple(world.slow_stops),
        supervisor_ends=tuple(world.supervisor_ends),
        supervisor_events=world.supervisors.count_events(),
        told=read_logs(world.supervisors),
        lines={(row[0], row[1]): row[2] for row in world.rows(_LINES)},
    )


def read_logs(supervisors: Supervisors) -> Told:
    """Read what the supervisors wrote."""
    events = [line for one in supervisors.all for line in one.lines()]
    ends = Counter(
        (int(line["job_id"]), int(line["attempt"]), str(line["outcome"]))
        for line in events
        if "outcome" in line
    )
    return Told(
        ends=frozenset(ends),
        last=frozenset(
            (int(line["job_id"]), str(line["state"])) for line in events if "outcome" in line
        ),
        twice=sum(
            count - 1
            for (_job, _attempt, outcome), count in ends.items()
            if outcome != "interrupted"
        ),
        succeeded=sum(
            int(line.get("count", 1))
            for line in events
            if line.get("event") in ("job_succeeded", "jobs_succeeded")
        ),
        duty_errors=tuple(
            (str(line.get("duty")), str(line.get("sqlstate") or ""))
            for line in events
            if line.get("event") == "duty_failed"
        ),
        interrupted=any(one.killed or one.was_stopped for one in supervisors.all),
    )


def _job(row: tuple[Any, ...]) -> Job:
    return Job(
        id=row[0], tag=row[1], queue=row[2], owner=row[3], state=row[4], attempt=row[5],
        max_attempts=row[6], run_at=row[7], started_at=row[8], finished_at=row[9], timeout=row[10],
        sqlstate=row[11], message=row[12], detail=row[13], task=row[14], priority=row[15],
        unique_key=row[16], args=row[17], result=row[18],
    )  # fmt: skip

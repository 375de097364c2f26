"""The states of the model: what is committed, what open transactions hold, and what nobody in the
database can know.

One state is one tuple, so that it can be compared and kept in a set. Numbers of sessions, messages
and claim tokens are the smallest ones that are free: two states that differ in such names only are
one state.
"""

from dataclasses import dataclass
from typing import NamedTuple

#: States of a job: not enqueued yet, scheduled, queued, running; succeeded, failed, cancelled.
NEW, SCHEDULED, QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED = "-sqrSFC"
OVER = frozenset((SUCCEEDED, FAILED, CANCELLED))


class Job(NamedTuple):
    """One row of jobs_internal.job, or of jobs_internal.finished once it is over;
    and its effects.
    """

    state: str = NEW
    attempt: int = 0
    crashes: int = 0
    isolated_crashes: int = 0
    interruptions: int = 0
    message: int | None = None
    session: int | None = None
    locked: bool = False  #: by the open transaction of the client
    effects: int = 0  #: committed
    charged: int = 0  #: attempts that were closed and counted
    asked: bool = False  #: somebody asked to cancel it


class Message(NamedTuple):
    """One message of the lane. Its vt is a token, and a time: `visible` once that time has come."""

    job: int
    token: int | None = None
    visible: bool = True
    reads: int = 0
    lock: int | None = None  #: session whose open transaction has locked it; CLIENT for the client


class Run(NamedTuple):
    """A job that an open chunk holds: its message, its attempt, and how it ended (None:
    not yet).
    """

    message: int
    job: int | None  #: None: the message is stale
    attempt: int
    outcome: str | None = None


class Session(NamedTuple):
    """The row of a worker session, and the process that belongs to it."""

    messages: tuple[int, ...] = ()
    token: int | None = None
    job: int | None = None
    attempt: int = 0
    crash_attribution: str | None = None
    stale: bool = False  #: its epoch is not the present one
    foreign: bool = False  #: nor is its postmaster
    # The process. None of this is in the database.
    at: str = "idle"
    todo: tuple[int, ...] = ()
    chunk: tuple[Run, ...] = ()
    outcome: str | None = None
    seen: frozenset["Stop"] = frozenset()  #: reasons that its transaction has deleted
    told: bool = False  #: to leave
    lone: bool = False  #: a chunk failed as a whole: its jobs run one by one
    died: str | None = None  #: None: it lives; else of what


class Stop(NamedTuple):
    """A committed reason to stop one attempt."""

    job: int
    attempt: int
    reason: str
    signals_sent: int = 0


class Trial(NamedTuple):
    """The one suspect that is on trial."""

    session: int
    job: int
    attempt: int
    fresh: bool = True  #: its time is not over


class Intent(NamedTuple):
    """What a supervisor has seen and is about to act upon."""

    what: str
    session: int | None = None
    job: int | None = None
    attempt: int = 0
    signals_sent: int = 0


class State(NamedTuple):
    """One state of everything."""

    jobs: tuple[Job, ...]
    messages: tuple[Message | None, ...]
    sessions: tuple[Session | None, ...]
    supervisors: tuple[Intent | None, ...]
    stops: frozenset[Stop] = frozenset()
    client: int | None = None  #: job that its open transaction cancels
    trial: Trial | None = None
    noted: bool = True  #: somebody has looked into the last crash
    deaths: int = 0  #: faults that may still happen
    strays: int = 0
    crashes: int = 0
    restarts: int = 0
    overdue: int = 0
    cancels: int = 0
    tampers: int = 0
    wrong: str | None = None  #: a promise that was broken on the way


CLIENT = -1


@dataclass(frozen=True, kw_only=True)
class World:
    """How large the model is, what may go wrong, and which bugs are planted."""

    #: short, long, stumbling (fails once), poison (crashes the server)
    kinds: tuple[str, ...] = ("short",)
    sessions: int = 2
    supervisors: int = 1
    max_attempts: int = 2
    claim: int = 2  #: messages in a claim
    deaths: int = 0  #: worker sessions that die by themselves
    strays: int = 0  #: signals from nobody
    crashes: int = 0  #: crashes of the server from outside
    restarts: int = 0  #: stops and starts of the server from outside
    overdue: int = 0  #: attempts that take longer than their timeout
    cancels: int = 0
    tampers: int = 0  #: a person deletes the row of a running job
    slow_poison: bool = False  #: the poison works later than its first trial lasts
    enqueued: bool = True  #: the jobs are in their lane at the beginning
    leases: bool = True  #: a lease may run out
    bugs: frozenset[str] = frozenset()

    @property
    def signals(self) -> bool:
        """Say whether a session may be signalled: else steps that only a signal could tell apart
        are one.
        """
        return bool(self.strays or self.cancels or self.overdue)

    def first(self) -> State:
        """Give the state in which everything begins."""
        jobs = range(len(self.kinds))
        return State(
            jobs=tuple(Job(QUEUED, message=n) if self.enqueued else Job() for n in jobs),
            messages=(*(Message(n) if self.enqueued else None for n in jobs), None),
            sessions=(None,) * self.sessions,
            supervisors=(None,) * self.supervisors,
            deaths=self.deaths,
            strays=self.strays,
            crashes=self.crashes,
            restarts=self.restarts,
            overdue=self.overdue,
            cancels=self.cancels,
            tampers=self.tampers,
        )


#: What is done, and the state after it.
Step = tuple[str, State]

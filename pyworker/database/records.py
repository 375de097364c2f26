"""What the database's functions return, as frozen records. Keys that a newer schema adds are
ignored.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from typing import Any, Self

__all__ = [
    "Commit",
    "Demand",
    "JobError",
    "Maintenance",
    "Outcome",
    "StopSignal",
    "Successes",
    "Tick",
]

Row = Mapping[str, Any]


def _time(value: object) -> datetime | None:
    """Read a timestamp as jsonb renders it; infinity and nonsense count as unknown."""
    try:
        return datetime.fromisoformat(str(value)).astimezone(UTC) if value is not None else None
    except ValueError:
        return None


def _text(value: object) -> str | None:
    """Read a text of an error: it comes from a job's own session, which may have put anything
    there.
    """
    return None if value is None else str(value)


@dataclass(frozen=True, kw_only=True)
class Demand:
    """How many worker sessions one owner should have, and has."""

    owner: str
    session_demand: int
    active_sessions: int
    alone: int = 0  # sessions that run one job by itself
    occupied: int = 0  # those of them that have run it for some time
    working: int = 0  # sessions that do jobs just now
    moving: int = 0  # those of them that wait for nothing
    in_chunks: int = 0  # those that come to other lanes by themselves
    lanes: int = 0  # in which something is due
    new_lanes: int = 0  # of which it is not known how long their jobs take

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read one entry of a tick's `owners`."""
        counts = {
            one.name: int(row.get(one.name) or 0) for one in fields(cls) if one.name != "owner"
        }
        return cls(owner=str(row["owner"]), **counts)


@dataclass(frozen=True, kw_only=True)
class Tick:
    """What one tick did and saw."""

    paused: bool = False
    must_poll: bool = (
        False  # an enqueuer that saw this supervisor awake may commit without a notification
    )
    dispatched: int = 0
    rescued: int = 0
    stopping: int = 0
    sessions: int = 0
    opened: int | None = None  # sessions that ever opened
    running: int = 0
    watched: int = 0  # those of them that a session watches in a child
    queued: int = 0
    next_due_ms: int | None = None
    next_deadline_ms: int | None = None
    outbox: int = 0
    owners: tuple[Demand, ...] = ()
    problems: tuple[Row, ...] = ()
    failures: tuple[Row, ...] = ()  # items that failed, each logged once
    risks: tuple[Row, ...] = ()  # sessions that will kill a build, each logged once

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read the object that supervisor_tick returns."""
        counts = (
            *("dispatched", "rescued", "stopping", "sessions"),
            *("running", "watched", "queued", "outbox"),
        )
        due, deadline, opened = (
            row.get(name) for name in ("next_due_ms", "next_deadline_ms", "opened")
        )
        return cls(
            paused=bool(row.get("paused")),
            must_poll=bool(row.get("must_poll")),
            opened=None if opened is None else int(opened),
            next_due_ms=None if due is None else int(due),
            next_deadline_ms=None if deadline is None else int(deadline),
            owners=tuple(Demand.from_row(entry) for entry in row.get("owners") or ()),
            problems=tuple(row.get("problems") or ()),
            failures=tuple(row.get("failures") or ()),
            risks=tuple(row.get("risks") or ()),
            **{name: int(row.get(name) or 0) for name in counts},
        )


@dataclass(frozen=True, kw_only=True)
class StopSignal:
    """One signal that was sent to a session, and why."""

    job_id: int
    attempt: int
    owner: str
    pid: int
    signal: str
    reason: str

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read one object of supervisor_send_stop_signals."""
        return cls(
            job_id=int(row["job_id"]),
            attempt=int(row.get("attempt") or 0),
            owner=str(row.get("owner") or ""),
            pid=int(row.get("pid") or 0),
            signal=str(row.get("signal") or ""),
            reason=str(row.get("reason") or ""),
        )


@dataclass(frozen=True, kw_only=True)
class JobError:
    """What the log says of an error; detail and context may hold data, and stay in the
    database.
    """

    sqlstate: str | None = None
    message: str | None = None
    hint: str | None = None

    @classmethod
    def from_row(cls, row: Row | None) -> Self:
        """Read an outcome's `error`."""
        row = row if isinstance(row, Mapping) else {}
        return cls(
            sqlstate=_text(row.get("sqlstate")),
            message=_text(row.get("message")),
            hint=_text(row.get("hint")),
        )


@dataclass(frozen=True, kw_only=True)
class Successes:
    """Jobs of one task that succeeded in one commit."""

    task: str
    job_ids: tuple[int, ...]
    ms: tuple[float, ...]

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read one entry of `succeeded`."""
        ids = tuple(int(one) for one in row.get("job_ids") or ())
        ms = [float(one or 0) for one in row.get("ms") or ()]
        ms += [0.0] * (len(ids) - len(ms))
        return cls(task=str(row.get("task")), job_ids=ids, ms=tuple(ms[: len(ids)]))


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """One attempt's end."""

    job_id: int
    task: str
    attempt: int
    max_attempts: int | None
    outcome: str
    state: str | None
    retry_at: datetime | None
    ms: float | None
    error: JobError
    note: Mapping[str, Any] | None
    step: int | None = None  #: of a step that was done; of all others None
    steps: int | None = None
    queries: int | None = None  #: that were measured around an operation
    gain: float | None = None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Read one entry of `others`."""
        most, ms = row.get("max_attempts"), row.get("ms")
        step, steps = row.get("step"), row.get("steps")
        return cls(
            job_id=int(row["job_id"]),
            task=str(row.get("task")),
            attempt=int(row.get("attempt") or 0),
            max_attempts=None if most is None else int(most),
            outcome=str(row.get("outcome")),
            state=row.get("state"),
            retry_at=_time(row.get("retry_at")),
            ms=None if ms is None else float(ms),
            error=JobError.from_row(row.get("error")),
            note=row.get("note") or None,
            step=None if step is None else int(step),
            steps=None if steps is None else int(steps),
            queries=None if row.get("queries") is None else int(row["queries"]),
            gain=None if row.get("gain") is None else float(row["gain"]),
        )


@dataclass(frozen=True, kw_only=True)
class Commit:
    """The outcomes that one session wrote in one transaction."""

    at: datetime
    queue: str | None
    owner: str | None
    session: int | None
    pid: int | None
    succeeded: tuple[Successes, ...] = field(default=())
    others: tuple[Outcome, ...] = field(default=())
    readable: bool = True

    @classmethod
    def from_row(cls, row: Row | None) -> Self:
        """Read one object of take_outcomes; None, and what is no such object, is one that cannot be
        read.
        """
        try:
            return cls._read(row or {}) if row is not None else cls._unreadable()
        except (ValueError, TypeError, LookupError, AttributeError):
            return cls._unreadable()

    @classmethod
    def _unreadable(cls) -> Self:
        return cls(
            at=datetime.now(UTC), queue=None, owner=None, session=None, pid=None, readable=False
        )

    @classmethod
    def _read(cls, row: Row) -> Self:
        return cls(
            at=_time(row.get("at")) or datetime.now(UTC),
            queue=row.get("queue"),
            owner=row.get("owner"),
            session=row.get("session"),
            pid=row.get("pid"),
            succeeded=tuple(Successes.from_row(entry) for entry in row.get("succeeded") or ()),
            others=tuple(Outcome.from_row(entry) for entry in row.get("others") or ()),
        )


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    """What one round of maintenance did."""

    removed: int = 0
    more: bool = False
    vacuumed: tuple[str, ...] = ()

    @classmethod
    def from_row(cls, row: Row | None) -> Self:
        """Read the object that maintain returns."""
        row = row or {}
        tables = row.get("vacuumed") or ()
        return cls(
            removed=int(row.get("removed") or 0),
            more=bool(row.get("more")),
            vacuumed=tuple(str(name) for name in tables),
        )

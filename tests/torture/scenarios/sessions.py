"""Sessions that are ended by hand, at chosen points of their work; and one that dies the hard way,
with the server.
"""

import random
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.timing import moments
from tests.torture.world import World

__all__ = ["ChildrenEnded", "SessionsEnded", "WatchersEnded", "WorkerKilled"]

#: Points of a session's life -> how to find its pid there.
_POINTS = {
    "claimed": "s.msg_ids is not null and s.job_id is null",
    "alone": "s.job_id is not null",
    "any": "true",
}
_SESSIONS = """
select s.pid from jobs_internal.session as s
join pg_stat_activity as a on a.pid = s.pid and a.backend_start = s.backend_start
where {} order by random() limit 1
"""
_WATCHERS = """
select s.pid from jobs_internal.session as s join jobs_internal.job as j on j.session_id = s.id
join pg_stat_activity as a on a.pid = j.child_pid and a.backend_start = j.child_start limit 1
"""


#: What a session holds, at which moment.
_HELD = """
select clock_timestamp(), l.pgmq_queue, s.msg_ids from jobs_internal.session as s
join jobs_internal.lane as l on l.id = s.lane_id where s.pid = %s and s.msg_ids is not null
for update of s
"""
#: Jobs of which no attempt began, and which did not end, in the time after that moment.
#: Those of low priority wait for all others, and a busy machine has many.
_LATE = """
select j.id from jobs.job as j where j.id = any (%(jobs)s) and j.priority <> 'low'
  and coalesce(j.finished_at, 'infinity') > %(at)s + %(most)s * interval '1 s'
  and not exists (select from jobs.attempts as a where a.job_id = j.id
    and a.started_at between %(at)s and %(at)s + %(most)s * interval '1 s')
order by 1
"""
_BACK = 15.0  # seconds: a look of the supervisor's takes a moment, and others wait before them


def session_at(world: World, point: str, seconds: float = 2.0) -> int | None:
    """Wait for a session at that point of its life; gives its pid."""
    found = world.until(
        lambda: world.rows(_SESSIONS.format(_POINTS[point])), seconds, f"a session {point}"
    )
    return int(found[0][0]) if found else None


def _long_statement(world: World, *others: str) -> None:
    kind = world.rng.choice(("long_call", "long_call_checked", *others))
    world.enqueue(kind, owner=world.rng.choice(("app", "other")))


@register
class SessionsEnded(Scenario):
    """Worker sessions are cancelled and terminated without a reason of ours, wherever they are."""

    name = "sessions_ended"
    summary = (
        "worker sessions are cancelled or terminated by hand: with a claim, in a job, anywhere"
    )
    terminations = True
    #: What comes back before its lease is over, somebody has given back.
    settings: ClassVar[Mapping[str, str]] = {"lease_seconds": "45"}

    def __init__(self) -> None:
        """No claim was lost."""
        self._lost: list[tuple[datetime, list[int]]] = []

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """One or two a second."""
        return [
            Fault(
                at,
                f"session_{rng.choice(('terminate', 'terminate', 'cancel'))}",
                {"point": rng.choice([*_POINTS])},
            )
            for at in moments(rng, seconds, (0.5, 1.2))
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Signal one."""
        if fault.facts["point"] == "claimed":
            world.enqueue("burst")  # so that a claim is one of many jobs
        pid = session_at(world, fault.facts["point"])
        if pid is None:
            return
        # what it holds, it holds until then: it cannot claim while its row is locked
        with world.admin().transaction():
            held = [
                (at, self._jobs(world, queue, ids)) for at, queue, ids in world.rows(_HELD, [pid])
            ]
            if world.signal_session(pid, fault.kind.removeprefix("session_")):
                self._lost += held

    def _jobs(self, world: World, queue: str, messages: list[int]) -> list[int]:
        query = f"select (message ->> 'job')::bigint from pgmq.q_{queue} where msg_id = any (%s)"
        return [int(row[0]) for row in world.rows(query, [messages])]

    def check(self, world: World) -> list[Violation]:
        """What an ended session had claimed is soon run by another one, long before the lease
        is over.
        """
        found = []
        for at, jobs in self._lost:
            late = world.rows(_LATE, {"jobs": jobs, "at": at, "most": _BACK})
            if late:
                told = (
                    f"jobs {[row[0] for row in late[:4]]} waited for {_BACK:.0f} s"
                    " when their session was ended"
                )
                found.append(self.violation("I5", told))
        world.note_fault(
            "claims_lost", sessions=len(self._lost), jobs=sum(len(jobs) for _at, jobs in self._lost)
        )
        return found


@register
class ChildrenEnded(Scenario):
    """Child sessions are cancelled and terminated in the middle of their statement:
    never a false success.
    """

    name = "children_ended"
    summary = "child sessions are cancelled or terminated by hand in the middle of their statement"
    terminations = True
    rate = 60.0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """One a second."""
        return [
            Fault(at, f"child_{rng.choice(('terminate', 'terminate', 'cancel'))}")
            for at in moments(rng, seconds, (0.8, 1.5))
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Have one, and signal it."""
        _long_statement(world, "reindex")
        children = world.until(world.children, 3.0, "a child session")
        if children:
            world.signal_session(world.rng.choice(children), fault.kind.removeprefix("child_"))


@register
class WatchersEnded(Scenario):
    """The session that watches a child is ended: the child goes on, alone, and no second one is
    begun beside it.
    """

    name = "watchers_ended"
    summary = (
        "the worker session that watches a child session is terminated; the child goes on alone"
    )
    terminations = True
    rate = 60.0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """One every one to two seconds."""
        return [Fault(at, "watcher_terminate") for at in moments(rng, seconds, (1.0, 2.0))]

    def inject(self, world: World, fault: Fault) -> None:
        """Have one, and end it."""
        _long_statement(world, "reindex")
        found = world.until(lambda: world.rows(_WATCHERS), 3.0, "a session that watches a child")
        if found:
            world.signal_session(int(found[0][0]))


@register
class WorkerKilled(Scenario):
    """A worker session is killed the hard way: the server ends all sessions and comes up again by
    itself.
    """

    name = "worker_killed"
    summary = "a worker or child session is killed (-9); the server restarts as a whole, under load"
    minimum = 14.0
    crashes = True
    restarts = True

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Every four to seven seconds, so that there is time to see it come back."""
        return [
            Fault(at, "worker_kill", {"point": rng.choice(["claimed", "alone", "any", "child"])})
            for at in moments(rng, seconds, (4.0, 7.0))
        ]

    def inject(self, world: World, fault: Fault) -> None:
        """Kill one, and wait until the server is back."""
        pid: int | None
        if fault.facts["point"] == "child":
            _long_statement(world)
            children = world.until(world.children, 3.0, "a child session")
            pid = children[0] if children else None
        else:
            pid = session_at(world, fault.facts["point"])
        if pid is None:
            return
        ready = world.log().count(READY)
        if world.kill_backend(pid):
            world.until(
                lambda: world.log().count(READY) > ready, 60.0, "the server back after a crash"
            )
            world.wait_ready()


READY = "database system is ready to accept connections"

"""What a supervisor does in a round: each duty takes the gateway and the time, does one thing, and counts it."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from pyworker.errors import ConfigError
from pyworker.gateway import Gateway
from pyworker.log import Sink
from pyworker.records import Tick
from pyworker.supervisor.failpoint import reach
from pyworker.supervisor.launching import Launched, Launcher
from pyworker.supervisor.memory import Backoff, Budget, StuckWatch, Throttle, Unseen
from pyworker.supervisor.outcomes import SINGLES_PER_SECOND, Batch
from pyworker.supervisor.verdicts import sessions_to_launch

__all__ = [
    "Memory",
    "launch",
    "maintain",
    "note_owners",
    "observe",
    "press",
    "refuse_strangers",
    "settle",
    "take_outcomes",
    "tell_strangers",
    "watch_stuck",
]

_WARN_EVERY = 30.0
_OUTCOMES_AT_ONCE = 1000
_OUTCOMES_PER_BATCH = 5000
_MAINTAIN_BUSY = 30.0
_MAINTAIN_IDLE = 600.0
_MAINTAIN_SOONEST = 1.0
_OWNERS_EVERY = 10.0
_STRANGER = "no role of that name can log in, is a member of jobs_runner, and has jobs that are not refused"
_FAILURE = ("duty", "item", "owner", "queue", "sqlstate", "message", "hint", "failures", "retry_at")
_SLOTS = ""  # the back-off key of the server's worker slots: they are everybody's


@dataclass
class Memory:
    """What is remembered from round to round."""

    stuck: StuckWatch
    vacuum_jobs: int = 40_000  # whose dead rows the hot tables may hold before they are vacuumed ahead of time
    paused: bool = False
    unseen: Unseen = field(default_factory=Unseen)
    throttle: Throttle = field(default_factory=lambda: Throttle(_WARN_EVERY))
    owners_backoff: Backoff = field(default_factory=lambda: Backoff(0.5, 4.0))
    slots_backoff: Backoff = field(default_factory=lambda: Backoff(0.2, 2.0))
    budget: Budget = field(default_factory=lambda: Budget(SINGLES_PER_SECOND))
    served: frozenset[str] = frozenset()
    served_at: float = float("-inf")
    strangers: list[str] = field(default_factory=list)  # owners given that are no login members of jobs_runner
    unreached: dict[str, str] = field(default_factory=dict)  # owners that the database was told of, and why
    outcomes_at: float = float("-inf")  # not before this time
    maintained_at: float = field(default_factory=monotonic)
    worked: bool = False  # since the last maintenance
    ended: int = 0  # attempts, since the last maintenance
    more_upkeep: bool = False  # the last maintenance has left something for the next one
    progress: bool = False  # since the last look at who is stuck

    def start_over(self) -> None:
        """Forget what was known of the connection that is lost: another server, or the same one anew, answers next."""
        self.unseen = Unseen()
        self.unreached = {}
        self.owners_backoff.keep_only(())
        self.slots_backoff.keep_only(())


def observe(tick: Tick, memory: Memory, log: Sink, now: float) -> None:
    """Log what a tick did and found."""
    if tick.paused != memory.paused:
        memory.paused = tick.paused
        log.emit("everything_paused" if tick.paused else "everything_resumed", queued=tick.queued)
    if tick.rescued:
        log.emit("rescued", count=tick.rescued)
        memory.unseen.forget(tick.rescued)
    if tick.dispatched:
        log.emit("dispatched", count=tick.dispatched)
    for failure in tick.failures:
        log.emit("item_failed", **{name: failure.get(name) for name in _FAILURE})
    for problem in tick.problems:
        facts = dict(problem)
        name = str(facts.pop("problem", None) or facts.pop("event", None) or "unknown")
        suppressed = memory.throttle.allow(f"{name} {json.dumps(facts, sort_keys=True, default=str)}", now)
        if suppressed is not None:
            log.emit("problem", problem=name, detail=facts, suppressed=suppressed)
    memory.worked |= bool(tick.running or tick.dispatched or tick.rescued or tick.feed)
    memory.progress |= bool(tick.running or tick.feed)
    memory.unseen.observe(tick.owners, now, tick.opened)


def press(gateway: Gateway, supervisor: int, log: Sink) -> int:
    """Have the signals sent for committed reasons to stop."""
    sent = gateway.supervisor_press(supervisor)
    for one in sent:
        log.emit(
            "stop_signal_sent",
            job_id=one.job_id,
            attempt=one.attempt,
            owner=one.owner,
            pid=one.pid,
            signal=one.signal,
            reason=one.reason,
        )
    return len(sent)


def refresh_owners(gateway: Gateway, given: Sequence[str], own_user: str, memory: Memory, now: float) -> None:
    """Find out whose jobs to run: the owners given, else the members of jobs_runner and our own role."""
    memory.served = frozenset(given) or memory.served  # should the call fail
    runners = [*gateway.runners(), own_user]
    memory.served = frozenset(given or runners)
    memory.strangers = sorted(memory.served.difference(runners))
    memory.served_at = now


def tell_strangers(memory: Memory, log: Sink, now: float) -> None:
    """Tell which of the owners given are nobody's yet. They are served all the same: a role may be made later."""
    for owner in memory.strangers:
        suppressed = memory.throttle.allow(f"stranger {owner}", now)
        if suppressed is not None:
            log.emit("owner_unreachable", owner=owner, reason=_STRANGER, retry_in=None, suppressed=suppressed)


def refuse_strangers(memory: Memory) -> None:
    """Refuse to leave as if all were done, where an owner was named whose jobs cannot run."""
    if memory.strangers:
        one = len(memory.strangers) == 1
        names = ", ".join(f'"{owner}"' for owner in memory.strangers)
        raise ConfigError(
            f"{'owner' if one else 'owners'} {names} cannot be served",
            detail=f"{_STRANGER[0].upper()}{_STRANGER[1:]}.",
            hint="Correct --owner, or: grant jobs_runner to ...; `pyworker check` tells what a role lacks.",
        )


def launch(
    gateway: Gateway, launcher: Launcher, tick: Tick, memory: Memory, now: float, *, given: Sequence[str], own_user: str
) -> int:
    """Ask for the sessions that are missing; returns how many. Results come in later, to `settle`."""
    demanded = {demand.owner for demand in tick.owners if demand.wanted}
    if not given and demanded - memory.served and now - memory.served_at > _OWNERS_EVERY:
        refresh_owners(gateway, given, own_user, memory, now)
    memory.owners_backoff.keep_only(demanded)
    if memory.slots_backoff.blocked(_SLOTS, now):
        return 0
    blocked = {owner for owner in demanded if memory.owners_backoff.blocked(owner, now)}
    plan = sessions_to_launch(
        tick.owners, unseen=memory.unseen.count, served=memory.served, blocked=blocked | set(launcher.busy())
    )
    asked = 0
    for owner, count in plan.items():
        if launcher.request(owner, count):
            memory.unseen.add(owner, count, now)
            asked += count
    return asked


def settle(results: Sequence[Launched], tick: Tick, memory: Memory, log: Sink, now: float) -> int:
    """Take in what came of the launches; returns how many sessions were started."""
    demands = {demand.owner: demand for demand in tick.owners}
    for result in results:
        owner = result.owner
        memory.unseen.drop(owner, result.asked - result.launched)
        if result.launched:
            demand = demands.get(owner)
            log.emit(
                "sessions_launched",
                owner=owner,
                count=result.launched,
                live=demand.live if demand else None,
                wanted=demand.wanted if demand else None,
            )
        if result.trouble is None:
            memory.owners_backoff.clear(owner)
            memory.slots_backoff.clear(_SLOTS)
        else:
            _trouble(result, memory, log, now)
    return sum(result.launched for result in results)


def note_owners(gateway: Gateway, supervisor: int, results: Sequence[Launched], tick: Tick, memory: Memory) -> None:
    """Tell the database, where people look, as whom we cannot connect; nobody tries whose jobs are not due."""
    wanted = {demand.owner for demand in tick.owners if demand.wanted}
    unreached = {owner: reason for owner, reason in memory.unreached.items() if owner in wanted}
    for result in results:
        if result.trouble == "unreachable":
            unreached[result.owner] = result.message or "unknown"
        elif result.trouble == "refused" and result.message:
            unreached[result.owner] = f"launch refused: {result.message}"
        elif result.trouble != "lost":
            unreached.pop(result.owner, None)
    if unreached != memory.unreached:
        gateway.note_unreached(supervisor, unreached)
        memory.unreached = unreached


def _trouble(result: Launched, memory: Memory, log: Sink, now: float) -> None:
    owner, jitter = result.owner, random.uniform(0.8, 1.2)  # noqa: S311  no secret
    if result.trouble == "no_slot":
        memory.slots_backoff.fail(_SLOTS, now, jitter)
        suppressed = memory.throttle.allow("no_slot", now)
        if suppressed is not None:
            log.emit("no_worker_slot", owner=owner, asked=result.asked, launched=result.launched, suppressed=suppressed)
        return
    retry_in = memory.owners_backoff.fail(owner, now, jitter)
    if result.trouble == "lost":
        return  # an idle connection that went away; the next try opens a new one, and speaks if it cannot
    suppressed = memory.throttle.allow(f"owner {owner}", now)
    if suppressed is None:
        return
    if result.trouble == "unreachable":
        log.emit("owner_unreachable", owner=owner, reason=result.message, retry_in=retry_in, suppressed=suppressed)
    else:
        log.emit(
            "launch_failed",
            owner=owner,
            sqlstate=result.sqlstate,
            message=result.message,
            hint=result.hint,
            retry_in=retry_in,
            suppressed=suppressed,
        )


def take_outcomes(gateway: Gateway, memory: Memory, log: Sink, now: float, *, at_once: bool = False) -> int:
    """Write the outcomes' lines, in the transaction that takes them from the feed; returns how many there were.

    While successes are many, the feed is emptied once a second, so that a second's sum is one line.
    """
    if now < memory.outcomes_at and not at_once:
        return 0
    batch = Batch(log)
    rows = 0
    with gateway.transaction():
        while rows < _OUTCOMES_PER_BATCH:
            commits = gateway.take_outcomes(_OUTCOMES_AT_ONCE)
            for commit in commits:
                batch.add(commit)
            rows += len(commits)
            if not commits:  # fewer than were asked for are no sign of the end: they are read by size
                break
        summed = not memory.budget.take(batch.successes, now)
        batch.finish(summed=summed)
        reach("before_commit_of_outcomes")
    memory.outcomes_at = now + 1.0 if summed and rows < _OUTCOMES_PER_BATCH else now
    memory.progress |= rows > 0
    memory.worked |= rows > 0
    memory.ended += batch.successes + batch.failures
    return batch.successes + batch.failures


def maintain(gateway: Gateway, memory: Memory, log: Sink, now: float) -> int:
    """Keep the history and vacuum the hot tables, now and then and after so many jobs; returns what went of history."""
    pause = _MAINTAIN_BUSY if memory.worked else _MAINTAIN_IDLE
    if memory.ended >= memory.vacuum_jobs or memory.more_upkeep:
        pause = _MAINTAIN_SOONEST
    if now - memory.maintained_at < pause:
        return 0
    memory.maintained_at = now
    memory.worked = False
    memory.ended = 0
    memory.more_upkeep = False
    done = gateway.maintain()
    memory.more_upkeep = done.more
    if done.removed or done.vacuumed:
        log.emit(
            "maintenance_done",
            removed=done.removed,
            vacuumed=list(done.vacuumed),
            ms=(monotonic() - now) * 1000,
        )
    return done.removed


def watch_stuck(tick: Tick, memory: Memory, log: Sink, now: float, *, given: Sequence[str]) -> int:
    """Speak up for owners whose due work nothing picks up; returns for how many."""
    mine = [demand for demand in tick.owners if demand.wanted and (not given or demand.owner in given)]
    demands = [] if tick.paused else mine
    told = memory.stuck.observe(demands, queued=tick.queued, progress=memory.progress, now=now)
    memory.progress = False
    for demand, seconds in told:
        log.emit(
            "jobs_stuck",
            owner=demand.owner,
            wanted=demand.wanted,
            live=demand.live,
            seconds=seconds,
            reason=_why_stuck(demand.owner, demand.live, memory, now),
        )
    for owner, seconds in memory.stuck.freed:
        log.emit("jobs_moving", owner=owner, seconds=seconds)
    return len(told)


def _why_stuck(owner: str, live: int, memory: Memory, now: float) -> str:
    if owner not in memory.served:
        return "the owner is not a login member of jobs_runner, and no --owner names it"
    if memory.owners_backoff.blocked(owner, now):
        return "no session can be launched as this owner; see owner_unreachable and launch_failed"
    if memory.slots_backoff.blocked(_SLOTS, now):
        return "the server has no free worker slot"
    return "its sessions take nothing" if live else "launched sessions do not show up; see the server's log"

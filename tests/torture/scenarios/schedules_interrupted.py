"""Schedules that fire every second, while whatever fires them dies: no occurrence comes twice, and
none is unaccounted for.
"""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import pairwise

import psycopg

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.timing import moments
from tests.torture.world import World

__all__ = ["SchedulesInterrupted"]

_EVERY = timedelta(seconds=1)
_BEHIND = timedelta(seconds=5)  # that the last occurrence may be away from now, once all is mended
_COUNTED = 1000  # occurrences of one stretch that are counted
_STAGE = """
create schema rota;
create table rota.runs (schedule text, due_at timestamptz, job_id bigint);
create function rota.run(schedule text, seconds double precision) returns void
language plpgsql as $$
begin
  insert into rota.runs
  select $1, (select r.due_at from jobs.current_run() as r), jobs.current_id();
  perform pg_sleep(seconds);
end $$;
grant usage on schema rota to app, other;
grant select, insert on rota.runs to app, other;
"""
#: overlap, missed, seconds of a run, owner
_SCHEDULES = [
    (overlap, missed, seconds, owner)
    for overlap, seconds in (("parallel", 0.0), ("skip", 1.3), ("queue", 0.4))
    for missed, owner in (("last", "app"), ("all", "other"), ("none", "app"))
]
#: What is done, and how often each comes.
_HOWS = {
    "worker_terminated": 4,
    "supervisor_session_terminated": 4,
    "supervisor_killed": 3,
    "second_supervisor": 1,
    "locked": 2,
    "paused": 2,
    "run_by_hand": 2,
    "session_killed": 1,
    "restart_fast": 1,
    "restart_immediate": 1,
}


@register
class SchedulesInterrupted(Scenario):
    """Each occurrence has one row, and each that was fired one job, which takes effect once."""

    name = "schedules_interrupted"
    summary = (
        "sessions that fire schedules are terminated, killed, locked out, their server restarted"
    )
    minimum = 14.0
    rate = 0.0
    terminations = True
    crashes = True
    restarts = True

    def __init__(self) -> None:
        """Nothing was done yet."""
        self._done: Counter[str] = Counter()
        self._standing: list[str] = []

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Something every second or so."""
        return [
            Fault(at, rng.choices([*_HOWS], [*_HOWS.values()])[0])
            for at in moments(rng, seconds, (0.5, 1.5))
        ]

    def prepare(self, world: World) -> None:
        """Make the schedules."""
        world.rows(_STAGE)
        for overlap, missed, seconds, owner in _SCHEDULES:
            with world.connect(owner) as line:
                line.execute(_SCHEDULE, [seconds, overlap, missed, f"{overlap} {missed}"])

    def inject(self, world: World, fault: Fault) -> None:
        """Do one thing; a session that is cut off is part of it."""
        self._done[fault.kind] += 1
        overlap, missed, _seconds, owner = world.rng.choice(_SCHEDULES)
        name = f"{overlap} {missed}"
        match fault.kind:
            case "worker_terminated":
                self._terminate(world, world.workers())
            case "supervisor_session_terminated":
                self._terminate(world, [int(row[0]) for row in world.rows(_SUPERVISORS)])
            case "supervisor_killed":
                for number in world.supervisors.alive():
                    world.supervisors.kill(number)
                world.supervisors.start()
            case "second_supervisor":
                world.supervisors.start()
            case "session_killed":
                pids = [int(row[0]) for row in world.rows(_SUPERVISORS)]
                if pids and world.kill_backend(world.rng.choice(pids)):
                    world.wait_ready()
            case "locked" | "paused" | "run_by_hand":
                with suppress(psycopg.OperationalError), world.connect(owner) as line:
                    self._by_hand(world, line, fault.kind, name)
            case _:
                world.restart(fault.kind.removeprefix("restart_"))

    def _terminate(self, world: World, pids: list[int]) -> None:
        if pids:
            world.signal_session(world.rng.choice(pids))

    def _by_hand(
        self, world: World, line: psycopg.Connection[tuple[object, ...]], what: str, name: str
    ) -> None:
        if what == "run_by_hand":
            line.execute("select jobs.run_schedule(%s)", [name])
            return
        line.execute("begin")
        line.execute("select jobs.pause_schedule(%s)", [name])
        world.pause(world.rng.uniform(0.1, 1.2))
        if what == "locked":
            line.execute("rollback")
            return
        line.execute("commit")
        world.pause(world.rng.uniform(0.1, 2.5))
        line.execute("select jobs.resume_schedule(%s)", [name])

    def mend(self, world: World) -> None:
        """Let all go on, see that they fire, and pause them, so that their jobs come to an end."""
        if not world.supervisors.alive():
            world.supervisors.start()
        world.wait_ready()
        for _overlap, _missed, _seconds, owner in _SCHEDULES:
            with world.connect(owner) as line:
                line.execute(_RESUME)
        if not world.until(lambda: not world.rows(_STANDING, [_BEHIND]), 60.0, "all to fire"):
            self._standing = [str(row[0]) for row in world.rows(_STANDING, [_BEHIND])]
        for owner in {one[3] for one in _SCHEDULES}:
            with world.connect(owner) as line:
                line.execute("select jobs.pause_schedule(s.name) from jobs.schedules as s")

    def check(self, world: World) -> list[Violation]:
        """Look at each occurrence, and at what it did."""
        world.say(f"  {self._done.total()} faults: {dict(self._done)}")
        return [self.violation("schedule", said) for said in self._complaints(world)]

    def _complaints(self, world: World) -> Iterator[str]:
        for name in self._standing:
            yield f"{name}: it fires no more"
        for name, count in world.rows(_MORE_THAN_ONCE):
            yield f"{name}: {count} effects that no occurrence stands for, or that came again"
        for name, due_at, state, count in world.rows(_EFFECTS):
            if count != (state == "succeeded"):
                yield f"{name}: the job of {due_at} is {state}, and took effect {count} times"
        for name, due_at in world.rows(_OVERLAPS):
            yield f"{name}: the job of {due_at} began while the one before ran"
        rows: dict[str, list[tuple[datetime, datetime, int | None]]] = {}
        for name, due_at, until, count in world.rows(_RUNS):
            rows.setdefault(name, []).append((due_at, until, count))
        if len(rows) != len(_SCHEDULES):
            yield f"only {len(rows)} of {len(_SCHEDULES)} schedules came"
        for name, runs in rows.items():
            for due_at, until, count in runs:
                number = round((until - due_at) / _EVERY) + 1
                if count != (number if number <= _COUNTED else None):
                    yield f"{name}: a stretch of {number} from {due_at} on counts as {count}"
            for (_due_at, until, _count), (due_at, _until, _number) in pairwise(runs):
                if due_at - until != _EVERY:
                    yield f"{name}: {due_at} comes after {until}"


_SCHEDULE = """
select jobs.schedule(n.name, 'every 1 second', 'rota.run',
  jsonb_build_object('schedule', n.name, 'seconds', %s::double precision), overlap => %s,
  missed => %s)
from (select %s::text as name) as n
"""
_SUPERVISORS = (
    "select pid from pg_stat_activity where usename = 'supervisor' and datname = current_database()"
)
_RESUME = "select jobs.resume_schedule(s.name) from jobs.schedules as s where s.paused"
_STANDING = """
select s.name from jobs.schedules as s
where coalesce((select max(coalesce(r.until, r.due_at)) from jobs.schedule_runs as r
  where (r.owner, r.name) = (s.owner, s.name)), '-infinity') < clock_timestamp() - %s
"""
_RUNS = """
select name, due_at, coalesce(until, due_at), case when until is null then 1 else occurrences end
from jobs.schedule_runs where rerun = 0 order by name, due_at
"""
_EFFECTS = """
select r.name, r.due_at, r.state, (select count(*) from rota.runs as e
  where e.job_id = r.job_id and (e.schedule, e.due_at) = (r.name, r.due_at))
from jobs.schedule_runs as r where r.outcome = 'fired'
"""
_MORE_THAN_ONCE = """
select e.schedule, count(*) from rota.runs as e
where (select count(*) from jobs.schedule_runs as r
  where r.job_id = e.job_id and (r.name, r.due_at) = (e.schedule, e.due_at)) <> 1
group by e.schedule
"""
_OVERLAPS = """
select l.name, l.due_at from (
  select r.name, r.due_at, j.started_at, lag(j.finished_at) over (
    partition by r.name order by j.started_at) as before
  from jobs.schedule_runs as r join jobs.job as j on j.id = r.job_id
  where r.name !~ '^parallel' and r.rerun = 0 and j.state = 'succeeded'
) as l where l.started_at < l.before
"""

"""Jobs that do everything that a job should not, among innocents of the same owner,
lane and chunk.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from psycopg import Connection

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.watched import Ending, Job, Watched
from tests.torture.world import World

__all__ = ["INNOCENT", "LEAVES", "HostileJobs", "Leftovers", "among", "stage", "times"]

_SQL = [Path(__file__).with_name(name) for name in ("hostile.sql", "hostile_leaves.sql")]

INNOCENT = Job(label="an innocent beside it", call="hostile.innocent")
_TIMED_OUT = Ending(state="failed", code="PWT01", attempts=("timed_out",))
_STOPPED = Ending(state="failed", code="PWC02", attempts=("cancelled",))
_LOST = Ending(state="failed", code="PWL01", attempts=("lost", "lost"))
_REFUSED = Ending(state="failed", code="PW040", attempts=("failed",))
_SUCCEEDED = Ending(state="succeeded")
_UNSEEN = Ending(state="in_doubt", code="PWD01", effects=1)
_ONCE = {"max_attempts": 1}
_BRIEF = {"timeout": "1 s", "max_attempts": 1}
_FLOODED = "exists (select from hostile.effect where what = '{tag}')"


def _sleep(how: str) -> Job:
    return Job(
        label=f"sleeps in {how}",
        call="hostile.sleep",
        args={"how": how},
        options=_BRIEF,
        may=(_TIMED_OUT,),
    )


def _flood(level: str) -> Job:
    return Job(
        label=f"floods {level}", call="hostile.flood", args={"level": level, "lines": 20_000}
    )


#: kind of fault -> the job.
KINDS: dict[str, Job] = {
    "traps its timeout": Job(
        label="traps its timeout",
        call="hostile.trap_cancel",
        args={"seconds": 2.5},
        options=_BRIEF,
        may=(_SUCCEEDED, _TIMED_OUT),  # it may be through before the terminate
    ),
    "cancels itself": Job(
        label="cancels itself",
        call="hostile.end_oneself",
        args={"how": "pg_cancel_backend"},
        may=(_STOPPED,),
    ),
    "terminates itself": Job(
        label="terminates itself",
        call="hostile.end_oneself",
        args={"how": "pg_terminate_backend"},
        may=(_STOPPED,),
    ),
    "dies by FATAL": Job(
        label="dies by FATAL",
        call="hostile.end_oneself",
        args={"how": "fatal"},
        options={"max_attempts": 2},
        may=(_LOST,),
    ),
    "terminates its watcher": Job(
        label="terminates its watcher",
        call="call hostile.end_watcher()",
        args=None,
        options=_ONCE,
        may=(_UNSEEN,),
    ),
    **{
        f"sleeps in {how}": _sleep(how)
        for how in ("pg_sleep", "series", "sort", "regexp", "lock", "row")
    },
    "sleeps in a child": Job(
        label="sleeps in a child",
        call="do $$ begin commit; perform pg_sleep(3600); end $$",
        args=None,
        options=_BRIEF,
        may=(_TIMED_OUT,),
    ),
    **{f"floods {level}": _flood(level) for level in ("notice", "warning", "info")},
    "floods notice in a child": Job(
        label="floods notice in a child",
        call="call hostile.flood_in_child('notice', 20000)",
        args=None,
    ),
    # Nobody can switch INFO off: its queue fills, and its watcher has to let go of it.
    "floods info in a child": Job(
        label="floods info in a child",
        call="call hostile.flood_in_child('info', 20000)",
        args=None,
        may=(_UNSEEN,),
    ),
    "floods info in a child that can be verified": Job(
        label="floods info in a child that can be verified",
        call="call hostile.flood_in_child('info', 20000, '{tag}')",
        args=None,
        options={"done_when": _FLOODED},
    ),
    "vacuums verbosely": Job(
        label="vacuums verbosely",
        call="vacuum (verbose, analyze) hostile.chatty",
        args=None,
        may=(Ending(state="succeeded", effects=0),),
    ),
    "returns a million rows": Job(
        label="returns a million rows", call="hostile.million", may=(_REFUSED,)
    ),
    "returns a million rows from a statement": Job(
        label="returns a million rows from a statement",
        call="select generate_series(1, 1000000)",
        args=None,
        may=(Ending(state="succeeded", effects=0),),
        result={"rows": 1_000_000},
    ),
    "returns twenty megabytes": Job(
        label="returns twenty megabytes",
        call="hostile.large",
        args={"bytes": 20_000_000},
        may=(_REFUSED,),
    ),
}

#: What a job may leave in its session. LISTEN is refused by pg_background itself.
LEAVES = (
    "advisory lock",
    "advisory lock, shared",
    "temporary table",
    "temporary table that hides",
    "temporary function",
    "setting",
    "setting of its own",
    "timeouts",
    "read only",
    "role",
    "cursor",
    "cursor with hold",
    "cursor with hold that fails",
    "prepared statement",
    "prepared statement named as ours",
    "listen",
    "sequence",
    "name",
    "notify",
    "deferred constraints",
)


def stage(world: World) -> Connection[Any]:
    """Make the schema of the hostile jobs; gives a connection of their owner."""
    for file in _SQL:
        world.admin().execute(file.read_bytes())
    return world.connect("app")


def times(rng: random.Random, seconds: float, kinds: Sequence[str], *, last: float) -> list[Fault]:
    """Spread faults over the time: every kind at least once, in any order,
    and all again while there is room.
    """
    room = max(seconds - 0.5 - last, 1.0)
    order: list[str] = []
    while not order or len(order) + len(kinds) <= room / 0.3:
        order += rng.sample(kinds, len(kinds))
    return [
        Fault(
            at=round(0.5 + (place + rng.random()) * room / len(order), 3),
            kind=kind,
            facts={"innocents": rng.randint(2, 12), "tag": f"flood {place}"},
        )
        for place, kind in enumerate(order)
    ]


def _tagged(job: Job, fault: Fault) -> Job:
    """Give a job the tag of its fault, by which its post-condition finds what it did."""
    if "done_when" not in job.options:
        return job
    done_when = job.options["done_when"].format_map(fault.facts)
    return replace(
        job, call=job.call.format_map(fault.facts), options={**job.options, "done_when": done_when}
    )


def among(job: Job, count: int) -> list[Job]:
    return [INNOCENT] * count + [job] + [INNOCENT] * count


@register
class HostileJobs(Scenario):
    """They end as they should, and cost nobody else anything."""

    name = "hostile_jobs"
    summary = (
        "jobs that trap cancels, end their own session, sleep in C, flood notices,"
        " return a million rows"
    )
    minimum = 10.0
    #: Some of them end their own session, or the one that watches them.
    terminations = True

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Every kind in random order."""
        return times(rng, seconds, list(KINDS), last=2.0)

    def prepare(self, world: World) -> None:
        """Hold what two of them wait for."""
        self._watched = Watched(self.name)
        self._line = stage(world)
        self._holder = world.connect("app", idle_in_transaction_session_timeout="0")
        self._holder.execute("insert into hostile.flag (name) values ('row')")
        self._holder.execute("select pg_advisory_lock(4712)")
        self._holder.execute("begin")
        self._holder.execute("select from hostile.flag where name = 'row' for update")

    def inject(self, world: World, fault: Fault) -> None:
        """Enqueue one of them among innocents, in one transaction."""
        self._watched.enqueue(
            self._line, among(_tagged(KINDS[fault.kind], fault), fault.facts["innocents"])
        )

    def mend(self, world: World) -> None:
        """Let go, once nobody waits for it any more."""
        waiting = "select 1 from jobs.job where finished_at is null and task = 'hostile.sleep'"
        world.until(lambda: not world.rows(waiting), 60, "sleepers are timed out")
        self._holder.close()
        self._line.close()

    def check(self, world: World) -> list[Violation]:
        """All ended as they should."""
        return self._watched.check(world.admin())


@register
class Leftovers(Scenario):
    """What a job leaves in its session is gone before the next one."""

    name = "hostile_leftovers"
    summary = (
        "advisory locks, temporary tables, settings, cursors, prepared statements,"
        " LISTEN left behind"
    )
    minimum = 8.0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Everything that can be left, by jobs that succeed and jobs that fail, in random order."""
        return [
            Fault(at=fault.at, kind=fault.kind, facts={**fault.facts, "fails": fails})
            for fails in (False, True)
            for fault in times(rng, seconds, LEAVES, last=1.0)
        ]

    def prepare(self, world: World) -> None:
        """Have them known to be short, so that they share transactions."""
        self._watched = Watched(self.name)
        self._line = stage(world)
        self._line.execute(
            "select count(*) from jobs.enqueue_many('hostile.look', array_fill('{}'::jsonb,"
            " array[20]))"
        )
        for task, options in (("hostile.leave", {}), ("hostile.leave_and_fail", _ONCE)):
            for _ in range(10):
                self._watched.enqueue(self._line, [_leaver(task, "notify", options)])

    def inject(self, world: World, fault: Fault) -> None:
        """Leave something, look, leave it again, look, in one transaction."""
        task = "hostile.leave_and_fail" if fault.facts["fails"] else "hostile.leave"
        leave = _leaver(task, fault.kind, {"max_attempts": 1})
        look = Job(label=f"looks for {fault.kind}", call="hostile.look", result=[])
        self._watched.enqueue(self._line, [leave, look] * fault.facts["innocents"])

    def mend(self, world: World) -> None:
        """Leave."""
        self._line.close()

    def check(self, world: World) -> list[Violation]:
        """Nobody found anything."""
        return self._watched.check(world.admin())


def _leaver(task: str, what: str, options: dict[str, Any]) -> Job:
    refused = Ending(state="failed", code="0A000", attempts=("failed",))
    failed = Ending(state="failed", code="P0001", attempts=("failed",))
    end = refused if what == "listen" else failed if task.endswith("fail") else _SUCCEEDED
    return Job(label=f"{task} {what}", call=task, args={"what": what}, options=options, may=(end,))

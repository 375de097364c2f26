"""Long operations of all kinds, each interrupted at a random moment: the job ends in the truth,
what was begun is gone or finished, and what belongs to others stays.
"""

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread
from typing import ClassVar

import psycopg

from tests.torture.history import TERMINAL
from tests.torture.operations.cases import CASES
from tests.torture.operations.catalog import foreign, leftovers, read_facts
from tests.torture.operations.operation import (
    Operation,
    end_of,
    enqueue,
    has_reason,
    prepare,
    running,
    seen,
    stand_beside,
)
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.world import World

__all__ = ["OperationsInterrupted"]

_APART = (1.5, 2.5)  # seconds between two rounds
_BESIDE = 3  # operations of one round
_ENDS = 60.0  # seconds in which all of a round come to their end
_TIDY = 20.0  # seconds after it in which what they left is gone

#: Interruptions, and how often each comes.
_HOWS = {
    "cancel": 4,
    "child_terminated": 4,
    "child_cancelled": 2,
    "watcher_terminated": 4,
    "both_terminated": 3,
    "supervisor_killed": 2,
    "child_killed": 2,
    "restart_fast": 2,
    "restart_immediate": 2,
}


@register
class OperationsInterrupted(Scenario):
    """Long operations are interrupted in every way, at random moments; each round is judged when
    its jobs have ended.
    """

    name = "operations_interrupted"
    summary = (
        "long operations of all kinds are cancelled, timed out, killed, their server restarted"
    )
    minimum = 14.0
    weight = 2.0
    rate = 0.0
    terminations = True
    crashes = True
    restarts = True
    settings: ClassVar[dict[str, str]] = {"session_seconds": "30"}

    def __init__(self) -> None:
        """Nothing was done yet."""
        self._found: list[Violation] = []
        self._done: Counter[str] = Counter()
        self._ends: Counter[str] = Counter()
        self._phases: Counter[str] = Counter()
        self._round = 0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """A round every two seconds; as many as the time allows are done."""
        found, at = [], 0.5
        names = sorted(CASES)
        order: list[str] = []
        while at < seconds:
            while len(order) < _BESIDE:
                order += rng.sample(names, len(names))
            chosen, order = order[:_BESIDE], order[_BESIDE:]
            hows = rng.choices([*_HOWS], [*_HOWS.values()], k=rng.choice((1, 2, 2, 3)))
            found.append(
                Fault(
                    at,
                    "operations",
                    {
                        "cases": chosen,
                        "timeouts": [
                            rng.choice((None, None, round(rng.uniform(0.2, 1.5), 3)))
                            for _name in chosen
                        ],
                        "attempts": [rng.choice((5, 5, 1)) for _name in chosen],
                        "hows": hows,
                        "waits": [
                            round(rng.choice((0.05, 0.3, 1.0)) * rng.random(), 3) for _how in hows
                        ],
                        "beside": rng.choice(("none", "writer", "snapshot", "writer")),
                        "held": round(rng.uniform(0.1, 1.5), 3),
                    },
                )
            )
            at = round(at + rng.uniform(*_APART), 3)
        return found

    def inject(self, world: World, fault: Fault) -> None:
        """Do one round: begin operations, interrupt them, wait for their end, judge them."""
        facts, self._round = fault.facts, self._round + 1
        operations = [
            prepare(world, CASES[name], f"op_{self._round}_{n}")
            for n, name in enumerate(facts["cases"])
        ]
        for one, timeout, attempts in zip(
            operations, facts["timeouts"], facts["attempts"], strict=True
        ):
            one.timeout, one.attempts = timeout, attempts
        beside = Thread(
            target=stand_beside,
            args=(world, operations[0].schema, facts["beside"], facts["held"]),
        )
        beside.start()
        for one in operations:
            enqueue(world, one)
        hows = list(facts["hows"])
        world.until(lambda: running(world, operations), 5.0, "an operation")
        for how, wait in zip(hows, facts["waits"], strict=True):
            world.pause(wait)
            live = running(world, operations)
            if live:
                self._interrupt(world, how, world.rng.choice(live), operations)
        beside.join()
        self._judge_round(world, operations, hows)

    # What is done to them

    def _interrupt(
        self, world: World, how: str, live: tuple[int, int | None, int | None, str],
        operations: list[Operation],
    ) -> None:  # fmt: skip
        job, watcher, child, phase = live
        target = child or watcher
        name = next(one.case.name for one in operations if one.job == job)
        self._done[how] += 1
        self._phases[phase] += 1
        world.note_fault("interrupted", how=how, job=job, case=name, phase=phase)
        match how:
            case "cancel":
                with world.connect("app") as line, suppress(psycopg.DatabaseError):
                    world.journal.cancel(job)
                    line.execute("select jobs.cancel(%s)", [job])
            case "child_terminated" | "child_cancelled":
                if target:
                    signal = "cancel" if how == "child_cancelled" else "terminate"
                    world.signal_session(target, signal)
            case "watcher_terminated":
                if watcher:
                    world.signal_session(watcher)
            case "both_terminated":
                for pid in (watcher, child):
                    if pid:
                        world.signal_session(pid)
            case "supervisor_killed":
                for number in world.supervisors.alive():
                    world.supervisors.kill(number)
                world.supervisors.start()
            case "child_killed":
                if target:
                    self._crash(world, target)
            case _:
                world.restart(how.removeprefix("restart_"))

    def _crash(self, world: World, pid: int) -> None:
        ready = world.log().count(_READY)
        if world.kill_backend(pid):
            world.until(lambda: world.log().count(_READY) > ready, 60.0, "the server back")
            world.wait_ready()

    # What became of them

    def _judge_round(self, world: World, operations: list[Operation], hows: list[str]) -> None:
        self._ended(world, operations)
        for one in operations:
            state, code, message = end_of(world, one.job)
            self._ends[f"{state} {code or ''}".strip()] += 1
            self._tell(world, one, hows, self._complaints(world, one, hows, state, code, message))
        again = [one for one in operations if self._retried(world, one)]
        self._ended(world, again)
        for one in again:
            state, code, message = end_of(world, one.job)
            one.attempts = 5
            self._tell(world, one, ["a retry"],
                       self._complaints(world, one, [], state, code, message))  # fmt: skip
        if not self._found:
            for one in operations:
                world.rows(f"drop schema {one.schema} cascade")

    def _ended(self, world: World, operations: list[Operation]) -> None:
        ids = [one.job for one in operations]
        query = "select id, state from jobs.job where id = any (%s)"
        begun = time.monotonic()

        def ended() -> bool:
            return all(state in TERMINAL for _id, state in world.rows(query, [ids]))

        if not world.until(ended, _ENDS, "the end of a round"):
            left = {job: state for job, state in world.rows(query, [ids]) if state not in TERMINAL}
            self._found.append(
                self.violation("drain", f"left after {time.monotonic() - begun:.0f} s: {left}")
            )

    def _complaints(
        self, world: World, one: Operation, hows: list[str], state: str, code: str | None,
        message: str,
    ) -> Iterator[str]:  # fmt: skip
        case = one.case
        # what is left may be tidied up after the end of the job
        after = read_facts(world, one.schema)
        done = case.done(one.before, after)
        world.until(
            lambda: not leftovers(one.before, read_facts(world, one.schema)), _TIDY, "a clean-up"
        )
        said = f"it is {state} ({code}: {message})"
        if state == "succeeded":
            if not done:
                yield f"a false success: {said}, and its work is not done"
        elif done and not (
            case.partly
            or case.finished_later
            or (case.counted and code == "PWL02")
            or (
                case.name.endswith("unnamed")
                and state == "in_doubt"
                and not seen(world, one, "t_m_few_idx")
            )
        ):
            yield f"a false failure: {said}, and its work is done"
        if state != "succeeded" and not has_reason(one, hows, state, code):
            yield f"a failure without a reason: {said}"
        after = read_facts(world, one.schema)
        yield from leftovers(one.before, after)
        yield from foreign(one.before, after)

    def _retried(self, world: World, one: Operation) -> bool:
        state, _code, _message = end_of(world, one.job)
        if state == "succeeded" or one.case.fails or state not in TERMINAL:
            return False
        with world.connect("app") as line:
            line.execute("select jobs.retry(%s)", [one.job])
        return True

    def _tell(
        self, world: World, one: Operation, hows: list[str], complaints: Iterator[str]
    ) -> None:
        for complaint in complaints:
            told = f"{one.case.name}, job {one.job}, {one.schema}, after {', '.join(hows)}"
            told = f"{told}: {complaint}"
            world.note_fault("complaint", told=told)
            world.say(f"  {told}")
            self._found.append(self.violation("operation", told))

    def check(self, world: World) -> list[Violation]:
        """Give what was found in the rounds, and say what was done in them."""
        counts = {
            "interruptions": self._done.total(), "by": dict(self._done), "ends": dict(self._ends),
            "phases": dict(self._phases),
        }  # fmt: skip
        world.note_fault("counted", **counts)
        world.say(f"  {self._round} rounds; {counts}")
        return self._found


_READY = "database system is ready to accept connections"

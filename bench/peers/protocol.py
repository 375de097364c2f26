"""What a system's program is asked for, and how it answers: one command line, lines of words on
standard output. `protocol.mjs` says the same in JavaScript.

    setup              make what the system needs in an empty database
    enqueue N BATCH    enqueue N jobs, BATCH to a call (1: the call for one job, each a transaction)
                       -> `took SECONDS`
    send N PAUSE       enqueue N jobs one by one, about PAUSE milliseconds apart
    work               -> `ready`, then run jobs until terminated; `done` after PEER_JOBS jobs;
                       where PEER_STAMPS is set, `start I SENT STARTED` for each job

Every job has two arguments: `i`, its number, and `t`, when it was enqueued. The database is
PEER_DSN.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

__all__ = ["DSN", "Args", "System", "handled", "ready", "speak"]

Args = dict[str, Any]
DSN = os.environ.get("PEER_DSN", "")

_WARM = 20  # calls before the clock runs, where one job to a call is measured
_JOBS = int(os.environ.get("PEER_JOBS", "0"))
_STAMPS = "PEER_STAMPS" in os.environ
_seen = 0


class System(Protocol):
    """A job system, as seen by its clients and its workers."""

    async def setup(self) -> None:
        """Make what the system needs in an empty database."""

    async def open(self) -> None:
        """Connect, to enqueue."""

    async def one(self, args: Args) -> object:
        """Enqueue one job; it is committed when this returns."""

    async def many(self, args: Sequence[Args]) -> object:
        """Enqueue these jobs by one call."""

    async def work(self) -> None:
        """Say that it is ready, connect, and run jobs; each says that it is handled."""


def _say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def ready() -> None:
    """Say that all is loaded: the clock runs from here."""
    _say("ready")


def handled(args: Args) -> None:
    """Note that a job runs."""
    global _seen  # noqa: PLW0603  one worker to a process
    if _STAMPS:
        _say("start", args["i"], repr(args["t"]), repr(time.time()))
    _seen += 1
    if _seen == _JOBS:
        _say("done")


def _args(number: int) -> Args:
    return {"i": number, "t": time.time()}


async def _enqueue(system: System, jobs: int, batch: int) -> None:
    await system.open()
    if batch == 1:
        for number in range(_WARM):
            await system.one(_args(number))
        begun = time.perf_counter()
        for number in range(jobs):
            await system.one(_args(number))
    else:
        args = [_args(number) for number in range(jobs)]
        begun = time.perf_counter()
        for start in range(0, jobs, batch):
            await system.many(args[start : start + batch])
    _say("took", time.perf_counter() - begun)


async def _send(system: System, jobs: int, pause: float) -> None:
    await system.open()
    for number in range(jobs):
        await system.one(_args(number))
        await asyncio.sleep(pause * random.uniform(0.5, 1.5) / 1000)  # noqa: S311  no secret


def speak(system: System, run: Callable[[Awaitable[None]], object] = asyncio.run) -> None:  # type: ignore[assignment]
    """Do what the command line asks for. `run`: what runs a coroutine."""
    command, *numbers = sys.argv[1:]
    if command == "setup":
        run(system.setup())
    elif command == "enqueue":
        run(_enqueue(system, int(numbers[0]), int(numbers[1])))
    elif command == "send":
        run(_send(system, int(numbers[0]), float(numbers[1])))
    else:
        run(system.work())
    os._exit(0)  # pools and threads of a client need no end of their own

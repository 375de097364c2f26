"""The network is cut around a commit: its client does not learn what came of it."""

import random
import threading
import time
from contextlib import suppress

import psycopg

from tests.torture.enqueues import Call, call_enqueue
from tests.torture.journal import Entry
from tests.torture.requests import RequestCut
from tests.torture.scenario import Fault, Violation, register
from tests.torture.scenarios.network import Proxied
from tests.torture.timing import moments
from tests.torture.world import World

__all__ = ["CommitUnknownEnqueuer", "CommitUnknownSupervisor"]

_MOMENTS = ("swallowed", "at_once", "answered")


@register
class CommitUnknownSupervisor(Proxied):
    """The supervisor sends something and never learns what came of it."""

    name = "commit_unknown_supervisor"
    summary = "the supervisor's own commits and calls lose their answers"
    behind = ("supervisors",)

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Half of the cuts are at the commit that takes outcomes from the feed."""
        return [
            Fault(at, "request_cut", {
                "moment": rng.choice(_MOMENTS), "skip": rng.randrange(3),
                "hard": rng.random() < 0.5,
                "text": rng.choice(("commit", "commit", "begin",
                    "select jobs_internal.supervisor_tick", "")),
            })
            for at in moments(rng, seconds, (0.3, 0.9))
        ]  # fmt: skip

    def inject(self, world: World, fault: Fault) -> None:
        """Arm it."""
        facts = fault.facts
        (proxy,) = self.proxies.values()
        proxy.arm(
            RequestCut(facts["moment"], facts["skip"], facts["text"].encode(), hard=facts["hard"])
        )


class Repeater(threading.Thread):
    """An enqueuer that repeats what it does not know the outcome of, with the same unique key."""

    def __init__(self, world: World) -> None:
        """Nothing is sent yet."""
        super().__init__(name="repeater", daemon=True)
        self._world = world
        self._end = threading.Event()
        self.error: BaseException | None = None
        self.repeats = 0

    def finish(self) -> None:
        """Come to an end, with everything known."""
        self._end.set()
        self.join(30)
        if self.is_alive():
            raise TimeoutError("the repeating enqueuer hangs in a call")
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        """Enqueue one after the other, each until it is known to be there."""
        try:
            for number in range(10**6):
                if self._end.is_set():
                    return
                self._until_known(f"r_{number}")
        except BaseException as error:  # noqa: BLE001  told by the driver
            self.error = error

    def _until_known(self, tag: str) -> None:
        while True:
            with suppress(psycopg.OperationalError), self._world.connect_client("app") as line:
                call = Call(tag=tag, secret="", rng=self._world.rng)  # it has none  # nosec B106
                ids = call_enqueue(line, call, "stage.effect", {}, queue="held", unique_key=tag)
                known = Entry(
                    tag=tag, kind="short", owner="app", outcome="ok", ids=tuple(ids), at=time.time()
                )
                self._world.journal.write(known)
                self._end.wait(0.01)
                return
            self.repeats += 1


@register
class CommitUnknownEnqueuer(Proxied):
    """Enqueuers send a commit and never learn what came of it; one of them repeats,
    protected by a unique key.
    """

    name = "commit_unknown_enqueuer"
    summary = "enqueuers lose the connection between a commit and its answer"
    behind = ("enqueuers",)

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Several a second."""
        return [
            Fault(at, "request_cut", {
                "moment": rng.choice(_MOMENTS), "skip": rng.randrange(4),
                "hard": rng.random() < 0.5,
                "text": rng.choice(("commit", "select jobs.enqueue", "")),
            })
            for at in moments(rng, seconds, (0.05, 0.25))
        ]  # fmt: skip

    def prepare(self, world: World) -> None:
        """Hold a queue, so that what is repeated is not finished yet:
        unique keys are of unfinished jobs.
        """
        super().prepare(world)
        world.rows("select jobs.create_queue('held')")
        world.rows("select jobs.pause('held')")
        self._repeater = Repeater(world)
        self._repeater.start()

    def inject(self, world: World, fault: Fault) -> None:
        """Arm it."""
        facts = fault.facts
        (proxy,) = self.proxies.values()
        proxy.arm(
            RequestCut(facts["moment"], facts["skip"], facts["text"].encode(), hard=facts["hard"])
        )

    def mend(self, world: World) -> None:
        """Let the held jobs run."""
        super().mend(world)
        self._repeater.finish()
        world.rows("select jobs.resume('held')")

    def check(self, world: World) -> list[Violation]:
        """What was repeated is there once, and something was repeated."""
        twice = world.rows(
            "select note ->> 'tag', count(*) from jobs.job where note ->> 'tag' like 'r\\_%'"
            " group by 1 having count(*) > 1"
        )
        if twice:
            self.found.append(
                self.violation(
                    "I1", f"repeated with one unique key, and there more than once: {twice}"
                )
            )
        if not self._repeater.repeats:
            self.found.append(
                self.violation("driver", "no enqueue was repeated: nothing was shown")
            )
        return super().check(world)

"""The network between the clients and the server: cut at any byte, stalled for good."""

import random
import time
from typing import Any, ClassVar

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pyworker.supervisor.exit_codes import Exit
from tests.torture.proxy import Proxy
from tests.torture.requests import ByteCut, RequestCut
from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.timing import moments
from tests.torture.world import World

__all__ = ["NetworkCut", "NetworkStall", "Proxied", "detour", "proxy_for"]


def proxy_for(world: World) -> Proxy:
    """Put a proxy in front of the server."""
    given = conninfo_to_dict(world.dsn())
    return Proxy(f"{given['host']}/.s.PGSQL.{given.get('port') or 5432}")


def detour(proxy: Proxy) -> dict[str, str]:
    """Say what a DSN has instead to go through the proxy."""
    return {
        "host": "127.0.0.1",
        "port": str(proxy.port),
        "sslmode": "disable",
        "gssencmode": "disable",
    }


class Proxied(Scenario):
    """Enqueuers behind one proxy, each supervisor behind another."""

    outages = True
    behind: ClassVar[tuple[str, ...]] = ("enqueuers", "supervisors")  #: who is behind a proxy

    def __init__(self) -> None:
        """Nothing is up yet."""
        self.proxies: dict[str, Proxy] = {}
        self.found: list[Violation] = []

    def prepare(self, world: World) -> None:
        """Put the proxies up."""
        for who in self.behind:
            self.proxies[who] = proxy_for(world)
        if "enqueuers" in self.proxies:
            world.detour = detour(self.proxies["enqueuers"])
        if "supervisors" in self.proxies:
            self.route(world, self.proxies["supervisors"])

    def route(self, world: World, proxy: Proxy) -> None:
        """Have the supervisors that start from now on go through this proxy."""
        world.supervisors.dsn = make_conninfo(world.dsn("supervisor"), **detour(proxy))

    def mend(self, world: World) -> None:
        """Let everything through again."""
        for who, proxy in self.proxies.items():
            proxy.disarm()
            proxy.resume()
            world.note_fault("proxy_mended", who=who, connections_cut=proxy.cuts)

    def check(self, world: World) -> list[Violation]:
        """The faults have to have happened; that no outcome line is lost on the way is among the
        common invariants.
        """
        for who, proxy in self.proxies.items():
            if not self.happened(proxy):
                self.found.append(
                    self.violation(
                        "driver", f"no connection of the {who} was cut: nothing was shown"
                    )
                )
            proxy.close()
        return self.found

    def happened(self, proxy: Proxy) -> bool:
        """Tell whether the faults reached this proxy's connections."""
        return proxy.cuts > 0


@register
class NetworkCut(Proxied):
    """Connections break after any byte in either direction, with a proper end or a reset,
    or end in one direction.
    """

    name = "network_cut"
    summary = "connections of enqueuers and supervisors are cut at arbitrary bytes"
    supervisors = 2

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Break something a few times a second."""
        return [Fault(at, *self._draw(rng)) for at in moments(rng, seconds, (0.1, 0.5))]

    @staticmethod
    def _draw(rng: random.Random) -> tuple[str, dict[str, Any]]:
        who = rng.choice(("enqueuers", "supervisors"))
        direction = rng.choice(("to_server", "to_client"))
        hard = rng.random() < 0.5
        kind = rng.choices(("byte_cut", "half_close", "cut_all"), (16, 2, 1))[0]
        if kind == "half_close":
            return kind, {"who": who, "direction": direction}
        if kind == "cut_all":
            return kind, {"who": who, "hard": hard}
        return kind, {
            "who": who,
            "direction": direction,
            "after": int(2 ** rng.uniform(0, 14)),
            "hard": hard,
        }

    def inject(self, world: World, fault: Fault) -> None:
        """Do one."""
        facts = fault.facts
        proxy = self.proxies[facts["who"]]
        if fault.kind == "half_close":
            proxy.half_close(facts["direction"])
        elif fault.kind == "cut_all":
            proxy.cut_all(hard=facts["hard"])
        else:
            proxy.arm(ByteCut(facts["direction"], facts["after"], hard=facts["hard"]))


@register
class NetworkStall(Proxied):
    """The way to the server goes silent: no byte, no end. Whoever is behind it gives up;
    others take over.
    """

    name = "network_stall"
    summary = "the network stalls both ways, for longer than the supervisor's patience"
    minimum = 18.0
    supervisors = 0  # each starts behind a proxy of its own
    behind = ("enqueuers",)
    patience: ClassVar[float] = 2.0
    #: seconds beyond the patience: the watchdog's margin, and two busy cores
    leaves: ClassVar[float] = 12.0 + 5.0

    def __init__(self) -> None:
        """Nothing is up yet."""
        super().__init__()
        self._behind: dict[int, Proxy] = {}  # of the supervisors, by number

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Stall a supervisor for good, somewhere or at a commit of its; stall the enqueuers for a
        few seconds.
        """
        found = []
        for at in moments(rng, seconds - 6.0, (5.0, 7.0)):
            text = rng.choice(("", "commit", "select jobs_internal.supervisor_tick", "begin"))
            found.append(Fault(at, "stall_supervisor", {"text": text, "skip": rng.randrange(3)}))
            found.append(
                Fault(
                    round(at + rng.uniform(0, 2), 3),
                    "stall_enqueuers",
                    {"seconds": rng.uniform(0.5, 3)},
                )
            )
        return found

    def prepare(self, world: World) -> None:
        """Two supervisors, each behind its own proxy."""
        super().prepare(world)
        world.supervisors.environment["PYWORKER_STALL_AFTER"] = str(self.patience)
        for _ in range(2):
            self._start(world)

    def _start(self, world: World) -> None:
        proxy = proxy_for(world)
        self.route(world, proxy)
        number = world.supervisors.start()
        self._behind[number] = proxy
        self.proxies[f"supervisor {number}"] = proxy

    def inject(self, world: World, fault: Fault) -> None:
        """Do one."""
        if fault.kind == "stall_enqueuers":
            proxy = self.proxies["enqueuers"]
            proxy.stall()
            proxy.cuts += 1
            world.pause(fault.facts["seconds"])
            proxy.resume()
            return
        number = next(n for n in self._behind if world.supervisors[n].alive)
        proxy = self._behind[number]
        cut = RequestCut("stalled", fault.facts["skip"], fault.facts["text"].encode())
        proxy.arm(cut)
        if not cut.done.wait(2.0):
            proxy.disarm()
            proxy.stall()
        proxy.cuts += 1
        begun = time.monotonic()
        world.note_fault("supervisor_stalled", number=number, at_request=cut.done.is_set())
        self._expect_takeover(world, number)
        most = self.patience + self.leaves
        one = world.supervisors[number]
        if not world.until(
            lambda: not one.alive,
            most - (time.monotonic() - begun),
            "the stalled supervisor leaves",
        ):
            self.found.append(
                self.violation(
                    "I12", f"supervisor {number} hangs {most:.0f} s after its network stalled"
                )
            )
            world.supervisors.kill(number)
        elif one.process.returncode not in (Exit.STALLED, Exit.DONE):
            self.found.append(
                self.violation("I12", f"supervisor {number} left with {one.process.returncode}")
            )
        self._expect_no_lock(world, number)
        self._start(world)

    def _expect_takeover(self, world: World, stalled: int) -> None:
        (job,) = world.enqueue("short") or (0,)
        others = [number for number in world.supervisors.alive() if number != stalled]
        state = "select 1 from jobs.job where id = %s and state = 'succeeded'"
        if job and not world.until(
            lambda: world.rows(state, [job]), 10.0, "another supervisor takes over"
        ):
            self.found.append(
                self.violation(
                    "I12",
                    f"a job waits 10 s while supervisor {stalled} is stalled; others: {others}",
                )
            )

    def _expect_no_lock(self, world: World, stalled: int) -> None:
        """The server cannot know that nobody is there any more; a transaction left open ends all
        the same.
        """
        left = (
            "select pid, query from pg_stat_activity where application_name like 'pyworker%%'"
            " and datname = %s"
            " and state = 'idle in transaction' and state_change < clock_timestamp() - interval"
            " '1 second'"
        )
        if not world.until(
            lambda: not world.rows(left, [world.database]), 10.0, "no transaction stays open"
        ):
            self.found.append(
                self.violation(
                    "I7",
                    f"supervisor {stalled} is gone, and left open:"
                    f" {world.rows(left, [world.database])}",
                )
            )

    def happened(self, proxy: Proxy) -> bool:
        """Tell whether the faults reached this proxy; the last supervisors are spared."""
        return True

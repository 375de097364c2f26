"""The order of it all: a server, then each scenario in a database of its own: load, faults, mend,
drain, check.
"""

import random
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tests.torture.scenarios  # noqa: F401  enters all of them
from pyworker.errors import ConfigError
from pyworker.server import PrivateServer
from tests.torture import canary
from tests.torture.drain import drain
from tests.torture.evidence import keep
from tests.torture.foreground import Foreground, p99
from tests.torture.history import gather
from tests.torture.invariants import check
from tests.torture.load import Load
from tests.torture.probes import Probes
from tests.torture.recovery import check_recoveries
from tests.torture.report import Finding
from tests.torture.residue import Residue, measure_residue
from tests.torture.scenario import SCENARIOS, Fault, Scenario, Violation, draw_plan
from tests.torture.server import copy_template, drop_database, torture_server
from tests.torture.world import World

__all__ = ["Share", "choose", "torture"]

_SLOW = 1.5  # times as long as planned
OVERHEAD = 6  # seconds of a scenario's budget that its set-up, drain and check take

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Share:
    """One scenario's part of a run, in seconds of load."""

    name: str
    seconds: int


def choose(seed: int, seconds: int, names: Sequence[str] = ()) -> list[Share]:
    """Choose the scenarios that fit into the time, all of those named; the seed picks which,
    and in which order.
    """
    unknown = [name for name in names if name not in SCENARIOS]
    if unknown:
        raise ConfigError(
            f'there is no scenario "{unknown[0]}"',
            hint=f"Scenarios: {', '.join(sorted(SCENARIOS))}.",
        )
    rng = random.Random(f"{seed}/choice")
    pool = sorted(set(names)) or sorted(SCENARIOS)
    rng.shuffle(pool)
    chosen: list[str] = []
    left = float(seconds)
    for name in pool:
        need = SCENARIOS[name].minimum + OVERHEAD
        if names or not chosen or need <= left:
            chosen.append(name)
            left -= need
    extra = max(0.0, left) / sum(SCENARIOS[name].weight for name in chosen)
    return [
        Share(name=name, seconds=int(SCENARIOS[name].minimum + extra * SCENARIOS[name].weight))
        for name in chosen
    ]


def torture(
    seed: int, seconds: int, names: Sequence[str], directory: Path, say: Say
) -> list[Finding]:
    """Run it all. Each scenario leaves its logs in a directory of its name."""
    findings = []
    shares = choose(seed, seconds, names)
    say(f"seed {seed}: {', '.join(share.name for share in shares)}")
    with torture_server(directory / "server") as server:
        for share in shares:
            say(f"{share.name}: {SCENARIOS[share.name].summary} ({share.seconds} s)")
            findings.append(run_scenario(server, share, seed, directory / share.name, say))
            for violation in findings[-1].violations:
                say(f"  {violation.invariant}: {violation.message}")
            say(f"  {len(findings[-1].violations)} violations after {findings[-1].seconds:.0f} s")
    return findings


def run_scenario(
    server: PrivateServer,
    share: Share,
    seed: int,
    directory: Path,
    say: Say,
    mutate: Callable[[World], None] | None = None,
) -> Finding:
    """Run one scenario in a database of its own. `mutate` plants a bug before anything starts."""
    begun = time.monotonic()
    directory.mkdir(parents=True, exist_ok=True)
    scenario = SCENARIOS[share.name]()
    reason = scenario.impossible(server)
    if reason is not None:
        say(f"{share.name} is skipped: {reason}")
        return Finding(
            name=share.name,
            faults=0,
            jobs=0,
            seconds=0,
            budget=share.seconds + OVERHEAD,
            skipped=reason,
        )
    plan = draw_plan(seed, share.name, share.seconds)
    database = f"torture_{share.name}"
    base = copy_template(server, database)
    world = World(
        scenario, server, base, database, directory, seed=seed, seconds=share.seconds, say=say
    )
    try:
        if mutate is not None:
            mutate(world)
        run = _Run(world, plan)
        violations = run.whole()
        if violations:
            keep(world)
    finally:
        world.close()
        drop_database(server, database)
        scenario.restore(server)
    return Finding(
        name=share.name,
        faults=run.done,
        jobs=sum(entry.count for entry in world.journal.entries() if entry.outcome == "ok"),
        seconds=time.monotonic() - begun,
        foreground=p99(run.foreground.seconds),
        budget=share.seconds + OVERHEAD,
        violations=violations,
        kept=directory if violations else None,
    )


class _Run:
    """One scenario, from its first supervisor to its last check."""

    def __init__(self, world: World, plan: Sequence[Fault]) -> None:
        self._world = world
        self._scenario: Scenario = world.scenario
        self._plan = plan
        self.done = 0  #: faults
        self.foreground = Foreground(world)
        self._violations: list[Violation] = []

    def whole(self) -> list[Violation]:
        world, scenario = self._world, self._scenario
        for name, value in scenario.settings.items():
            world.rows("select jobs.configure(%s, %s)", [name, value])
        before = measure_residue(world)
        load = Load(
            world.connect_client,
            world.journal,
            scenario.rate,
            f"{world.seed}/{scenario.name}",
            scenario.without,
        )
        probes = Probes(world)
        try:
            self._guard("prepare", lambda: scenario.prepare(world))
            probes.start()
            self.foreground.start()
            self._start_supervisors()
            load.start()
            self._faults()
        finally:
            self._guard("load", load.stop)
            self._guard("mend", lambda: scenario.mend(world))
        self._guard("mend", self._mend)
        self._guard("load", load.cancel_rest)
        self._guard("drain", lambda: self._violations.extend(drain(world)))
        self._guard("probes", lambda: self._violations.extend(probes.finish()))
        self._guard("foreground", lambda: self._violations.extend(self.foreground.finish()))
        self._guard("check", lambda: self._check(before))
        return self._violations

    def _guard(self, step: str, work: Callable[[], object]) -> None:
        """Do a step; what goes wrong in the driver is a violation as well, never a silence."""
        try:
            work()
        except Exception:  # noqa: BLE001  told with its stack
            self._violations.append(
                self._scenario.violation("driver", f"{step}: {traceback.format_exc()}")
            )

    def _start_supervisors(self) -> None:
        world = self._world
        for _ in range(self._scenario.supervisors):
            world.supervisors.start()
        if not world.supervisors.wait_started():
            raise TimeoutError("a supervisor does not start")

    def _faults(self) -> None:
        world = self._world
        begun = time.monotonic()
        pause = threading.Event()
        for fault in self._plan:
            if time.monotonic() > begun + world.seconds * _SLOW:
                break  # the machine is too slow for all of them
            pause.wait(max(0.0, begun + fault.at - time.monotonic()))
            self.done += 1
            world.note_fault(
                fault.kind,
                planned=fault.at,
                **{f"fact_{name}": v for name, v in fault.facts.items()},
            )
            self._guard(f"fault {fault.kind}", partial(self._scenario.inject, world, fault))
        pause.wait(max(0.0, begun + world.seconds - time.monotonic()))

    def _mend(self) -> None:
        if self._world.server.status().state != "running":
            self._world.start_server()
        self._world.wait_ready()
        self._world.supervisors.mend()

    def _check(self, before: Residue) -> None:
        world = self._world
        seen = canary.look(world)
        for number in world.supervisors.alive():
            world.supervisors.terminate(number)
        world.supervisor_ends += world.supervisors.wrong_ends(cut_off=self._scenario.outages)
        world.until(lambda: not measure_residue(world).connections, 5)
        after = measure_residue(world)
        self._violations += self._scenario.check(world)
        self._violations += check_recoveries(world)
        self._violations += check(gather(world, before, after, canaries=seen))

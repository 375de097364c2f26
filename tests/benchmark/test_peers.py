"""pyworker beside other systems: what is compared with what, and that each system's
program runs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from support import Server

from bench.figures import Figure
from bench.goals import verdicts
from bench.peers import systems
from bench.peers.goals import PEER_GOALS, compared
from bench.peers.program import Program
from bench.peers.systems import SYSTEMS, System, find
from bench.peers.turn import COLUMNS, take
from bench.size import TINY
from pyworker.errors import WorkError

TOP = Path(__file__).parents[2]
UNITS = {name: unit for name, _, unit in COLUMNS}
#: Ours 10, and each other system something else: two runs.
TAKEN = {
    name: {column: (float(value), value + 10.0) for column in UNITS}
    for name, value in (
        ("shipped", 10), ("start", 20), ("first", 5), ("graphile", 8), ("pgboss", 5), ("pgmq", 40),
        ("pgqueuer", 2), ("floor", 80),
    )
}  # fmt: skip


def by_goal(taken: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Figure]:
    return {goal: figure for figure in compared(taken, UNITS) for goal in figure.goals}


def test_rates_are_compared_with_the_fastest_of_the_same_run_and_costs_with_the_cheapest() -> None:
    figures = by_goal(TAKEN)

    assert figures["peers_drain"].rivals == (40, 50)  # a handler is run: the floor does not count
    # a history is kept: graphile does not count
    assert figures["peers_processor"].rivals == (2, 12)
    assert figures["peers_wal"].rivals == (5, 15)
    assert figures["shipped_drain"].rivals == (20, 30)
    assert figures["first_backlog"].values == (5, 15)
    assert figures["peers_enqueue"].rivals == (8, 18)
    assert figures["pgmq_enqueue"].rivals == (40, 50)
    assert figures["peers_enqueue_many"].rivals == (8, 18)  # a row is kept: pgmq does not count
    assert figures["pgmq_enqueue_many"].rivals == (80, 90)
    assert figures["peers_warm_p50"].rivals == (2, 12)


def test_a_goal_line_tells_the_ratio_whether_more_or_less_is_better() -> None:
    lines = verdicts(by_goal(TAKEN), {}, PEER_GOALS)

    assert "goal peers_drain: 0.33 (goal >= 1.50) missed" in lines
    assert "goal first_backlog: 0.62 (goal >= 0.95) missed" in lines
    assert "goal peers_wal: 1.67 (goal <= 0.70) missed" in lines
    assert "goal peers_enqueue: 1.18 (goal >= 1.50) missed" in lines


def test_a_peer_that_is_not_there_is_left_out_and_with_none_there_is_no_verdict() -> None:
    few = {name: TAKEN[name] for name in ("shipped", "graphile")}
    figures = by_goal(few)

    assert figures["peers_drain"].rivals == (8, 18)
    assert figures["peers_drain"].rival == "graphile-worker"
    assert "peers_wal" not in figures
    assert "goal peers_wal: not measured at this size" in verdicts(figures, {}, PEER_GOALS)


def test_peers_that_are_not_installed_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(systems, "_PYTHON", tmp_path)
    monkeypatch.setattr(systems, "_NODE", tmp_path)
    there, absent = find([])

    assert [one.name for one in there] == ["shipped", "start", "first", "unserved"]
    assert [one.title for one in absent] == [one.title for one in SYSTEMS.values() if not one.ours]


def test_the_page_names_the_versions_that_are_pinned() -> None:
    page = (TOP / "docs/performance.md").read_text("utf-8")
    packages = json.loads((TOP / "bench/peers/package.json").read_text("utf-8"))["dependencies"]
    lines = (TOP / "bench/peers/requirements.txt").read_text("utf-8").splitlines()
    packages |= dict(line.split("==") for line in lines if "==" in line)

    for system in SYSTEMS.values():
        if not system.ours:
            row = next(line for line in page.splitlines() if line.startswith(f"| {system.title}"))
            assert row.split(" | ")[1] == packages[system.package]


@pytest.mark.parametrize(
    "name", ["first", "unserved", *(one.name for one in SYSTEMS.values() if not one.ours)]
)
def test_the_program_of_a_system_does_all_jobs(name: str, server: Server) -> None:
    system = SYSTEMS[name]
    if not system.version:
        pytest.skip(f"{system.title} is not installed: `make bench PEERS=1` installs it")
    assert server.private is not None
    found = take(server.private, system, replace(TINY, peer_jobs=100, peer_calls=5, peer_samples=2))

    expected = {column for column, _, _ in COLUMNS if system.runs or not column.startswith("warm")}
    assert set(found) == (
        expected - {"one", "warm_p50", "warm_p95"} if system.variant else expected
    )
    assert all(
        value > 0 for column, value in found.items() if column not in ("images", "processor")
    )


def test_a_program_that_fails_tells_why(server: Server) -> None:
    assert server.private is not None
    missing = System(name="no", title="none", program="missing", settings="", finished="")

    with pytest.raises(WorkError, match="none: setup failed") as caught:
        Program(server.private, missing, "postgres").ask("setup")
    assert "No module named bench.peers.missing" in str(caught.value)

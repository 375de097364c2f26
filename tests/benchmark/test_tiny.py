"""Every measurement runs and every goal has its line. No time is looked at:
`make bench` measures.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kit.server import private_server
from support import Server

import bench.measurements  # noqa: F401  enters all of them
from bench.goals import GOALS
from bench.measurement import MEASUREMENTS


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that waits for the disk: this is what is measured."""
    with private_server("bench", durable=True) as private:
        yield Server(conninfo=private.dsn("postgres", "postgres"), private=private)


@pytest.mark.timeout(300)
def test_every_part_runs_and_every_goal_has_a_line(server: Server, tmp_path: Path) -> None:
    assert server.private is not None
    file = tmp_path / "bench.json"
    argv = [
        sys.executable,
        "-m",
        "pyworker",
        "bench",
        "--tiny",
        "--json",
        str(file),
        "--dir",
        str(server.private.dir),
    ]
    bench = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed, said = bench.communicate(timeout=280)
    assert bench.returncode == 0, printed + said

    lines = re.findall(r"^goal (\w+): (.*)$", printed, re.MULTILINE)
    kept = json.loads(file.read_text(encoding="utf-8"))
    assert [name for name, _ in lines] == list(GOALS)
    for name, text in lines:
        # Costs are measured where the engine has the switch; memory where the kernel lets us look.
        if name not in ("cost", "worker_memory", "worker_growth", "worker_lanes_memory"):
            assert re.search(r" \(goal [<>]= [^)]+\) (met|missed)$", text), f"{name}: {text}"
    assert set(kept["seconds"]) == set(MEASUREMENTS)
    assert kept["failures"] == {}
    assert {"machine_facts", "server_facts", "goals", "figures", "curves"} <= set(kept)
    assert kept["server_facts"]["fsync"] == kept["server_facts"]["synchronous_commit"] == "on"
    assert {curve["plot"] for curve in kept["curves"]} == {
        "latency",
        "snapshot",
        "history",
        "backlog",
    }
    with server.administrate() as admin:
        left = admin.execute(
            "select datname from pg_database where starts_with(datname, %s) union all"
            " select rolname from pg_roles where starts_with(rolname, %s)",
            (f"pyworker_bench_{bench.pid}_", f"pyworker_bench_{bench.pid}_"),
        )
        assert left.fetchall() == []

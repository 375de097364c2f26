"""A scenario that cannot run on a machine is skipped, and the report says why."""

import io
import os
import shutil
from pathlib import Path

import pytest
from rich.console import Console

from pyworker.server import PrivateServer
from tests.torture.report import Finding, closing_line, render
from tests.torture.run import Share, run_scenario
from tests.torture.scenario import SCENARIOS


@pytest.fixture
def nowhere(tmp_path: Path) -> PrivateServer:
    return PrivateServer(tmp_path / "server")


@pytest.mark.parametrize("name", ["disk_full_data", "disk_full_wal"])
def test_an_ordinary_user_mounts_nothing(
    name: str, nowhere: PrivateServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (
        SCENARIOS[name]().impossible(nowhere)
        == "only root may mount the small file system that is filled up"
    )


def test_without_a_compiler_no_clock_steps(
    nowhere: PrivateServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    said: list[str] = []
    finding = run_scenario(
        nowhere, Share(name="clock_step", seconds=12), 1, tmp_path / "logs", said.append
    )
    assert finding.skipped
    assert "no C compiler" in finding.skipped
    assert said == [f"clock_step is skipped: {finding.skipped}"]


def test_the_report_tells_what_was_skipped_and_does_not_count_it() -> None:
    done = Finding(name="calm", faults=0, jobs=7, seconds=8, budget=14)
    skipped = Finding(
        name="clock_step", faults=0, jobs=0, seconds=0, budget=14, skipped="there is no clock"
    )
    out = io.StringIO()
    Console(file=out, width=120).print(render([done, skipped], 1))
    assert "clock_step (skipped: there is no clock)" in out.getvalue()
    assert closing_line([done, skipped]).startswith("torture: 1 scenarios, 0 faults, 7 jobs")

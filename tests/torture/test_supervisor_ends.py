"""Supervisors that end by themselves, or with an error, are told; what we did to them is not."""

import time
from pathlib import Path

import pytest

from tests.torture.supervisors import Supervisors

STARTED = """echo '{"event": "supervisor_started"}'"""


@pytest.fixture
def some(tmp_path: Path) -> Supervisors:
    return Supervisors("", tmp_path, lambda *_, **__: None)


def start(some: Supervisors, script: str) -> int:
    some.program = ("/bin/sh", "-c", script)
    return some.start()


def wait_ended(some: Supervisors, number: int) -> None:
    some[number].process.wait(10)


@pytest.mark.parametrize("code", [0, 1, 6])
def test_one_that_leaves_by_itself_is_told(some: Supervisors, code: int) -> None:
    wait_ended(some, start(some, f"{STARTED}; exit {code}"))
    assert some.wrong_ends(cut_off=False) == [f"supervisor 0 left by itself, with {code}"]
    assert bool(some.wrong_ends(cut_off=True)) is (code != 6)


@pytest.mark.parametrize(
    ("code", "told"), [(0, []), (1, ["supervisor 0 left with 1 when told to"])]
)
def test_one_that_is_told_to_leave_does_so_without_an_error(
    some: Supervisors, code: int, told: list[str]
) -> None:
    number = start(some, f"trap 'exit {code}' TERM; {STARTED}; while :; do sleep 0.01; done")
    assert some.wait_started()
    some.terminate(number)
    assert some.wrong_ends(cut_off=False) == told
    assert some.wrong_ends(cut_off=True) == []


def test_what_we_did_is_not_told(some: Supervisors) -> None:
    some.kill(start(some, f"{STARTED}; sleep 20"))
    some.terminate(start(some, "sleep 20"))  # it had not started yet
    start(some, "sleep 20")
    time.sleep(0.1)
    assert some.wrong_ends(cut_off=False) == []
    some.close()

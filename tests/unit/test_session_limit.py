"""How many sessions gain something: looks in, a bound out."""

import os
from dataclasses import replace

import pytest

from pyworker.database.records import Demand
from pyworker.supervisor.session_limit import SessionLimit, processors_of

WANTED = Demand(owner="app", session_demand=16, active_sessions=2, working=2, moving=2, lanes=1)


def bound(limit: SessionLimit, now: float, **facts: int) -> int:
    return limit.apply([replace(WANTED, **facts)], now)[0].session_demand


@pytest.mark.parametrize(
    ("moving", "expected"),
    [(20, 2), (18, 3), (10, 4), (5, 8), (2, 16), (0, 16)],
)
def test_sessions_are_as_many_as_keep_the_processors_busy(moving: int, expected: int) -> None:
    """Of twenty looks at sessions that work, so many found one that waits for nothing."""
    limit = SessionLimit(2)
    for turn in range(20):
        last = bound(limit, turn * 0.25, working=20, moving=moving)
    assert last == expected


def test_they_double_at_most() -> None:
    limit = SessionLimit(2)
    seen = [bound(limit, turn * 0.25, moving=0) for turn in range(6)]
    assert seen == [2, 4, 8, 16, 16, 16]
    limit = SessionLimit(2)
    assert [bound(limit, turn * 0.05, moving=0) for turn in range(9)] == [2, 2, 2, 2, 4, 4, 4, 4, 8]


def test_before_anything_is_seen_there_is_one_to_each_processor() -> None:
    limit = SessionLimit(3)
    assert [bound(limit, turn * 0.25, working=0, moving=0) for turn in range(5)] == [3] * 5


def test_what_was_seen_long_ago_counts_no_more() -> None:
    limit = SessionLimit(2)
    for turn in range(9):
        bound(limit, turn * 0.25, moving=0)
    assert bound(limit, 60, working=20, moving=20) == 2


def test_a_session_that_is_occupied_counts_besides() -> None:
    assert bound(SessionLimit(2), 0, occupied=5) == 7
    assert bound(SessionLimit(2), 0, occupied=5, session_demand=6) == 6


@pytest.mark.parametrize(("lanes", "expected"), [(1, 2), (5, 5), (1000, 8)])
def test_each_of_a_few_lanes_has_a_session(lanes: int, expected: int) -> None:
    assert bound(SessionLimit(2), 0, lanes=lanes) == expected


def test_one_owner_is_no_measure_for_another() -> None:
    limit = SessionLimit(2)
    other = replace(WANTED, owner="other")
    for turn in range(9):
        found = limit.apply([replace(WANTED, moving=0), other], turn * 0.25)
    assert [demand.session_demand for demand in found] == [16, 2]


def test_where_the_processors_are_not_known_nothing_is_bounded() -> None:
    assert bound(SessionLimit(None), 0) == 16


@pytest.mark.parametrize(
    ("host", "given", "expected"),
    [
        ("/run/postgresql", None, os.cpu_count()),
        ("", None, os.cpu_count()),
        ("@abstract", None, os.cpu_count()),
        ("db.example", None, None),
        ("127.0.0.1", None, None),
        ("db.example", 64, 64),
        ("/run/postgresql", 3, 3),
    ],
)
def test_over_a_local_socket_the_processors_are_those_of_this_machine(
    host: str, given: int | None, expected: int | None
) -> None:
    assert processors_of(host, given) == expected

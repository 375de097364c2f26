"""What a watched job may become, and every way in which it may not be that."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from psycopg import Connection

from tests.torture.recovery import Outage
from tests.torture.scenarios.poison import set_aside
from tests.torture.watched import SUCCEEDED, Ending, Job, Watched

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)


def after(seconds: float) -> datetime:
    return BEGUN + timedelta(seconds=seconds)


#: id, state, sqlstate, message, result, effects, attempts, max_attempts, created_at, finished_at
WELL = (1, "succeeded", None, "", [], 1, ["succeeded"], 3, BEGUN, after(0.5))


class Line:
    """A connection that knows the answers."""

    def __init__(self, *rows: tuple[Any, ...]) -> None:
        self._rows = rows

    def execute(self, *_: object) -> "Line":
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)

    def fetchone(self) -> tuple[Any, ...]:
        return self._rows[0]

    def transaction(self) -> "Line":
        return self

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def complaints(
    row: tuple[Any, ...],
    *,
    within: float = 1.0,
    may: tuple[Ending, ...] = (SUCCEEDED,),
    outages: tuple[Outage, ...] = (),
) -> list[str]:
    watched = Watched("a scenario")
    job = Job(label="a job", call="f", may=may, within=within, result=[])
    watched.enqueue(cast("Connection[Any]", Line((1,))), [job])
    return [
        violation.message
        for violation in watched.check(cast("Connection[Any]", Line(row)), outages)
    ]


def test_the_time_of_an_outage_does_not_count_and_each_gives_more() -> None:
    long = (*WELL[:9], after(10))
    early, late = (BEGUN - timedelta(seconds=1), after(4)), (after(5), after(9))
    assert len(complaints(long)) == 1
    assert len(complaints(long, outages=(early,))) == 1  # 6 s of 1
    assert complaints(long, outages=(early, late)) == []  # 2 s of 2
    assert (
        len(complaints((*WELL[:9], after(10.5)), outages=(early, late, (after(11), after(12)))))
        == 1
    )


def test_what_ended_as_it_may_is_well() -> None:
    assert complaints(WELL) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 2),  # nobody knows it any more
        (1, "queued"),
        (1, "failed"),
        (2, "40001"),
        (4, ["left behind"]),
        (5, 0),
        (5, 2),
        (6, []),
        (6, ["lost", "succeeded"]),
        (9, after(1.5)),
    ],
)
def test_anything_else_is_told(place: int, value: object) -> None:
    row = (*WELL[:place], value, *WELL[place + 1 :])
    assert len(complaints(row)) == 1


@pytest.mark.parametrize(
    ("state", "code", "message", "attempts", "well"),
    [
        ("failed", "PWL02", "the server crashed 3 times while it ran", ["lost", "lost"], True),
        (
            "failed",
            "PWL02",
            "the server crashed 3 times while it ran",
            ["lost", "lost", "lost"],
            False,
        ),
        ("failed", "PWL02", "", ["lost"], False),
        ("failed", "PWL01", "the server crashed while it ran", ["lost"], False),
        ("succeeded", None, "", ["lost", "succeeded"], False),
        ("failed", "PWL02", "the server crashed 3 times while it ran", ["failed"], False),
    ],
)
def test_poison_is_set_aside_in_one_way(
    state: str, code: str | None, message: str, attempts: list[str], *, well: bool
) -> None:
    row = (1, state, code, message, None, 0, attempts, 2, BEGUN, after(0.5))
    assert (not complaints(row, may=set_aside(2))) is well

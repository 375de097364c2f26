"""The percent that is reckoned from recorded rows of the progress views."""

from decimal import Decimal
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from support import Database

WEIGHTS = {
    "tuples": 1000,
    "parts": [
        {
            "ids": [10],
            "seconds": 10,
            "phases": [
                {"phase": "waiting for writers before build", "seconds": 0},
                {"phase": "building index: scanning table", "seconds": 4, "units": 100},
                {"phase": "building index: sorting live tuples", "seconds": 1, "units": 100},
                {"phase": "building index: loading tuples in tree", "seconds": 5, "units": 100},
            ],
        }
    ],
}


BUILD = {
    "view": "create_index",
    "relid": "10",
    "blocks_done": 99,
    "blocks_total": 100,
    "tuples_done": 0,
    "tuples_total": 0,
    "lockers_done": 3,
    "lockers_total": 2,
    "partitions_done": 0,
    "partitions_total": 0,
}


VACUUM_WEIGHTS = {
    "parts": [
        {
            "ids": [table],
            "seconds": 10,
            "phases": [
                {"phase": "scanning heap", "seconds": 4},
                {"phase": "vacuuming indexes", "seconds": 4},
                {"phase": "vacuuming heap", "seconds": 2},
            ],
        }
        for table in (10, 11)
    ]
}


VACUUM = {"view": "vacuum", "heap_blks_total": 100, "indexes_total": 2, "max_dead_tuple_bytes": 100}


def vacuum(table: int, phase: str, scanned: int, vacuumed: int, passes: int, index: int = 0) -> Any:
    """Give a row of the progress of VACUUM; its dead rows fill the memory twice."""
    return VACUUM | {
        "relid": str(table),
        "phase": phase,
        "heap_blks_scanned": scanned,
        "heap_blks_vacuumed": vacuumed,
        "index_vacuum_count": passes,
        "indexes_processed": index,
        "dead_tuple_bytes": 100 if phase in ("vacuuming indexes", "vacuuming heap") else 0,
    }


RUNS: dict[str, tuple[Any, list[Any], list[float]]] = {
    "the columns of each phase only": (
        WEIGHTS,
        [
            BUILD | {"phase": "waiting for writers before build"},
            BUILD | {"phase": "building index: scanning table", "blocks_done": 50},
            BUILD | {"phase": "building index: sorting live tuples"},
            BUILD
            | {
                "phase": "building index: loading tuples in tree",
                "tuples_done": 500,
                "tuples_total": 1000,
            },
        ],
        [0, 0.2, 0.4, 0.75],
    ),
    "a phase that is not known": (
        WEIGHTS,
        [
            BUILD | {"phase": "building index: scanning table", "blocks_done": 50},
            BUILD | {"phase": "building index: something new"},
            {"view": "create_index", "phase": "more", "relid": "10"},
        ],
        [0.2, 0.4, 0.4],
    ),
    "partitions": (
        WEIGHTS,
        [
            BUILD
            | {
                "phase": "building index: scanning table",
                "blocks_done": 50,
                "partitions_total": 4,
                "partitions_done": done,
            }
            for done in (0, 3)
        ],
        [0.05, 0.8],
    ),
    "VACUUM with two passes over its indexes, of two tables": (
        VACUUM_WEIGHTS,
        [
            vacuum(11, "scanning heap", 50, 0, 0),
            vacuum(11, "vacuuming indexes", 50, 0, 0, 1),
            vacuum(11, "vacuuming heap", 50, 50, 1),
            vacuum(11, "scanning heap", 75, 50, 1),
            vacuum(11, "vacuuming indexes", 100, 50, 1, 1),
            vacuum(11, "vacuuming heap", 100, 100, 2),
            vacuum(11, "truncating heap", 100, 100, 2),
            vacuum(10, "scanning heap", 50, 0, 0),
        ],
        [0.1, 0.15, 0.25, 0.3, 0.4, 0.5, 0.5, 0.6],
    ),
    "an empty table": (
        VACUUM_WEIGHTS,
        [{"view": "vacuum", "relid": "10", "phase": "scanning heap", "heap_blks_total": 0}],
        [0],
    ),
}


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
def test_recorded_rows(database: Database, run: tuple[Any, list[Any], list[float]]) -> None:
    weights, rows, shares = run
    place = None
    found = []
    for row in rows:
        ((seen,),) = database.admin(
            "select jobs_internal.progress_of(%s, %s, %s)",
            [Jsonb(weights), Jsonb(place) if place else None, Jsonb(row)],
        )
        place = seen | {"phase": row["phase"], "index": None}
        found.append(seen["share"])
    assert found == [pytest.approx(share, abs=0.0001) for share in shares]


def test_what_nothing_counts_is_reckoned_by_time(database: Database) -> None:
    """A sort that was expected to take a second, where the scan took twice what was expected."""
    row = BUILD | {"phase": "building index: sorting live tuples"}
    shares = [
        database.admin(
            "select (jobs_internal.progress_of(%s, null, %s, %s, 8) ->> 'share')::numeric",
            [Jsonb(WEIGHTS), Jsonb(row), seconds],
        )[0][0]
        for seconds in (0, 1, 1000)
    ]
    assert shares == [Decimal("0.4"), Decimal("0.45"), Decimal("0.495")]


def test_no_percent_goes_back_or_reaches_100(database: Database) -> None:
    shown = [
        database.admin("select jobs_internal.shown_percent(%s::numeric, %s::numeric)", pair)[0][0]
        for pair in [(0.5, 60), (0.7, 60), (1, 60), (None, 60), (0.5, None)]
    ]
    assert shown == [60, 70, Decimal("99.9"), 60, 50]

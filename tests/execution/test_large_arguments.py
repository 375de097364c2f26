"""Large arguments: however many are claimed at once, they are passed whole,
and their neighbours go on.

PYWORKER_LARGE_ARGUMENTS says how many; 40 are together more than PostgreSQL's largest array,
and take minutes.
"""

import os

import pytest
from stage import know_as_short, make_lane, put
from support import Database

SIZE = 30_000_000
COUNT = int(os.environ.get("PYWORKER_LARGE_ARGUMENTS", "3"))


@pytest.mark.timeout(60 + 10 * COUNT)
def test_a_claim_of_large_arguments(database: Database) -> None:
    database.run("create function app.size_of(t text) returns bigint language sql return length(t)")
    make_lane(database)
    one = "jobs.enqueue('app.size_of', jsonb_build_object('t', repeat('x', %s)))"
    database.admin("set statement_timeout = 0")
    jobs = []
    line = database.connect(statement_timeout="120s")
    for _ in range(COUNT):
        row = line.execute(f"select {one % SIZE}".encode()).fetchone()
        assert row is not None
        jobs.append(row[0])
        jobs.append(put(database, "app.size_of", {"t": "x"}))
    know_as_short(database)
    database.drain(timeout=100)
    found = database.run(
        "select result::bigint, attempt, count(*) from jobs.job where id = any (%s) group by 1, 2",
        [jobs],
    )
    assert sorted(found) == [(1, 1, COUNT), (SIZE, 1, COUNT)]

"""Messages with a count in them say "1 job" and "2 jobs"."""

import re
from pathlib import Path

import pytest
from support import Database

SQL = Path(__file__).parents[2] / "sql"
#: A count, and behind it what is counted as if there were always several.
#: Units (bytes, s, ms) are no words.
COUNTED = re.compile(
    r"(?<!of )%s (?:\w+"
    r" )?(?:jobs|rows|sessions|slots|lines|attempts|times|items|commits|seconds|owners|lanes"
    r"|indexes|supervisors|are|were|wait|more were)\b"
)
#: Where the count is never one.
SEVERAL = (
    "all %s slots",
    "%s of the %s slots",
    "is published %s times",
    "has %s worker slots",
    "bytes as text",
    "slots %s free",
    "%s indexes in one statement",
    "%s rows were inserted",
)


def test_no_message_takes_one_for_several() -> None:
    """Counts go through jobs_internal.counted."""
    found = [
        f"{file.name}: {line.strip()}"
        for file in sorted(SQL.rglob("*.sql"))
        for line in file.read_text(encoding="utf-8").splitlines()
        if COUNTED.search(line) and not any(each in line for each in SEVERAL)
    ]

    assert found == []
    assert list(SQL.rglob("*.sql")) != []


@pytest.mark.parametrize(("count", "said"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs")])
def test_a_count_has_its_word(shared: Database, count: int, said: str) -> None:
    """One is not several, and none is."""
    assert shared.admin("select jobs_internal.counted(%s, 'job')", [count]) == [(said,)]


def test_one_job_in_the_health(database: Database) -> None:
    """Not "1 jobs": of failures, and of jobs in doubt."""
    database.run("select jobs.enqueue('pg_catalog.pg_advisory_unlock', '{\"$1\": 1}')")
    database.run("select jobs.enqueue_sql('select 1/0', max_attempts => 1)")
    database.drain()

    assert database.value("select detail from jobs.health where \"check\" = 'failures'").startswith(
        "1 job, "
    )
    database.admin("update jobs_internal.finished set state = 'in_doubt' where state = 'failed'")
    assert database.value("select detail from jobs.health where \"check\" = 'in doubt'") == "1 job"

"""What a job logs is kept, whatever becomes of the job."""

import pytest
from stage import know_as_short, put, put_sql, quick_retries, state
from support import Database


@pytest.mark.parametrize(
    "text",
    ["plain", "it's", 'say "no"', "back\\slash", "two\nlines", "äöü 漢字", "$1 %s %L", "\t\x01"],
)
def test_log_lines_keep_every_character(shared: Database, text: str) -> None:
    job = put(shared, "app.say", {"lines": 1, "message": text})
    shared.drain()
    assert state(shared, job) == "succeeded"
    assert shared.run("select message, fields from jobs.log_lines where job_id = %s", [job]) == [
        (f"{text} 1", {"i": 1})
    ]


def test_log_lines_survive_a_failure(database: Database) -> None:
    quick_retries(database)
    job = put(database, "app.say", {"lines": 3, "fails": True}, max_attempts=2)
    database.drain()
    know_as_short(database)
    in_chunk = [
        put(database, "app.say", {"lines": 2, "fails": fails}, max_attempts=1)
        for fails in (True, False)
    ]
    silent = put(database, "app.say", {"lines": 0})
    database.drain()
    lines = (
        "select attempt, n, level, message, at is not null from jobs.log_lines where job_id = %s"
        " order by attempt, n"
    )
    assert database.run(lines, [job]) == [
        (attempt, n, "info", f"line {n}", True) for attempt in (1, 2) for n in (1, 2, 3)
    ]
    for one in in_chunk:
        assert [row[3] for row in database.run(lines, [one])] == ["line 1", "line 2"]
    assert database.run(lines, [silent]) == []
    assert [state(database, one) for one in [job, *in_chunk]] == ["failed", "failed", "succeeded"]


def test_log_lines_are_bounded_and_the_cut_is_marked(database: Database) -> None:
    database.admin("select jobs.configure('log_lines', '5')")
    jobs = [put(database, "app.say", {"lines": 5}), put(database, "app.say", {"lines": 50})]
    child = put_sql(database, "call app.say_in_child(9)")
    long = put(database, "app.say", {"lines": 1, "message": "x" * 20_000})
    database.drain()
    lines = "select level, message from jobs.log_lines where job_id = %s order by n"
    assert [message for _, message in database.run(lines, [jobs[0]])] == [
        f"line {n}" for n in range(1, 6)
    ]
    cut = database.run(lines, [jobs[1]])
    assert len(cut) == 6
    assert cut[5][0] == "warning"
    assert "cut" in cut[5][1]
    of_child = database.run(lines, [child])
    assert [message for _, message in of_child[:5]] == [f"child {n}" for n in range(1, 6)]
    assert len(of_child) == 6
    assert "cut" in of_child[5][1]
    assert [len(message) for _, message in database.run(lines, [long])] == [8000]

"""What jobs and their owners say of themselves is logged, or cut; it stops no supervisor."""

import pytest
from kit.daemon import Supervise
from psycopg.types.json import Jsonb
from stage import put
from support import Database, wait_until

DEEP = "[" * 3000 + "]" * 3000
NOTES = {
    "many digits": f'{{"n": {"9" * 6000}}}',
    "deep": f'{{"n": {DEEP}}}',
    "large": '{"n": "' + "x" * 60_000 + '"}',
}


@pytest.mark.parametrize("kind", NOTES)
def test_a_note_of_any_kind(database: Database, supervise: Supervise, kind: str) -> None:
    one = supervise(database.dsn("supervisor"))
    odd = put(database, "app.fail", max_attempts=1, note=Jsonb(NOTES[kind], dumps=str))
    plain = put(database, "app.fail", max_attempts=1, note={"ticket": "OPS-1"})
    wait_until(lambda: {line["job_id"] for line in one.events("job_failed")} == {odd, plain}, 20)
    notes = {line["job_id"]: line["note"] for line in one.events("job_failed")}
    assert notes[plain] == {"ticket": "OPS-1"}
    assert list(notes[odd]) == ["cut"]
    assert one.stop() == 0


def test_an_outcome_that_cannot_be_read_is_told_and_hinders_no_other(
    database: Database, supervise: Supervise
) -> None:
    """As an older version may have left it."""
    for bad in (DEEP, "9" * 6000):
        database.admin(
            "insert into jobs_internal.outbox (bytes, body) values (length(%(body)s),"
            " %(body)s::text::jsonb)",
            {"body": f'{{"others": [{{"job_id": {bad}}}]}}'},
        )
    one = supervise(database.dsn("supervisor"))
    job = put(database, "app.note", {"n": 1})
    wait_until(lambda: [line["job_id"] for line in one.events("job_succeeded")] == [job], 20)
    assert [line["problem"] for line in one.events("problem")] == ["outcome_unreadable"] * 2
    # The lines are written before the rows are deleted: what is logged may still be in the feed for
    # a moment.
    wait_until(lambda: database.admin("select count(*) from jobs_internal.outbox") == [(0,)], 20)
    assert one.stop() == 0

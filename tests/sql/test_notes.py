"""jobs.note adds to the note of a job, waiting or finished, and says who did."""

import psycopg
import pytest
from support import Database

from .conftest import Enqueue


@pytest.mark.parametrize("finished", [False, True])
def test_it_is_added_to(database: Database, put: Enqueue, *, finished: bool) -> None:
    """Keys that are there get the new value, others stay."""
    job = put("app.nothing", note={"ticket": 7, "expected": "faster"})
    if finished:
        database.drain()
    said = database.value("""select jobs.note(%s, '{"seen": "2 ms", "ticket": 8}')""", [job])

    assert said == {"ticket": 8, "expected": "faster", "seen": "2 ms"}
    assert database.job(job)["note"] == said
    if not finished:
        database.drain()
        assert database.job(job)["note"] == said
    assert database.admin("select count(*) from jobs_internal.audit") == [(0,)]


def test_an_operator_is_audited(database: Database, put: Enqueue) -> None:
    """Which keys, not what they say."""
    job = put("app.nothing")
    database.value("""select jobs.note(%s, '{"looked": "secret"}')""", [job], role="operator")

    assert database.run("select login, action, object, after from jobs.audit", role="operator") == [
        ("operator", "note", f"job {job}", {"keys": ["looked"]})
    ]
    assert database.job(job)["note"] == {"looked": "secret"}


@pytest.mark.parametrize(
    ("code", "role", "note"),
    [
        ("PW030", "other", "'{}'"),
        ("PW011", "app", "'[]'"),
        ("PW011", "app", "null"),
        ("PW018", "app", "jsonb_build_object('x', repeat('x', 65530))"),
    ],
)
def test_refused(database: Database, put: Enqueue, code: str, role: str, note: str) -> None:
    """What is no object, what makes the note too long together with what is there, and a job of
    another owner: nothing is changed.
    """
    job = put("app.nothing", note={"ticket": 7})
    with pytest.raises(psycopg.Error) as caught:
        database.run(f"select jobs.note(%s, {note})", (job,), role=role)

    assert caught.value.sqlstate == code
    assert caught.value.diag.message_detail
    assert caught.value.diag.message_hint
    assert database.job(job)["note"] == {"ticket": 7}

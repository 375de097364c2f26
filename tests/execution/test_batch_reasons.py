"""jobs.explain of a batch: why its callbacks have not come, and what to do about it."""

from typing import Any

import pytest
from support import Database

from .batches import add, close, fold, make, stage

OTHERS = ("other", "reader", "operator")


@pytest.fixture(autouse=True)
def _staged(database: Database) -> None:
    stage(database)


def explain(database: Database, batch: int, role: str = "app") -> dict[str, Any]:
    return database.record("select * from jobs.explain(batch => %s)", [batch], role=role)


def test_each_reason_in_turn(database: Database) -> None:
    """Open, jobs that have not ended, an end that is not seen to yet, finished."""
    batch = make(database)
    job = add(database, batch)
    told = explain(database, batch)
    assert (told["state"], told["code"], told["blocked_by_jobs"]) == ("open", "batch_open", [job])
    assert told["reason"] == (
        f"its callbacks wait for jobs.close_batch({batch}), and the end of 1 job"
    )
    database.run(told["remedy"])  # closes it
    told = explain(database, batch)
    assert (told["state"], told["code"], told["blocked_by_jobs"]) == ("closed", "batch_jobs", [job])
    database.run("select jobs.cancel(%s)", [job])
    fold(database)
    told = explain(database, batch)
    calls = database.value("select callback_jobs from jobs.batches where id = %s", [batch])
    assert (told["state"], told["code"], told["remedy"]) == ("finished", "finished", None)
    assert told["reason"].endswith(", ".join(map(str, calls)))
    database.drain()


def test_the_end_waits_for_a_round(database: Database) -> None:
    """The callbacks cannot be enqueued yet: their queue takes no jobs."""
    database.run("select jobs.create_queue('calls')", role="operator")
    batch = make(database, "on_finish => 'app.finished', options => '{\"queue\": \"calls\"}'")
    database.run("select jobs.alter_queue('calls', accepting => false)", role="operator")
    close(database, batch)
    fold(database)
    told = explain(database, batch)
    assert (told["state"], told["code"], told["blocked_by_jobs"]) == (
        "calling",
        "batch_calls",
        None,
    )
    assert "its queue" in told["reason"] or "the queue" in told["reason"]
    database.run("select jobs.alter_queue('calls', accepting => true)", role="operator")


def test_whose_it_is(database: Database) -> None:
    """Another role sees no batch that it may not see; readers and operators see it."""
    batch = make(database)
    codes = [explain(database, batch, role)["code"] for role in OTHERS]
    assert codes == ["not_there", "batch_open", "batch_open"]
    assert explain(database, 999)["reason"] == "there is no batch 999, or you may not see it"
    assert database.record("select code from jobs.explain()") == {"code": "not_there"}
    close(database, batch)

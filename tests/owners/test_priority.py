"""jobs.set_priority: what has not started goes to another lane."""

import pytest
from stage import put, state
from support import Database, sqlstate_of


def _set(database: Database, job: int, priority: str | None, role: str = "app") -> str:
    return str(database.value("select jobs.set_priority(%s, %s)", [job, priority], role=role))


def test_a_queued_job_goes_first(database: Database) -> None:
    first = put(database, "app.note", {"n": 0})
    database.drain()
    jobs = [put(database, "app.note", {"n": n}) for n in range(1, 6)]
    assert _set(database, jobs[-1], "high", "operator") == "queued"
    assert database.job(jobs[-1])["priority"] == "high"
    database.drain()
    order = database.run("select id from jobs.job where id > %s order by started_at", [first])
    assert order[0] == (jobs[-1],)
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert database.admin("select count(*) from jobs_internal.job") == [(0,)]


def test_a_scheduled_job_keeps_its_time(database: Database) -> None:
    job = put(database, "app.note", {"n": 0}, run_at="2100-01-01")
    assert _set(database, job, "low") == "scheduled"
    row = database.job(job)
    assert (row["priority"], row["state"], row["run_at"].year) == ("low", "scheduled", 2100)


def test_refusals_and_states(database: Database) -> None:
    job = put(database, "app.note", {"n": 0})
    assert sqlstate_of(lambda: _set(database, job, "urgent")) == "PW020"
    assert sqlstate_of(lambda: _set(database, job, None)) == "PW020"
    assert sqlstate_of(lambda: _set(database, job, "high", "other")) == "PW030"
    assert _set(database, job, "normal") in ("scheduled", "queued")
    database.drain()
    assert _set(database, job, "high") == "succeeded"


@pytest.mark.parametrize("held", ["claimed"])
def test_a_job_whose_message_is_held_stays(database: Database, held: str) -> None:
    put(database, "app.note", {"n": 0})
    database.drain()
    job = put(database, "app.note", {"n": 1})
    with database.server.connect("postgres", database.name) as holder:
        holder.autocommit = False
        lane = database.admin("select lane_id from jobs_internal.job where id = %s", [job])[0][0]
        holder.execute(f"select * from pgmq.q_pyworker_{lane} for update".encode())
        assert _set(database, job, "high") == "running"
        holder.rollback()
    assert database.job(job)["priority"] == "normal"

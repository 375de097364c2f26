"""A job that cancels, retries or ends itself, its neighbour or its session."""

import pytest
from stage import attempts, know_as_short, ledger, put, quick_retries, state
from support import Database


@pytest.mark.parametrize("knows", [True, False], ids=["short", "unknown"])
def test_a_job_may_cancel_itself(database: Database, *, knows: bool) -> None:
    put(database, "app.cancel_oneself")
    database.drain()
    if knows:
        know_as_short(database)
    job = put(database, "app.cancel_oneself")
    after = put(database, "app.note", {"n": 1})
    database.drain()
    assert state(database, job) == "cancelled"
    assert state(database, after) == "succeeded"


def test_a_job_may_retry_itself_in_vain(database: Database) -> None:
    alone = put(database, "app.retry_oneself")
    database.drain()
    know_as_short(database)
    chunk = put(database, "app.retry_oneself")
    database.drain()
    assert database.result(alone) == "running"
    assert database.result(chunk) in ("queued", "running")
    assert len(attempts(database, chunk)) == 1


@pytest.mark.parametrize("place", [-1, 1], ids=["before it", "after it"])
def test_a_job_may_cancel_its_neighbour_in_the_chunk(database: Database, place: int) -> None:
    put(database, "app.note", {"n": 0})
    put(database, "app.run", {"what": "select 1"})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    if place < 0:
        victim = put(database, "app.note", {"n": 1})
        killer = put(database, "app.run", {"what": f"select jobs.cancel({victim})"})
    else:
        following = database.value("select max(id) + 2 from jobs.job")
        killer = put(database, "app.run", {"what": f"select jobs.cancel({following})"})
        victim = put(database, "app.note", {"n": 1})
        assert victim == following
    others = [put(database, "app.note", {"n": 2}), put(database, "app.note", {"n": 3})]
    database.drain()
    assert state(database, killer) == "succeeded"
    assert {state(database, job) for job in others} == {"succeeded"}
    expected = ([1, 2, 3], "succeeded") if place < 0 else ([2, 3], "cancelled")
    assert (ledger(database), state(database, victim)) == expected


@pytest.mark.parametrize("knows", [True, False], ids=["short", "unknown"])
def test_a_job_cannot_end_itself_behind_the_workers_back(
    database: Database, *, knows: bool
) -> None:
    """It calls what a worker session calls, of its own session."""
    database.run(
        "create function app.forge() returns void language plpgsql as $$"
        " declare v_session bigint; v_result jobs_internal.attempt_result;"
        " begin"
        "  insert into app.ledger (n) values (666);"
        "  select id into v_session from jobs.sessions where pid = pg_backend_pid();"
        "  v_result.job_id := jobs.current_id(); v_result.attempt := app.attempt();"
        " v_result.outcome := 'succeeded';"
        "  v_result.finished_at := now();"
        "  perform jobs_internal.finish_alone(v_session, 1, v_result);"
        " end $$"
    )
    put(database, "app.note", {"n": 0})
    first = put(database, "app.forge", max_attempts=1)
    database.drain()
    assert database.job(first)["error"]["sqlstate"] in ("PW041", "PW050")
    if knows:
        know_as_short(database)
    jobs = [
        put(database, "app.note", {"n": 1}),
        put(database, "app.forge"),
        put(database, "app.note", {"n": 2}),
    ]
    database.drain()
    assert [state(database, job) for job in jobs] == ["succeeded", "failed", "succeeded"]
    assert ledger(database) == [0, 1, 2]


def test_a_job_cannot_close_its_session(database: Database) -> None:
    database.run(
        "create function app.close() returns void language plpgsql as $$ begin"
        "  insert into app.ledger (n) values (666);"
        "  perform jobs_internal.close_session((select id from jobs.sessions"
        " where pid = pg_backend_pid()), null);"
        " end $$"
    )
    quick_retries(database)
    job = put(database, "app.close", max_attempts=2)
    after = put(database, "app.note", {"n": 1})
    database.drain()
    assert state(database, job) == "failed"
    assert state(database, after) == "succeeded"
    assert ledger(database) == [1]

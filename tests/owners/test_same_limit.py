"""Every door has the same limit: what passes none of them by enqueue passes none by another way
either.
"""

import json

import pytest
from psycopg.types.json import Jsonb
from stage import make_lane, put, put_many, put_sql, state
from support import Database, sqlstate_of, wait_until


def _quota(database: Database, **limits: object) -> None:
    names = "".join(f", {name} => %({name})s" for name in limits)
    database.run(f"select jobs.set_quota('app'{names})", limits, role="operator")


def _note(database: Database, **options: object) -> int:
    return put(database, "app.note", {"n": 1}, **options)


def test_cancel_and_retry_do_not_pass_pending(database: Database) -> None:
    """A job that was cancelled may not come back while others have taken its place."""
    _quota(database, pending=2)
    jobs = []
    for _ in range(5):
        jobs.append(_note(database, run_at="infinity"))
        database.run("select jobs.cancel(%s)", [jobs[-1]])
    came_back = [
        sqlstate_of(lambda job=job: database.run("select jobs.retry(%s)", [job])) for job in jobs
    ]
    assert came_back == [None, None, "PW071", "PW071", "PW071"]
    assert sqlstate_of(lambda: _note(database)) == "PW071"
    assert state(database, jobs[4]) == "cancelled", "what was refused is as it was"
    by_operator = sqlstate_of(
        lambda: database.run("select jobs.retry(%s)", [jobs[4]], role="operator")
    )
    assert by_operator == "PW071", "the limit is the owner's, whichever login asks"


def test_a_retry_counts_as_an_enqueue_of_the_minute(database: Database) -> None:
    _quota(database, per_minute=2)
    job = _note(database, run_at="infinity")
    database.run("select jobs.cancel(%s)", [job])
    assert sqlstate_of(lambda: database.run("select jobs.retry(%s)", [job])) is None
    database.run("select jobs.cancel(%s)", [job])
    assert sqlstate_of(lambda: database.run("select jobs.retry(%s)", [job])) == "PW072"


def test_what_waits_for_its_minute_is_not_run_now(database: Database) -> None:
    _quota(database, per_minute=1, over_rate="wait")
    first, second = _note(database), _note(database)
    assert [state(database, job) for job in (first, second)][1] == "scheduled"
    assert sqlstate_of(lambda: database.run("select jobs.run_now(%s)", [second])) == "PW072"
    assert state(database, second) == "scheduled"
    _quota(database)
    assert database.value("select jobs.run_now(%s)", [second]) == "queued"


def test_a_retry_over_the_rate_waits(database: Database) -> None:
    job = _note(database, run_at="infinity")
    database.run("select jobs.cancel(%s)", [job])
    _quota(database, per_minute=1, over_rate="wait")
    _note(database)
    assert database.value("select jobs.retry(%s)", [job]) == "retrying"
    due = database.value(
        "select due_at - now() > interval '30 s' from jobs.queued where id = %s", [job]
    )
    assert (state(database, job), due) == ("scheduled", True)


def test_a_published_job_comes_back_within_the_limits_of_its_publication(
    database: Database,
) -> None:
    database.run("select jobs.publish('app.note', 'other', pending => 1)")
    call = "select jobs.enqueue_published('app.note', '{\"n\": 1}', run_at => 'infinity')"
    job = database.value(call, role="other")
    database.run("select jobs.cancel(%s)", [job])
    database.run(call, role="other")
    assert sqlstate_of(lambda: database.run("select jobs.retry(%s)", [job])) == "PW074"


LARGE = {"x": "y" * 300}


@pytest.mark.parametrize(
    "call",
    [
        lambda d: put(d, "app.note", {"n": 1}, settings={"my.own": "y" * 300}),
        lambda d: put(d, "app.note", {"n": 1}, note=LARGE),
        lambda d: put(d, "app.note", {"n": 1}, options={"title": "y" * 199}, note={"x": "y" * 30}),
        lambda d: put_many(d, "app.note", [{"n": 1}], note=Jsonb(LARGE)),
        lambda d: put_many(d, "app.note", [{"n": 1}], settings=Jsonb({"my.own": "y" * 300})),
        lambda d: put_sql(d, f"select 1 /* {'y' * 300} */"),
        lambda d: put_sql(d, "select 1", done_when=f"true /* {'y' * 300} */"),
        lambda d: put_sql(d, "select 1", rollback=f"select 2 /* {'y' * 300} */"),
        lambda d: put_sql(d, "select 1", options={"done_when": f"true /* {'y' * 300} */"}),
    ],
    ids=[
        "settings",
        "note",
        "options",
        "many note",
        "many settings",
        "text",
        "done_when",
        "rollback",
        "option",
    ],
)
def test_all_that_a_job_carries_counts_as_its_arguments(shared: Database, call) -> None:  # type: ignore[no-untyped-def]
    _quota(shared, args_bytes=200)
    try:
        assert put(shared, "app.note", {"n": 1}, settings={"my.own": "y"}, note={"x": "y"}) > 0
        assert put_sql(shared, "select 1", done_when="true", rollback="select 2") > 0
        assert sqlstate_of(lambda: call(shared)) == "PW070"
    finally:
        _quota(shared)


def test_so_it_is_with_a_publication(database: Database) -> None:
    database.run("select jobs.publish('app.note', 'other')")
    _quota(database, args_bytes=200)
    call = "select jobs.enqueue_published('app.note', '{\"n\": 1}', note => %s)"
    assert database.run(call, [Jsonb({"x": "y"})], role="other")
    assert sqlstate_of(lambda: database.run(call, [Jsonb(LARGE)], role="other")) == "PW070"


def test_a_session_cannot_hide_its_jobs_from_the_quota(database: Database) -> None:
    """A lane that sleeps is not counted until a nudge names it: no setting of a session keeps the
    nudge away.
    """
    make_lane(database)
    lane = database.admin("select id from jobs_internal.lane")[0][0]
    database.admin("update jobs_internal.lane set idle_state = 'idle', horizon_xid = null")
    _quota(database, pending=3)

    def flood() -> int:
        with database.connect() as line:
            line.execute("select set_config('pyworker.nudged', %s, false)", [str(lane)])
            stored = 0
            while stored < 10:
                if sqlstate_of(
                    lambda: line.execute("""select jobs.enqueue('app.note', '{"n": 1}')""")
                ):
                    break
                stored += 1
            return stored

    assert flood() == 3
    database.drain()
    assert database.admin("select count(*) from jobs.finished where task = 'app.note'") == [(3,)]


def test_a_lane_is_nudged_once_in_a_transaction_and_again_after_a_savepoint(
    database: Database,
) -> None:
    make_lane(database)
    database.admin("update jobs_internal.lane set idle_state = 'idle', horizon_xid = null")
    nudges = "select count(*) from jobs_internal.wakeup_request"
    with database.connect() as line:
        line.autocommit = False
        put = """select jobs.enqueue('app.note', '{"n": 1}')"""
        line.execute("savepoint s")
        line.execute(put)
        line.execute("rollback to s")
        line.execute(put)
        line.execute(put)
        line.commit()
    assert database.admin(nudges) == [(1,)]


@pytest.mark.parametrize("where", ["enqueue", "enqueue_many", "enqueue_sql", "by hand"])
def test_settings_are_bounded(shared: Database, where: str) -> None:
    """60 MB of them are no settings of a job: PW018, as for a note."""
    large = json.dumps({"my.own": "x" * 70_000})
    calls = {
        "enqueue": "select jobs.enqueue('pg_catalog.now', settings => %s)",
        "enqueue_many": (
            "select jobs.enqueue_many('pg_catalog.now', array['{}']::jsonb[], settings => %s)"
        ),
        "enqueue_sql": "select jobs.enqueue_sql('select 1', settings => %s)",
        "by hand": "select"
        " jobs_internal.store_job((jobs_internal.resolve('pg_catalog.now', '{}')).id,"
        " null, 'default',"
        " now(), null, null, null, 'normal', %s, '{}', '{}')",
    }
    assert sqlstate_of(lambda: shared.run(calls[where], [large])) == "PW018"


def test_large_statements_do_not_keep_their_session_from_starting_them(database: Database) -> None:
    """Their texts are read at the start of each, not for a whole claim: that read is a moment's."""
    body = f"select length('{'x' * 500_000}')"
    jobs = [put_sql(database, body, max_attempts=1) for _ in range(3)]
    database.drain()
    assert [state(database, job) for job in jobs] == ["succeeded"] * 3
    wait_until(lambda: not database.background())

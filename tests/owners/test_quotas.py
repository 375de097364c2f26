"""Quotas: what one owner may have of the system."""

import psycopg
import pytest
from stage import put, put_many, state, wait_for
from support import Database, sqlstate_of, wait_until


def _quota(database: Database, **limits: object) -> None:
    names = "".join(f", {name} => %({name})s" for name in limits)
    database.run(f"select jobs.set_quota('app'{names})", limits, role="operator")


def _note(database: Database, **options: object) -> int:
    return put(database, "app.note", {"n": 1}, **options)


def test_pending(database: Database) -> None:
    """Scheduled, queued and running jobs count, those of the open transaction too;
    finished ones do not.
    """
    _quota(database, pending=3)
    _note(database, run_at="infinity")
    _note(database)
    with database.connect() as line:
        line.autocommit = False
        line.execute("""select jobs.enqueue('app.note', '{"n": 1}')""")
        assert (
            sqlstate_of(lambda: line.execute("""select jobs.enqueue('app.note', '{"n": 1}')"""))
            == "PW071"
        )
    database.drain()
    assert _note(database) > 0
    assert sqlstate_of(lambda: put_many(database, "app.note", [{"n": 1}] * 2)) == "PW071"
    assert len(put_many(database, "app.note", [{"n": 1}])) == 1
    assert sqlstate_of(lambda: _note(database)) == "PW071"
    assert put(database, "pg_sleep", {"$1": 0}, role="other") > 0, "nobody else is concerned"
    row = database.record("select * from jobs.quotas")
    assert (row["owner"], row["pending"], row["jobs_pending"]) == ("app", 3, 3)
    assert database.run("select * from jobs.quotas", role="other") == []


def test_pending_is_counted_where_lanes_were_used_for_long(database: Database) -> None:
    """The distance from the first to the last message says too much: it is counted then."""
    _quota(database, pending=5)
    first = _note(database, run_at="infinity")
    for _ in range(4):
        for _ in range(4):
            _note(database)
        database.drain()
    database.run("select jobs.run_now(%s)", [first])
    for _ in range(4):
        _note(database)
    assert sqlstate_of(lambda: _note(database)) == "PW071"


def test_an_owner_without_any_session_is_told_so(database: Database) -> None:
    """The job, the health and jobs.start say what it waits for; nobody is called upon to start a
    supervisor.
    """
    job = _note(database)
    database.drain()
    job = _note(database)
    assert database.job(job)["waits_for"] == "no supervisor is connected"
    _quota(database, running=0)
    database.admin("update jobs_internal.lane set served_at = '2000-01-01'")
    lane = database.admin("select pgmq_queue from jobs_internal.lane")[0][0]
    database.admin(f"update pgmq.q_{lane} set vt = '2000-01-01', enqueued_at = '2000-01-01'")
    assert database.job(job)["waits_for"] == "the quota of its owner app allows no worker session"
    assert database.value("select jobs.start(3)") == 0
    health = {
        row[0]: row[1:]
        for row in database.admin('select "check", status, detail, remedy from jobs.health')
    }
    assert health["due jobs"][0] == "ok"
    assert health["owners"][:2] == ("warning", "their quota allows no worker session: app")
    assert "jobs.set_quota" in health["owners"][2]

    _quota(database, running=1)
    assert database.value("select jobs.start(3)") == 1
    assert wait_for(database, job)["state"] == "succeeded"
    assert database.admin("select status, remedy from jobs.health where \"check\" = 'owners'") == [
        ("ok", None)
    ]


def test_due_jobs_of_an_owner_with_a_quota_are_missed_as_others_are(database: Database) -> None:
    _note(database)
    database.drain()
    _note(database)
    _quota(database, running=2)
    database.admin("update jobs_internal.lane set served_at = '2000-01-01'")
    lane = database.admin("select pgmq_queue from jobs_internal.lane")[0][0]
    database.admin(f"update pgmq.q_{lane} set vt = '2000-01-01', enqueued_at = '2000-01-01'")
    assert database.admin("select status from jobs.health where \"check\" = 'due jobs'") == [
        ("critical",)
    ]


def test_a_quota_that_changes_nothing_is_no_deed(database: Database) -> None:
    calls = ("select jobs.set_quota('app')", "select jobs.set_quota('app', running => 3)")
    done = [
        database.value(call, role="operator")
        for call in (calls[0], *(2 * calls[1:]), *(2 * calls[:1]))
    ]
    assert done == [False, True, False, True, False]
    assert database.run("select count(*) from jobs.audit", role="operator") == [(2,)]
    waits = "select jobs.set_quota('app', running => 3, over_rate => 'wait')"
    assert sqlstate_of(lambda: database.run(waits, role="operator")) == "PW026"


def test_zero_pending_closes_enqueue(database: Database) -> None:
    """Also where the owner has had jobs for long: its lanes know of the quota."""
    _note(database)
    database.drain()
    _quota(database, pending=0)
    assert sqlstate_of(lambda: _note(database)) == "PW071"
    _quota(database)
    assert _note(database) > 0


def test_a_job_that_is_there_already_is_no_new_one(database: Database) -> None:
    _quota(database, pending=1)
    job = _note(database, unique_key="k")
    assert _note(database, unique_key="k") == job


def test_size_of_arguments(database: Database) -> None:
    _quota(database, args_bytes=30)
    assert put(database, "app.note", {"n": 12}) > 0
    assert sqlstate_of(lambda: put(database, "app.echo", {"what": "x" * 100})) == "PW070"
    assert (
        sqlstate_of(lambda: put_many(database, "app.echo", [{"what": "x"}, {"what": "x" * 100}]))
        == "PW070"
    )


def test_size_of_results(database: Database) -> None:
    _quota(database, result_bytes=1000)
    small = put(database, "repeat", {"$1": "x", "$2": 5}, max_attempts=1)
    large = put(database, "repeat", {"$1": "x", "$2": 5000}, max_attempts=1)
    database.drain()
    assert state(database, small) == "succeeded"
    assert database.job(large)["error"]["sqlstate"] == "PW040"


def test_jobs_per_minute_are_refused(database: Database) -> None:
    _quota(database, per_minute=2)
    _note(database)
    _note(database)
    assert sqlstate_of(lambda: _note(database)) == "PW072"
    database.admin("update jobs_internal.rate_use set at = at - interval '61 s'")
    assert _note(database) > 0


def test_or_wait(database: Database) -> None:
    _quota(database, per_minute=2, over_rate="wait")
    waits = [
        database.record(
            "select run_at - created_at as waits, state from jobs.job where id = %s",
            [_note(database)],
        )
        for _ in range(5)
    ]
    minutes = [round(one["waits"].total_seconds() / 60) for one in waits]
    assert minutes == [0, 0, 1, 1, 2]
    assert waits[-1]["state"] == "scheduled"


def test_running(database: Database) -> None:
    """No more worker sessions than that, whoever starts them."""
    _quota(database, running=1)
    database.admin("select pg_advisory_lock(4711)")
    jobs = [put(database, "pg_advisory_xact_lock", {"$1": 4711}) for _ in range(3)]
    database.run("select jobs.start(3)")
    wait_until(lambda: database.value("select count(*) from jobs.running") == 1)
    wait_until(lambda: len(database.background()) == 1)
    assert database.admin(
        "select session_demand, active_sessions from jobs_internal.session_demand()"
    ) == [(1, 1)]
    database.admin("select pg_advisory_unlock(4711)")
    for job in jobs:
        assert wait_for(database, job)["state"] == "succeeded"


def test_a_session_by_hand_beyond_the_quota_is_refused(database: Database) -> None:
    """The quota is asked when a session opens, whoever opens it. Another owner has its own."""
    _note(database)
    database.drain()
    _quota(database, running=1)
    opens = "select jobs_internal.open_session(jobs_internal.schema_version())"
    first, second, other = database.connect(), database.connect(), database.connect("other")
    first.execute(opens)
    assert sqlstate_of(lambda: second.execute(opens)) == "PW073"
    other.execute(opens)
    first.close()
    wait_until(lambda: sqlstate_of(lambda: second.execute(opens)) is None)


def test_history(database: Database) -> None:
    """An owner's finished jobs go by their number; those of others in the same queue stay."""
    _quota(database, history_rows=20)
    for _ in range(3):
        database.admin("select jobs_internal.maintain()")
    mine: list[int] = []
    for _ in range(6):
        mine += put_many(database, "app.note", [{"n": 1}] * 20)
        other = put(database, "pg_sleep", {"$1": 0}, role="other")
        database.drain()
        database.drain(role="other")
        database.admin(
            "update jobs_internal.history_bucket set opened_at = opened_at - interval '20 minutes'"
            " where left_at is null"
        )
        for _ in range(4):
            database.admin("select jobs_internal.maintain()")

    def kept() -> list[int]:
        database.admin("select jobs_internal.maintain()")
        return [row[0] for row in database.run("select id from jobs.finished order by id")]

    wait_until(lambda: len(kept()) < len(mine), 20)
    left = kept()
    assert left == mine[-len(left) :]
    assert len(left) >= 20
    assert state(database, other) == "succeeded"
    assert database.value("select count(*) from jobs.finished", role="other") == 6


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("PW026", "select jobs.set_quota('app', pending => -1)"),
        ("PW026", "select jobs.set_quota('app', result_bytes => 999)"),
        ("PW026", "select jobs.set_quota('app', over_rate => 'perhaps')"),
        ("PW075", "select jobs.set_quota('no such', pending => 1)"),
    ],
)
def test_refusals(database: Database, code: str, call: str) -> None:
    assert sqlstate_of(lambda: database.run(call, role="operator")) == code


def test_a_quota_is_kept_in_the_audit(database: Database) -> None:
    _quota(database, pending=3)
    _quota(database)
    rows = database.run(
        "select login, action, object, before ->> 'pending', after ->> 'pending' from jobs.audit"
        " order by id",
        role="operator",
    )
    assert rows == [
        ("operator", "set_quota", "role app", None, "3"),
        ("operator", "set_quota", "role app", "3", None),
    ]


def test_an_owner_that_holds_its_lanes_gets_a_quota_all_the_same(database: Database) -> None:
    """A claim in an open transaction locks them: neither the operator nor the quota waits
    for that.
    """
    _note(database)
    database.drain()
    _note(database)
    database.run("begin")
    session = database.value("select jobs_internal.open_session(jobs_internal.schema_version())")
    database.run("select jobs_internal.claim(%s, 0, null, false, 1)", [session])
    operator = database.connect("operator", lock_timeout="2s")
    operator.execute("select jobs.set_quota('app', pending => 1)")
    with database.connect() as other:
        assert (
            sqlstate_of(lambda: other.execute("""select jobs.enqueue('app.note', '{"n": 1}')"""))
            == "PW071"
        )
    database.run("rollback")


def test_the_limit_that_is_out_of_range_is_named(database: Database) -> None:
    with pytest.raises(psycopg.Error) as caught:
        database.run("select jobs.set_quota('app', pending => 5, per_minute => 0)", role="operator")
    assert caught.value.diag.message_primary == "per_minute in the quota of app cannot be 0"
    assert "1 and more" in str(caught.value.diag.message_detail)

"""A14: forged endings, figures, starts and log lines of an owner's own session."""

import random
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from stage import put, put_sql, state, wait_running
from support import Database, sqlstate_of, wait_until


def _running_by_hand(database: Database) -> tuple[int, int, int]:
    """Start a job alone in a session by hand; gives session, lane and job."""
    job = put(database, "app.note", {"n": 1})
    session = database.value("select jobs_internal.open_session(jobs_internal.schema_version())")
    lane, message, lease = database.run(
        "select c.lane_id, c.msg_ids[1], c.lease from jobs_internal.claim(%s, 0, null, false,"
        " 1) as c",
        [session],
    )[0]
    item = database.value(
        "select i::text from unnest(jobs_internal.open_chunk(%s, array[%s::bigint], %s, -1,"
        " false)) as i",
        [lane, message, lease],
    )
    begin = "select (jobs_internal.begin_alone(%s, %s, %s::jobs_internal.work_item)).mode"
    assert database.value(begin, [session, lane, item]) == "alone"
    return session, lane, job


@pytest.fixture(name="laned")
def _laned(database: Database) -> Database:
    """A database where app has a lane, and a function that is known to be short."""
    put(database, "app.note", {"n": 0})
    database.drain()
    return database


def _ending(job: int, **told: object) -> Jsonb:
    return Jsonb(
        {
            "job_id": job,
            "attempt": 1,
            "outcome": "succeeded",
            "started_at": "now",
            "finished_at": "now",
            **told,
        }
    )


FINISH_ALONE = (
    "select jobs_internal.finish_alone(%s, %s,"
    " jsonb_populate_record(null::jobs_internal.attempt_result, %s))"
)


FINISH_CHUNK = (
    "select jobs_internal.finish_chunk(%s, %s, '{}',"
    " array[jsonb_populate_record(null::jobs_internal.attempt_result, %s)])"
)


CLOSE = "select jobs_internal.close_session(%s, null)"


def test_a_result_larger_than_a_quota_is_not_kept(laned: Database) -> None:
    """A14: a session that writes its ending itself is held to the quota all the same."""
    laned.run("select jobs.set_quota('app', result_bytes => 1000)", role="operator")
    session, lane, job = _running_by_hand(laned)
    waiting = put(laned, "app.note", {"n": 2})
    large = [random.random() for _ in range(200)]  # what does not shrink
    assert (
        sqlstate_of(lambda: laned.run(FINISH_ALONE, [session, lane, _ending(job, result=large)]))
        == "PW040"
    )
    assert laned.run(FINISH_CHUNK, [session, lane, _ending(waiting, result=large)]) == [(False,)]
    assert laned.run(FINISH_CHUNK, [session, lane, _ending(waiting, result=large, logs=[])]) == [
        (False,)
    ]
    laned.run(FINISH_ALONE, [session, lane, _ending(job, result="x" * 900)])
    assert laned.result(job) == "x" * 900
    laned.run(CLOSE, [session])


FORGE_LINES = r"""do $$ declare
  v_line text := jsonb_build_object('message', repeat('z', 20000));
begin
  perform jobs.log('mine');
  for i in 1 .. 20 loop
    execute format('prepare pyworker_log_%s as select ''pyworker:%s''',
      lpad((100 + i)::text, 9, '0'),
      translate(encode(convert_to(v_line, 'UTF8'), 'base64'), E'\n', ''));
  end loop;
end $$"""


def test_forged_log_lines_are_bounded(laned: Database) -> None:
    """A14: more and longer lines than jobs.log writes, through every way in."""
    laned.run("select jobs.configure('log_lines', '3')", role="operator")
    lines = [{"message": "x" * 20_000, "fields": {"x": "y" * 20_000}}] * 50
    session, lane, job = _running_by_hand(laned)
    for line in [*lines[:10], {"message": "y"}]:
        laned.run("select jobs_internal.store_log_line(%s, 1, %s)", [job, Jsonb(line)])
    laned.run(FINISH_ALONE, [session, lane, _ending(job, logs=lines)])
    waiting = put(laned, "app.note", {"n": 2})
    laned.run(FINISH_CHUNK, [session, lane, _ending(waiting, logs=lines)])
    laned.run(CLOSE, [session])
    forger = put(laned, "app.run", {"what": FORGE_LINES})
    laned.drain()
    assert laned.result(forger) is None
    kept = laned.run(
        "select job_id, count(*), max(length(message)), max(length(fields::text))"
        " from jobs.log_lines group by 1 order by 1"
    )
    assert [row[0] for row in kept] == [job, waiting, forger]
    assert [row for row in kept if row[1] > 8 or row[2] > 8000 or (row[3] or 0) > 8000] == []


def test_what_another_attempt_says_is_not_taken_for_the_present_one(laned: Database) -> None:
    """A14: progress, log lines and endings of another attempt than the one that runs."""
    session, lane, job = _running_by_hand(laned)
    laned.run("select jobs_internal.store_progress(%s, 1, %s)", [job, "m" * 5000])
    for attempt in (-1, 0, 2, 1000):
        laned.run("select jobs_internal.store_progress(%s, %s, 'forged')", [job, attempt])
        laned.run(
            "select jobs_internal.store_log_line(%s, %s, %s)",
            [job, attempt, Jsonb({"message": "forged"})],
        )
        for query, arguments in (
            (FINISH_ALONE, [session, lane, _ending(job, attempt=attempt)]),
            ("select jobs_internal.fence(%s, %s, %s)", [session, job, attempt]),
        ):
            assert (
                sqlstate_of(lambda query=query, arguments=arguments: laned.run(query, arguments))
                == "PW041"
            )
        laned.run("select jobs_internal.requeue_uncharged(%s, %s, %s)", [session, job, attempt])
    assert laned.admin("select attempt, length(message) from jobs_internal.progress_message") == [
        (1, 1000)
    ]
    laned.run(FINISH_ALONE, [session, lane, _ending(job)])
    assert laned.run("select * from jobs.log_lines") == []
    # Once it is finished it is finished.
    assert (
        sqlstate_of(
            lambda: laned.run(FINISH_ALONE, [session, lane, _ending(job, outcome="failed")])
        )
        == "PW041"
    )
    assert laned.run(FINISH_CHUNK, [session, lane, _ending(job, outcome="failed")]) == [(False,)]
    assert laned.run("select state, attempt from jobs.job where id = %s", [job]) == [
        ("succeeded", 1)
    ]
    laned.run(CLOSE, [session])


ODD: dict[str, dict[str, Any]] = {
    "times without end": {"started_at": "-infinity", "finished_at": "infinity"},
    "times of another age": {"started_at": "4700-01-01 BC", "finished_at": "294276-01-01"},
    "no times": {"started_at": None, "finished_at": None},
    "figures": {
        "rows": -(2**63),
        "wal_bytes": 2**63 - 1,
        "buffers_hit": -1,
        "temp_bytes": 2**63 - 1,
        "child_pid": -1,
    },
    "an error beside success": {
        "error": {"sqlstate": "00000", "message": "\x1b[31m", "x": [1e300]}
    },
    "failed with odd times": {
        "outcome": "failed",
        "started_at": "infinity",
        "finished_at": "-infinity",
        "error": 5,
    },
    "timed out": {"outcome": "timed_out", "started_at": "-infinity", "finished_at": "infinity"},
    "lost": {"outcome": "lost", "queued_at": "infinity"},
    "in doubt": {"outcome": "in_doubt", "task": "x" * 100_000},
    "no such outcome": {"outcome": "perfect"},
    "no outcome": {"outcome": None},
}


def test_odd_endings_of_ones_own_hurt_nobody(laned: Database) -> None:
    """A14: whatever a session says of its own attempts, views, supervisors and other
    owners go on.
    """
    theirs = put(laned, "other.work", role="other")
    supervisor = laned.value(
        "select jobs_internal.supervisor_open('x', 'x', 1, 'x')", role="supervisor"
    )
    views = [
        row[0]
        for row in laned.admin(
            "select relname from pg_class where relnamespace = 'jobs'::regnamespace"
        )
    ]
    for name, odd in ODD.items():
        session, lane, job = _running_by_hand(laned)
        waiting = put(laned, "app.note", {"n": 2})
        for query, arguments in (
            (FINISH_CHUNK, [session, lane, _ending(waiting, **odd)]),
            (FINISH_ALONE, [session, lane, _ending(job, **odd)]),
        ):
            sqlstate_of(lambda query=query, arguments=arguments: laned.run(query, arguments))
        pid = laned.line().info.backend_pid
        laned.line().close()
        wait_until(
            lambda pid=pid: not laned.admin("select 1 from pg_stat_activity where pid = %s", [pid])
        )
        # As the gateway does and reads.
        laned.run("select jobs_internal.supervisor_tick(%s)", [supervisor], role="supervisor")
        assert laned.run("select * from jobs_internal.take_outcomes(1000)", role="supervisor"), name
        laned.run("select jobs_internal.maintain()", role="supervisor")
        for role in ("operator", "other", "reader"):
            for view in views:
                query = f"select v::text from jobs.{view} as v"
                code = sqlstate_of(lambda query=query, role=role: laned.run(query, role=role))
                assert code in (None, "42501"), (name, view, role)
        laned.admin("delete from jobs_internal.job where owner = 'app'::regrole")
        laned.admin(f"delete from pgmq.q_pyworker_{lane}")
    laned.drain(role="other")
    assert state(laned, theirs) == "succeeded"


def test_a_start_that_is_not_committed_holds_up_nobody_elses_index(laned: Database) -> None:
    """A14, A19: starts of index builds come one after another, of one owner: one that is open stops
    no other owner.
    """
    theirs = put_sql(laned, "create index concurrently on other.ledger (n)", role="other")
    index = put_sql(laned, "create index concurrently on app.ledger (n)")
    session = laned.value("select jobs_internal.open_session(jobs_internal.schema_version())")
    laned.run("begin")
    lane, message, lease = laned.run(
        "select c.lane_id, c.msg_ids[1], c.lease from jobs_internal.claim(%s, 0, null, false,"
        " 1) as c",
        [session],
    )[0]
    item = laned.value(
        "select i::text from unnest(jobs_internal.open_chunk(%s, array[%s::bigint], %s, -1,"
        " false)) as i",
        [lane, message, lease],
    )
    begin = "select (jobs_internal.begin_alone(%s, %s, %s::jobs_internal.work_item)).mode"
    assert laned.value(begin, [session, lane, item]) == "child"
    laned.run("select jobs.start()", role="other")
    wait_running(laned, theirs)
    laned.run("rollback")
    laned.run(CLOSE, [session])
    laned.drain(role="other")
    laned.drain()
    assert [state(laned, job) for job in (theirs, index)] == ["succeeded", "succeeded"]

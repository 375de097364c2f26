"""Whom a crash of the server is blamed on: sessions that a crash has left behind are written by
hand, then judged.
"""

import pytest
from stage import attempts, ledger, make_lane, put, state
from support import Database


def leave_behind(database: Database, job: int, *, crashes: int, isolated_crashes: int = 0) -> int:
    """Write what a crash leaves of a job that ran alone in an earlier life of the server;
    gives its session.
    """
    session = database.admin(
        "insert into jobs_internal.session (owner, pid, backend_start, epoch, job_id, attempt)"
        " select owner, -id, now(), '2020-01-01', id, 1 from jobs_internal.job where id = %s"
        " returning id",
        [job],
    )[0][0]
    database.admin("delete from pgmq.q_pyworker_1 where (message ->> 'job')::bigint = %s", [job])
    database.admin(
        "update jobs_internal.job set state = 'running', msg_id = null, session_id = %s,"
        " attempt = 1, crashes = %s,"
        " isolated_crashes = %s, crash_ran = '1 s', started_at = now() where id = %s",
        [session, crashes, isolated_crashes, job],
    )
    return int(session)


@pytest.mark.parametrize(
    ("beside", "isolated_crashes", "convicted"),
    [(None, 0, True), (0, 0, False), (1, 0, False), (0, 1, True)],
    ids=[
        "alone",
        "beside a new one",
        "beside a suspect whose time was over",
        "for the second time",
    ],
)
def test_the_one_on_trial(
    database: Database, beside: int | None, isolated_crashes: int, *, convicted: bool
) -> None:
    make_lane(database)
    on_trial = put(database, "app.note", {"n": 1}, max_attempts=2)
    other = put(database, "app.note", {"n": 2}, max_attempts=2)
    session = leave_behind(database, on_trial, crashes=1, isolated_crashes=isolated_crashes)
    if beside is not None:
        leave_behind(database, other, crashes=beside)
    database.admin(
        "update jobs_internal.server set epoch = '2020-01-01', isolated_session = %s,"
        " isolated_job = %s,"
        " isolated_attempt = 1, isolated_until = now() + interval '5 s'",
        [session, on_trial],
    )
    database.drain()
    assert state(database, on_trial) == ("failed" if convicted else "succeeded")
    assert attempts(database, on_trial) == [(1, "lost" if convicted else "succeeded")]
    assert attempts(database, other) == [(1, "succeeded")]
    assert ledger(database) == ([2] if convicted else [1, 2])

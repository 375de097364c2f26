"""Rounds of a supervisor in which much fails, or takes too long."""

from collections.abc import Callable

import pytest
from stage import gate_shut, put, state, wait_at_gate
from support import Database, wait_until

from .byhand import Worker
from .rounds import failures, health, hold, open_supervisor, others_go_on, retry_now


def test_a_crash_is_looked_into_though_a_suspect_is_held(
    database: Database, rounds: Callable[[], None]
) -> None:
    """An owner holds the row of a job that ran when the server crashed: the crash is noted,
    and all else goes on.
    """
    worker = Worker(database=database)
    job = put(database, "app.note", {"n": 1}, max_attempts=5)
    rounds()
    worker.start_first()
    holder = hold(database, "select 1", role="postgres")
    holder.execute("select from jobs_internal.job where id = %s for update", [job])
    worker.die()
    database.admin("update jobs_internal.session set epoch = epoch - interval '1 hour'")
    database.admin("update jobs_internal.server set epoch = epoch - interval '1 hour'")
    rounds()
    assert database.admin("select epoch = jobs_internal.epoch() from jobs_internal.server") == [
        (True,)
    ]
    others_go_on(database)
    holder.execute("rollback")
    retry_now(database)
    rounds()
    assert state(database, job) in ("scheduled", "queued")


def test_figures_that_a_session_writes_by_hand(
    database: Database, rounds: Callable[[], None]
) -> None:
    """Minutes and sums of an hour ago, held open: maintenance leaves them for the next time."""
    worker = Worker(database=database)
    database.admin(
        "insert into jobs_internal.queue_minute_stats (queue_id, minute, session_id, succeeded,"
        " failed)"
        " values (1, now() - interval '2 hours', %s, 1, 0)",
        [worker.number],
    )
    holder = hold(
        database, "update jobs_internal.queue_minute_stats set succeeded = 2", role="postgres"
    )
    rounds()
    holder.execute("rollback")
    rounds()
    assert database.admin(
        "select count(*) from jobs_internal.queue_minute_stats where minute < now() - interval"
        " '1 hour'"
    ) == [(0,)]


def _die(database: Database, count: int) -> None:
    """Leave so many sessions that are dead, each in the middle of a job."""
    database.admin(
        "insert into jobs_internal.session (owner, pid, backend_start, epoch, job_id, attempt)"
        " select 'app'::regrole, 1, now() + g * interval '1 ms', jobs_internal.epoch(),"
        " 10000 + g, 1"
        " from generate_series(1, %s) as g",
        [count],
    )
    database.admin(
        "insert into jobs_internal.job (id, queue_id, owner, priority, state, attempt,"
        " max_attempts, run_at,"
        " created_at, started_at, session_id)"
        " select s.job_id, 1, s.owner, 1, 'running', 1, 3, now(), now(), now(), s.id"
        " from jobs_internal.session as s where s.job_id > 10000"
    )


def test_a_round_begins_no_item_after_forty_subtransactions(database: Database) -> None:
    """Each item has a savepoint of its own; more than 64 in a transaction would slow every session
    of the server.
    """
    with database.connect("postgres") as line, line.transaction():
        line.execute("create temp table done (n integer)")
        for count, room in ((39, True), (1, False)):
            line.execute(
                f"do $$ begin for n in 1 .. {count} loop begin insert into done values (n);"
                " exception when others then raise; end; end loop; end $$".encode()
            )
            assert line.execute("select jobs_internal.has_room('infinity')").fetchall() == [(room,)]


@pytest.mark.parametrize("kind", ["sessions", "lanes"])
@pytest.mark.timeout(400)
def test_a_tick_of_a_thousand_failing_items_is_short(
    database: Database, rounds: Callable[[], None], kind: str
) -> None:
    """What fails is tried again a few at a time, and only now and then."""
    if kind == "lanes":
        database.admin(
            "insert into jobs_internal.queue (name) select 'q' || g from generate_series(1,"
            " 1000) as g;"
            " select jobs_internal.enter_class(id) from jobs_internal.queue where name <> 'default'"
        )
        database.admin(
            "insert into jobs_internal.job (id, queue_id, owner, priority, state, max_attempts,"
            " run_at, due_at,"
            " created_at)"
            " select nextval('jobs_internal.job_id_seq'), q.id, 'app'::regrole, 1, 'scheduled', 3,"
            " now(), now(), now()"
            " from jobs_internal.queue as q where q.name <> 'default'"
        )
        holder = hold(database, "select jobs_internal.dispatch_mine()")
    else:
        _die(database, 1000)
        holder = hold(
            database,
            "select count(*) from (select from jobs_internal.job for update) as j",
            role="postgres",
        )
    line = database.connect("supervisor")
    number = open_supervisor(line)
    line.execute("set statement_timeout = '2 s'")
    for _ in range(12):
        line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    others = put(database, "pg_catalog.now", role="other", run_at="2000-01-01", priority="high")
    line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    assert state(database, others) == "queued"
    assert len(failures(database)) > 12
    holder.execute("rollback")


def test_a_part_that_was_cut_off_waits_its_turn(
    database: Database, rounds: Callable[[], None]
) -> None:
    """It would take as long again; other parts that fail are tried in each round."""
    rounds()
    due = database.admin(
        "insert into jobs_internal.job (id, queue_id, owner, priority, state, max_attempts,"
        " run_at, due_at, created_at)"
        " select nextval('jobs_internal.job_id_seq'), 1, 'other'::regrole, 1, 'scheduled', 3,"
        " now(), now(), now()"
        " returning id"
    )[0][0]
    database.admin(
        "insert into jobs_internal.duty_failure (duty, item, error, retry_at) values"
        ' (\'round\', \'dispatch\', \'{"sqlstate": "57014", "message": "cut off"}\', '
        " clock_timestamp() + interval '5 min')"
    )
    rounds()
    assert state(database, due) == "scheduled"
    assert "dispatch" in health(database)[1]
    retry_now(database)
    rounds()
    assert state(database, due) == "queued"
    assert failures(database) == []


def test_a_job_at_the_gate_goes_on_while_rounds_meet_its_locks(
    database: Database, rounds: Callable[[], None]
) -> None:
    """A round beside a job that works in a real session changes nothing for it."""
    with gate_shut(database):
        job = put(database, "app.gate", {"n": 1}, settings={"work_mem": "1MB"})
        rounds()
        database.run("select jobs.start()")
        wait_at_gate(database)
        rounds()
        assert state(database, job) == "running"
    wait_until(lambda: state(database, job) == "succeeded")

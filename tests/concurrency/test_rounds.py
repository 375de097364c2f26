"""K1: what one owner holds open, by hand or by accident, stops no round of a supervisor and no
other owner.
"""

from collections.abc import Callable, Iterator

import pytest
from psycopg import Connection
from stage import gate_shut, know_as_short, make_lane, put, put_many, put_sql, state, wait_at_gate
from support import Database, Row, wait_until

from .byhand import Worker

FAILURES = (
    "select duty, item, owner::regrole::text, error ->> 'sqlstate' from jobs_internal.duty_failure"
    " order by 1, 2"
)
HELD = "55P03"


@pytest.fixture
def rounds(database: Database) -> Iterator[Callable[[], None]]:
    """A supervisor's whole round, which must not wait: tick, press, outcomes,
    maintenance and a fresh registration.
    """
    make_lane(database)
    make_lane(database, role="other")
    line = database.connect("supervisor")
    number = _open(line)

    def rounds() -> None:
        _every_round(line, number)
        _open(database.connect("supervisor"))

    yield rounds
    line.close()


def _open(line: Connection[Row]) -> int:
    row = line.execute("select jobs_internal.supervisor_open('one', 'here', 1, '1')").fetchone()
    assert row
    return int(row[0])


def _every_round(line: Connection[Row], number: int) -> None:
    line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    line.execute("select jobs_internal.supervisor_send_stop_signals(%s)", [number])
    line.execute("select jobs_internal.take_outcomes(1000)")
    line.execute("select jobs_internal.supervisor_sleep(%s, true)", [number])
    line.execute("select jobs_internal.supervisor_sleep(%s, false)", [number])
    line.execute("select jobs_internal.maintain()")


def hold(database: Database, *statements: str, role: str = "app") -> Connection[Row]:
    """Do something in a transaction that stays open; a thousand lanes take their time on a machine
    that works.
    """
    line = database.connect(role, statement_timeout="200s")
    line.execute("begin")
    for statement in statements:
        line.execute(statement.encode())
    return line


def others_go_on(database: Database) -> None:
    """Enqueue as somebody else; a supervisor's round has to bring it to its lane."""
    job = put(database, "pg_catalog.now", role="other")
    database.run("select jobs.start()", role="other")
    wait_until(lambda: state(database, job) == "succeeded")


def failures(database: Database) -> list[Row]:
    return database.admin(FAILURES)


def persist(database: Database, rounds: Callable[[], None]) -> None:
    """Let what fails now fail a few times: a lock that is held for a moment is not spoken of."""
    for _ in range(3):
        retry_now(database)
        rounds()


def retry_now(database: Database) -> None:
    database.admin("update jobs_internal.duty_failure set retry_at = clock_timestamp()")


def health(database: Database) -> tuple[str, str]:
    row = database.admin("select status, detail from jobs.health where \"check\" = 'rounds'")[0]
    return row[0], row[1]


def test_a_lane_that_an_open_transaction_makes(
    database: Database, rounds: Callable[[], None]
) -> None:
    """An application enqueues, starts, and does not commit; the same owner enqueues once more."""
    database.admin("select jobs.create_queue('fresh')")
    holder = hold(
        database, "select jobs.enqueue('pg_catalog.now', queue => 'fresh'); select jobs.start()"
    )
    mine = put(database, "pg_catalog.now", queue="fresh")
    theirs = put(database, "pg_catalog.now", queue="fresh", role="other")
    rounds()
    assert state(database, theirs) == "queued"
    others_go_on(database)
    if state(database, mine) == "scheduled":
        assert [(row[0], row[2], row[3]) for row in failures(database)] == [("lanes", "app", HELD)]
        persist(database, rounds)
        status, detail = health(database)
        assert status == "warning"
        assert "app" in detail
        assert "fresh" in detail
    holder.execute("commit")
    retry_now(database)
    rounds()
    database.drain()
    assert state(database, mine) == "succeeded"
    assert failures(database) == []
    assert health(database)[0] == "ok"


def test_a_lane_is_held_by_hand(database: Database, rounds: Callable[[], None]) -> None:
    """The same by the owner's own call: named with its error, and tried again."""
    database.admin("select jobs.create_queue('fresh')")
    mine = put(database, "pg_catalog.now", queue="fresh")
    holder = hold(database, "select jobs_internal.dispatch_mine()")
    late = put(database, "pg_catalog.now", queue="fresh")
    rounds()
    others_go_on(database)
    assert [(row[0], row[2], row[3]) for row in failures(database)] == [("lanes", "app", HELD)]
    persist(database, rounds)
    assert health(database)[0] == "warning"
    assert "app" in health(database)[1]
    holder.execute("rollback")
    retry_now(database)
    rounds()
    assert [state(database, job) for job in (mine, late)] == ["queued"] * 2
    assert failures(database) == []


def test_progress_of_a_job_whose_session_dies(
    database: Database, rounds: Callable[[], None]
) -> None:
    worker = Worker(database=database)
    job = put(database, "app.note", {"n": 1})
    rounds()
    worker.start_first()
    database.run("select jobs_internal.store_progress(%s, 1, 'x')", [job])
    holder = hold(database, f"select jobs_internal.store_progress({job}, 1, 'x')")
    worker.die()
    rounds()
    others_go_on(database)
    assert state(database, job) == "running"
    assert [(row[0], row[2]) for row in failures(database)] == [("rescue", "app")]
    holder.execute("rollback")
    retry_now(database)
    rounds()
    assert state(database, job) in ("scheduled", "queued")
    assert failures(database) == []


def test_a_statement_that_is_marked(database: Database, rounds: Callable[[], None]) -> None:
    worker = Worker(database=database)
    job = put_sql(database, "select 1", max_attempts=1)
    rounds()
    worker.start_first()
    holder = hold(database, f"select jobs_internal.mark_top_level({job})")
    worker.die()
    rounds()
    others_go_on(database)
    assert state(database, job) == "running"
    holder.execute("rollback")
    retry_now(database)
    rounds()
    assert state(database, job) == "failed"


def test_a_slot_of_a_dead_session_is_given_back_though_its_job_is_held(
    database: Database, rounds: Callable[[], None]
) -> None:
    """The slots of a queue are everybody's: what the owner holds of its job keeps none of them."""
    worker = Worker(database=database)
    job = put(database, "app.note", {"n": 1})
    rounds()
    worker.start_first()
    assert database.admin(
        "select count(*) from jobs_internal.slot where session_id is not null"
    ) == [(1,)]
    holder = hold(database, f"select jobs_internal.store_progress({job}, 1, 'x')")
    worker.die()
    rounds()
    assert database.admin(
        "select count(*) from jobs_internal.slot where session_id is not null"
    ) == [(0,)]
    holder.execute("rollback")


def test_a_reason_that_a_session_writes_by_hand(
    database: Database, rounds: Callable[[], None]
) -> None:
    """signal_late_child in an open transaction: no tick and no press waits for its row."""
    worker = Worker(database=database)
    job = put(database, "app.note", {"n": 1}, timeout="10 ms")
    rounds()
    worker.start_first()
    database.admin(
        "update jobs_internal.job set started_at = started_at - interval '1 minute' where id = %s",
        [job],
    )
    worker.begin()
    worker.ask(f"select jobs_internal.signal_late_child({worker.number}, {job}, 1)")
    rounds()
    others_go_on(database)
    worker.rollback()
    wait_until(
        lambda: (
            (rounds(), database.admin("select reason from jobs_internal.stop_request"))[1]
            == [("timed_out",)]
        )
    )


def test_a_claim_that_stays_open_over_a_lane_that_sleeps(
    database: Database, rounds: Callable[[], None]
) -> None:
    database.admin("update jobs_internal.lane set idle_state = 'idle' where owner = 'app'::regrole")
    put(database, "app.note", {"n": 1})
    worker = Worker(database=database)
    worker.begin()
    assert worker.claim()
    rounds()
    others_go_on(database)
    worker.commit()


def test_a_chunk_on_the_messages_of_a_dead_session(
    database: Database, rounds: Callable[[], None]
) -> None:
    """Each of six dead sessions would be waited for, three seconds each."""
    put_many(database, "app.note", [{"n": n} for n in range(10)])
    know_as_short(database)
    rounds()
    dead = [Worker(database=database) for _ in range(6)]
    claims = [(worker.claim(1), worker.lane, worker.lease) for worker in dead]
    holder = hold(
        database,
        *(
            f"select jobs_internal.open_chunk({lane}, array{messages}::bigint[], '{lease}', 10)"
            for messages, lane, lease in claims
        ),
    )
    for worker in dead:
        worker.die()
    rounds()
    others_go_on(database)
    assert {row[0] for row in failures(database)} == {"rescue"}
    holder.execute("rollback")
    retry_now(database)
    rounds()
    assert database.admin("select count(*) from jobs_internal.session") == [(0,)]
    database.drain()
    assert len(database.admin("select n from app.ledger")) == 10


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
    number = _open(line)
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

"""K1: what one owner holds open, by hand or by accident, stops no round of a supervisor and no
other owner.
"""

from collections.abc import Callable

from stage import know_as_short, put, put_many, put_sql, state
from support import Database, wait_until

from .byhand import Worker
from .rounds import HELD, failures, health, hold, others_go_on, persist, retry_now


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

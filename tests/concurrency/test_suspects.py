"""After a crash those jobs are suspects that may have run, whatever a claim had passed over."""

import pytest
from stage import know_as_short, ledger, put_many
from support import Database, wait_until

DOOR = """
create function app.door(n integer, key integer) returns integer language plpgsql as $$ begin
  insert into app.ledger (n) values (door.n);
  perform pg_advisory_xact_lock(key) where key > 0;
  return n;
end $$
"""


@pytest.fixture(autouse=True)
def door(database: Database) -> None:
    """A function that is known to be short, and waits where it is told to."""
    database.run(DOOR)
    put_many(database, "app.door", [{"n": -1, "key": 0}])
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")


def wait_at_door(database: Database, key: int) -> None:
    waiting = (
        "select 1 from pg_locks where locktype = 'advisory' and objid = %s and not granted"
        " and database = (select oid from pg_database where datname = current_database())"
    )
    wait_until(lambda: database.admin(waiting, [key]))


def test_the_job_that_runs_is_one_where_many_were_passed_over(database: Database) -> None:
    """Messages that others lock stay in front of a claim, more of them than a chunk holds."""
    # one that waited for long would be the last of its claim
    for name in ("chunk_ms", "short_ms"):
        database.admin("select jobs.configure(%s, '60000')", [name])
    keys = [0] * 400 + [1] + [0] * 100 + [2] * 1000
    put_many(database, "app.door", [{"n": n, "key": key} for n, key in enumerate(keys)])
    queue = database.admin("select 'pgmq.q_' || pgmq_queue from jobs_internal.lane")[0][0]
    claimed = (
        "select array_agg(msg_id) from (select q.msg_id"
        " from {} as q join jobs_internal.session as s"
        " on q.msg_id = any (s.msg_ids) and q.vt = s.lease order by q.msg_id limit 120"
        " for update of q skip locked) as q"
    )
    with (
        database.server.connect("postgres", database.name) as doors,
        database.server.connect("postgres", database.name) as others,
    ):
        doors.execute("select pg_advisory_lock(1), pg_advisory_lock(2)")
        database.run("select jobs.start()")
        wait_at_door(database, 1)
        others.execute("begin")
        locked = others.execute(claimed.format(queue).encode()).fetchone()
        assert locked is not None
        assert len(locked[0]) == 120, "what stands behind the open chunk"
        doors.execute("select pg_advisory_unlock(1)")
        wait_at_door(database, 2)
        ((running,),) = database.admin("select id from jobs.running")
        ((suspects,),) = database.admin(
            "select jobs_internal.chunk_of(s) from jobs_internal.session as s"
        )
        assert running in suspects
        others.execute("rollback")
        doors.execute("select pg_advisory_unlock(2)")
        wait_until(lambda: not database.background())
    # what was locked for longer than a session waits for it would come with the end of its lease
    database.admin(f"update {queue} set vt = clock_timestamp()")
    database.drain()
    assert ledger(database) == list(range(len(keys)))

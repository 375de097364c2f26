"""Scheduled jobs that are due go in turn by owner: what one has due does not keep another
waiting.
"""

from stage import make_lane, put
from support import Database

FLOOD = (
    "select count(*) from jobs.enqueue_many('pg_catalog.now', array_fill('{}'::jsonb, array[%s]),"
    " run_at => '2999-01-01')"
)
DUE = (
    "update jobs_internal.job set due_at = now() - interval '1 minute' where due_at is not null and"
    " owner = %s::regrole"
)


def _scheduled(database: Database, role: str) -> int:
    return int(
        database.admin(
            "select count(*) from jobs_internal.job where due_at is not null and"
            " owner = %s::regrole",
            [role],
        )[0][0]
    )


def test_one_job_behind_a_flood_of_another_owner(database: Database) -> None:
    make_lane(database)
    make_lane(database, role="other")
    database.run(FLOOD, [300])
    put(database, "pg_catalog.now", role="other", run_at="2999-01-01")
    database.admin(DUE, ["app"])
    database.admin("update jobs_internal.job set due_at = now() where owner = 'other'::regrole")
    assert database.admin("select jobs_internal.dispatch(null, 100)") == [(100,)]
    assert _scheduled(database, "other") == 0, (
        "it was due last, and is in its lane with the first hundred"
    )
    assert _scheduled(database, "app") == 201, "what it leaves of its share goes to the other"
    database.admin("select jobs_internal.dispatch(null, 1000)")
    assert _scheduled(database, "app") == 0
    database.drain()
    database.drain(role="other")


def test_the_oldest_of_each_owner_first(database: Database) -> None:
    make_lane(database)
    ids = [put(database, "pg_catalog.now", run_at="2999-01-01") for _ in range(4)]
    database.admin(
        "update jobs_internal.job set due_at = now() - interval '1 s' *"
        " array_position(%s::bigint[], id)",
        [ids],
    )
    assert database.admin("select jobs_internal.dispatch(null, 2)") == [(2,)]
    left = database.admin("select id from jobs_internal.job where due_at is not null order by id")
    assert left == [(ids[0],), (ids[1],)]
    database.admin("select jobs_internal.dispatch()")
    database.drain()


READ = "select pg_stat_get_xact_tuples_returned(%s) + pg_stat_get_xact_tuples_fetched(%s)"


def reads(database: Database, call: str, end: str) -> tuple[int, int]:
    """Do a call in a transaction; gives its value, and the most that it read of the jobs that are
    due, by the table or by its index.
    """
    numbers = database.admin(
        "select unnest(array['jobs_internal.job', 'jobs_internal.job_due_idx'])::regclass::oid"
    )
    with database.connect("postgres") as line:
        line.execute("begin")
        value = line.execute(call.encode()).fetchone()
        read = [line.execute(READ, row + row).fetchone() for row in numbers]
        line.execute(end.encode())
    assert value is not None
    return value[0], max(int(row[0]) for row in read if row is not None)


def test_lanes_that_are_there_are_not_looked_for_at_every_due_job(database: Database) -> None:
    """However much of an owner's is due, a look for lanes costs what one round moves;
    and what is new is found.
    """
    make_lane(database)
    database.run(FLOOD, [40000])
    database.admin(DUE, ["app"])
    database.admin("analyze jobs_internal.job")
    put(database, "pg_catalog.now", role="other", run_at="2999-01-01")
    database.admin(DUE, ["other"])
    made, read = reads(database, "select jobs_internal.make_lanes()", "commit")
    assert made == 1
    assert read < 25000
    assert database.admin("select jobs_internal.dispatch(null, 100)") == [(100,)]
    database.admin("delete from jobs_internal.job where due_at is not null")
    database.drain(role="other")
    database.drain()


def test_a_round_reads_what_it_moves(database: Database) -> None:
    """However much is due: not all of it, sorted anew for each part that goes."""
    make_lane(database)
    database.run(FLOOD, [20000])
    database.admin(DUE, ["app"])
    moved, read = reads(
        database, "select jobs_internal.move_due(null, null, '{}', 100)", "rollback"
    )
    assert moved == 100
    assert read < 1000
    database.admin("delete from jobs_internal.job where due_at is not null")
    database.drain()

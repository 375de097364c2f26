"""The server's clock is set back: what was enqueued by the old time does not wait until it
comes again.
"""

from stage import drain_once, make_lane, put
from support import Database


def test_messages_from_the_future_are_seen_at_the_next_round(database: Database) -> None:
    make_lane(database)
    job = put(database, "app.nap", {"seconds": 0, "n": 1})
    of_job = (
        "select pgmq_queue from jobs_internal.lane join jobs_internal.job as j on"
        " j.lane_id = lane.id"
    )
    lane = database.admin(of_job)[0][0]
    future = f"update pgmq.q_{lane} set vt = clock_timestamp() + interval '1 hour'"
    leased = f"update pgmq.q_{lane} set vt = clock_timestamp() + interval '30 s'"
    hidden = f"select 1 from pgmq.q_{lane} where vt > clock_timestamp()"
    database.admin(leased)
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden), "a lease is left alone"
    database.admin(future)
    # the last look
    database.admin("update jobs_internal.server set clock = clock_timestamp() + interval '1 hour'")
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert not database.admin(hidden)
    drain_once(database)
    assert database.value("select state from jobs.job where id = %s", [job]) == "succeeded"


def _hide(database: Database, looked: str, count: int = 1) -> str:
    """Make messages that an old clock hides, after a look at that time; gives the query for those
    still hidden.
    """
    make_lane(database)
    database.run(
        "select count(jobs.enqueue('app.note', '{\"n\": 1}')) from generate_series(1, %s)", [count]
    )
    lane = database.admin("select pgmq_queue from jobs_internal.lane")[0][0]
    database.admin(f"update pgmq.q_{lane} set vt = clock_timestamp() + interval '1 hour'")
    database.admin(f"update jobs_internal.server set clock = clock_timestamp() {looked}")
    return f"select count(*) from pgmq.q_{lane} where vt > clock_timestamp()"


def test_a_step_while_no_supervisor_ran_is_found_by_the_next(database: Database) -> None:
    hidden = _hide(database, "- interval '2 minutes'")
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(0,)]
    database.drain()


def test_no_lane_is_read_where_the_clock_went_on(database: Database) -> None:
    """A round looks every ten seconds; a lane may have a million messages."""
    hidden = _hide(database, "- interval '20 seconds'")
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(1,)]
    database.admin("update jobs_internal.server set clock = null")
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(0,)]
    database.drain()


def test_more_than_a_round_can_mend_are_mended_by_the_next_ones(database: Database) -> None:
    hidden = _hide(database, "+ interval '1 hour'", 5500)
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(500,)]
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(0,)]
    database.drain(timeout=60)


def test_a_supervisor_goes_on_only_where_it_was_the_last_to_look(database: Database) -> None:
    """It remembers how far it came; another one that has looked since then has begun anew,
    and so does the next.
    """
    database.run("select jobs.create_queue('second')", role="operator")
    make_lane(database)
    make_lane(database, queue="second")
    first, second = (
        queue
        for (queue,) in database.admin("select pgmq_queue from jobs_internal.lane order by id")
    )
    put(database, "app.note", {"n": 1})
    database.run(
        "select jobs.enqueue_many('app.note', array_fill('{\"n\": 2}'::jsonb, array[5500]),"
        " 'second')"
    )
    hide = "update pgmq.q_{} set vt = clock_timestamp() + interval '1 hour'"
    stepped = "update jobs_internal.server set clock = clock_timestamp() + interval '1 hour'"
    hidden = (
        f"select (select count(*) from pgmq.q_{first} where vt > clock_timestamp()),"
        f" (select count(*) from pgmq.q_{second} where vt > clock_timestamp())"
    )
    one, other = database.connect("postgres"), database.connect("postgres")
    for statement in (hide.format(first), hide.format(second), stepped):
        database.admin(statement)
    one.execute("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(0, 500)]
    other.execute("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(0, 0)]
    for statement in (hide.format(first), stepped):
        database.admin(statement)
    one.execute("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(0, 0)]
    database.drain(timeout=60)


def test_a_lane_that_was_locked_is_mended_afterwards(database: Database) -> None:
    hidden = _hide(database, "+ interval '1 hour'")
    lane = database.admin("select pgmq_queue from jobs_internal.lane")[0][0]
    with database.connect("postgres") as holder, holder.transaction():
        holder.execute(f"lock table pgmq.q_{lane} in share mode")
        database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(1,)]
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden) == [(0,)]
    database.drain()

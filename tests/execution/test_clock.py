"""The server's clock is set back: what was enqueued by the old time does not wait until it comes again."""

from stage import drain_once, make_lane, put
from support import Database


def test_messages_from_the_future_are_seen_at_the_next_round(database: Database) -> None:
    make_lane(database)
    job = put(database, "app.nap", {"seconds": 0, "n": 1})
    of_job = "select pgmq_queue from jobs_internal.lane join jobs_internal.job as j on j.lane_id = lane.id"
    lane = database.admin(of_job)[0][0]
    future = f"update pgmq.q_{lane} set vt = clock_timestamp() + interval '1 hour'"
    leased = f"update pgmq.q_{lane} set vt = clock_timestamp() + interval '30 s'"
    hidden = f"select 1 from pgmq.q_{lane} where vt > clock_timestamp()"
    database.admin(leased)
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert database.admin(hidden), "a lease is left alone"
    database.admin(future)
    database.admin("update jobs_internal.server set clock = clock_timestamp() + interval '1 hour'")  # the last look
    database.admin("select jobs_internal.supervisor_tick(0)")
    assert not database.admin(hidden)
    drain_once(database)
    assert database.value("select state from jobs.job where id = %s", [job]) == "succeeded"

"""A worker session that ends between two looks of the supervisor keeps no later job waiting."""

from kit.daemon import Supervise
from stage import put, wait_for
from support import Database, wait_until

from pyworker.supervisor.pending_launches import PendingLaunches

LEFT = (
    "select 1 from pg_stat_activity where application_name ~ '^pw '"
    " and datname = current_database()"
)


def test_one_that_is_terminated_while_idle(database: Database, supervise: Supervise) -> None:
    daemon = supervise(database.dsn("supervisor"), "--owner", "app", loses=False)
    for _ in range(4):
        wait_for(database, put(database, "app.note", {"n": 1}), "succeeded")
        database.admin("select pg_terminate_backend(pid) from jobs_internal.session")
        wait_until(lambda: not database.admin(LEFT))
        launched = len(daemon.events("sessions_launched"))
        job = put(database, "app.note", {"n": 2})
        # it does not wait until the session that ended counts as lost
        wait_for(database, job, "succeeded")
        assert len(daemon.events("sessions_launched")) > launched
    assert daemon.stop() == 0


def test_what_opened_and_is_not_there_came_and_went() -> None:
    pending = PendingLaunches()
    pending.observe((), 0.0, 7)
    pending.add("shop", 1, 0.0)
    pending.observe((), 0.1, 7)
    assert pending.count("shop") == 1
    pending.observe((), 0.2, 8)
    assert pending.count("shop") == 0

"""A worker session that ends between two looks of the supervisor keeps no later job waiting."""

from pyworker.supervisor.pending_launches import PendingLaunches

from .conftest import Real, Start, wait_until

LEFT = "select 1 from pg_stat_activity where application_name ~ '^pw '"


def test_one_that_is_terminated_while_idle(real: Real, start: Start) -> None:
    daemon = start(real.dsn, "--owner", "app", loses=False)
    for _ in range(4):
        real.wait_for(real.enqueue("leave", number=1), "succeeded")
        real.sql("select pg_terminate_backend(pid) from jobs_internal.session", admin=True)
        wait_until(lambda: not real.sql(LEFT, admin=True))
        launched = len(daemon.events("sessions_launched"))
        job = real.enqueue("leave", number=2)
        # it does not wait until the session that ended counts as lost
        real.wait_for(job, "succeeded")
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

"""Supervisors that come, go, cannot be seen, or check while others work."""

from stage import put, state
from support import Database, wait_until

from .byhand import Worker
from .supervisors import RESCUE, tick, two
from .waiting import Ask, begin, lane


def test_supervisors_come_and_go_at_once(prepared: Database, ask: Ask) -> None:
    """Each sees that a third one is gone and clears up; neither clears up the other."""
    third = prepared.connect("supervisor")
    opening = "select jobs_internal.supervisor_open('{}', 'host', 1, '0')"
    third.execute(opening.format("third").encode())
    pid = third.info.backend_pid
    third.close()
    wait_until(lambda: not prepared.admin("select 1 from pg_stat_activity where pid = %s", [pid]))
    first, second = two(prepared)
    mine = begin(first, opening.format("first"))
    # it does not wait for the other one's clearing up
    yours = ask(second, opening.format("second")).result(10)
    first.execute("commit")
    late = prepared.value(opening.format("fourth"), role="supervisor")
    assert prepared.admin("select id from jobs_internal.supervisor order by id") == [
        (mine,),
        (yours,),
        (late,),
    ]
    prepared.run(f"select jobs_internal.supervisor_close({late})", role="supervisor")
    begin(first, f"select jobs_internal.supervisor_close({mine})")
    ask(second, f"select jobs_internal.supervisor_close({yours})").result(10)
    first.execute("commit")
    assert prepared.admin("select count(*) from jobs_internal.supervisor") == [(0,)]


def test_mending_finds_nothing_wrong_in_the_middle_of_anything(prepared: Database) -> None:
    """A supervisor that connects mends; whatever transactions are open then, no job is out of step
    with its message.
    """
    mend = "select jobs_internal.repair_lanes()"
    nothing = {"lanes_made": 0, "jobs_due_again": 0, "messages_removed": 0, "queues_removed": 0}

    def mended() -> dict[str, int]:
        found = prepared.value(mend, role="postgres")
        assert isinstance(found, dict)
        return found

    later = put(prepared, "app.note", {"n": 0}, run_at="2100-01-01")
    prepared.admin("update jobs_internal.job set due_at = now() where id = %s", [later])
    enqueuer, ticking, client = (
        prepared.connect("app"),
        prepared.connect("supervisor"),
        prepared.connect("app"),
    )
    begin(enqueuer, "select jobs.enqueue('app.note', '{\"n\": 1}')")
    assert begin(ticking, tick("dispatched")) == 1
    assert mended() == nothing
    enqueuer.execute("commit")
    ticking.execute("commit")
    cancelled = put(prepared, "app.note", {"n": 2})
    assert begin(client, f"select jobs.cancel({cancelled})") == "cancelled"
    alone, chunk = Worker(database=prepared), Worker(database=prepared)
    for worker in (alone, chunk):
        assert worker.claim(1)
        worker.begin()
    (item,) = alone.open(short_ms=-1)
    assert alone.start(item) == "alone"
    (shared,) = chunk.open()
    job = chunk.ask("select (%(item)s::jobs_internal.work_item).job_id", {"item": shared})
    assert chunk.finish_chunk([job])
    assert mended() == nothing
    for line in (client, alone.line, chunk.line):
        line.execute("commit")
    assert mended() == nothing
    alone.die()
    chunk.leave()
    assert mended() == nothing
    prepared.admin(f"delete from {lane(prepared)}")
    prepared.admin(RESCUE)
    assert mended() == nothing
    lost = put(prepared, "app.note", {"n": 3})
    prepared.admin(f"delete from {lane(prepared)}")
    assert mended() == {**nothing, "jobs_due_again": 1}
    assert state(prepared, lost) == "scheduled"


def test_a_supervisor_that_cannot_be_seen_is_not_called_silent(database: Database) -> None:
    """Without track_activities the server does not say when a session made its last call."""
    line = database.connect("postgres")
    line.execute("select jobs_internal.supervisor_open('blind', 'here', 1, '0')")
    look = "select status, detail, remedy from jobs.health where \"check\" = 'supervisors'"
    assert database.admin(look) == [("ok", "1 connected", None)]
    line.execute("set track_activities = off")
    line.execute("select 1")
    ((status, detail, remedy),) = database.admin(look)
    assert (status, "silent" in detail, "track_activities is off" in detail) == (
        "warning",
        False,
        True,
    )
    assert "track_activities = on" in remedy
    assert database.admin("select last_seen from jobs.supervisors") == [(None,)]
    line.close()

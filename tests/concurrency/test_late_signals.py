"""Signals that come late: whoever sends one has seen a job run, and by the time it is sent the
session runs another.
"""

from stage import attempts, gate_shut, know_as_short, ledger, put, state, wait_at_gate
from support import Database, wait_until

from .waiting import Ask, begin, waits

WAIT = "select pg_advisory_xact_lock(2)"


def test_a_late_signal_does_not_charge_the_next_job(database: Database, ask: Ask) -> None:
    """Its sender stands still between look and signal: the job that it meant commits,
    the next one runs alone.
    """
    put(database, "app.gate", {"n": -1})
    put(database, "app.run", {"what": "select 1"})
    database.drain()
    know_as_short(database)
    database.run("truncate app.ledger")
    meant = put(database, "app.gate", {"n": 1})
    next_one = put(
        database, "app.run", {"what": WAIT}, settings={"work_mem": "1MB"}, max_attempts=1
    )
    lanes, gate, row, presser = (database.connect("postgres") for _ in range(4))
    begin(gate, WAIT)
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin(
            "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by,"
            " requested_at)"
            " values (%s, 1, 'cancelled', 'app', now() - interval '11 s')",
            [meant],
        )
        # A reason that old puts its lane into quarantine first: that is where the sender
        # stands still.
        lanes.execute("begin; lock table jobs_internal.lane in share mode")
        pressed = ask(presser, f"select jobs_internal.send_stop_signals({meant})")
        waits(database, presser)
    in_lock = "select 1 from pg_locks where pid = %s and not granted and locktype = %s"
    wait_until(
        lambda: (
            database.admin(in_lock, [pid, "advisory"]) and state(database, next_one) == "running"
        )
    )
    begin(row, f"select 1 from jobs_internal.job where id = {next_one} for update")
    gate.execute("commit")
    wait_until(lambda: database.admin(in_lock, [pid, "transactionid"]))
    lanes.execute("commit")
    pressed.result(10)
    row.execute("commit")
    database.drain()
    assert ledger(database) == [1]
    assert state(database, meant) == "succeeded"
    assert attempts(database, next_one) == [(1, "succeeded")]

"""Who holds a place of a key, and what gives it back."""

from psycopg.types.json import Jsonb
from stage import gate_shut, make_lane, put, put_sql, put_steps, state, wait_at_gate, wait_for
from support import Database, wait_until

from .keyed import KEY, admit, holders, is_well, keyed, left, waiters, work_off


def test_one_that_is_not_due_holds_nothing(database: Database) -> None:
    """It comes to its key when its time has come; a run_now makes it come, not go first."""
    later = keyed(database, run_at="2100-01-01T00:00:00Z")
    admit(database)
    assert (holders(database), waiters(database)) == ([], [])
    first = keyed(database)
    admit(database)
    assert database.value("select jobs.run_now(%s)", [later]) == "scheduled"
    assert (holders(database), waiters(database)) == ([first], [later])
    assert database.value("select jobs.run_now(%s)", [later]) == "scheduled"
    work_off(database)
    assert [state(database, one) for one in (first, later)] == ["succeeded"] * 2


def test_one_that_waits_for_a_parent_holds_nothing(database: Database) -> None:
    """It comes to its key when its parent has ended."""
    parent = put(database, "app.note", {"n": 1}, run_at="2100-01-01T00:00:00Z")
    child = put(
        database, "app.note", {"n": 2}, options=Jsonb({"concurrency_key": "k", "after": [parent]})
    )
    first = keyed(database, task="app.gate")
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert (holders(database), waiters(database)) == ([first], [])
        database.run("select jobs.run_now(%s)", [parent])
        database.run("select jobs.start()")
        wait_for(database, parent, "succeeded")
        database.admin("select jobs_internal.follow(), jobs_internal.dispatch()")
        wait_until(lambda: waiters(database) == [child])
    work_off(database)
    assert state(database, child) == "succeeded"


def test_a_back_off_gives_the_place_to_the_next(database: Database) -> None:
    """The other runs in between, and the retry comes to its key again."""
    failing = keyed(database, task="app.stumble", args={"n": 1, "state": "40001"})
    admit(database)
    other = keyed(database, args={"n": 2})
    database.admin("update jobs_internal.queue set backoff = '1 hour', backoff_cap = '1 hour'")
    work_off(database)
    assert [state(database, one) for one in (failing, other)] == ["scheduled", "succeeded"]
    assert left(database) == []
    database.run("select jobs.run_now(%s)", [failing])
    work_off(database)
    assert state(database, failing) == "succeeded"


def test_a_snooze_gives_the_place_to_the_next(database: Database) -> None:
    """So does one without a pause: it comes to its key again, before those that came later."""
    database.admin(
        "create function app.doze(pause interval) returns integer language plpgsql as"
        " $$ begin if (select count(*) from app.ledger where n = 7) = 0 then"
        " insert into app.ledger (n) values (7); perform jobs.snooze(pause); end if;"
        " return 1; end $$; alter function app.doze owner to app"
    )
    dozing = keyed(database, task="app.doze", args={"pause": "1 hour"})
    admit(database)
    other = keyed(database, args={"n": 2})
    work_off(database)
    assert [state(database, one) for one in (dozing, other)] == ["scheduled", "succeeded"]
    assert left(database) == []
    database.admin("delete from app.ledger")
    again = keyed(database, task="app.doze", args={"pause": "0"})
    later = keyed(database, args={"n": 3})
    work_off(database)
    assert [state(database, one) for one in (again, later)] == ["succeeded"] * 2


def test_a_cancel_of_one_that_waits(database: Database) -> None:
    """It waits for nothing any more."""
    first, waiting = keyed(database), keyed(database)
    admit(database)
    assert database.value("select jobs.cancel(%s)", [waiting]) == "cancelled"
    assert (holders(database), waiters(database)) == ([first], [])
    database.run("select jobs.retry(%s)", [waiting])
    assert waiters(database) == [waiting]
    assert database.value("select jobs.cancel(%s)", [first]) == "cancelled"
    admit(database)
    assert holders(database) == [waiting]
    work_off(database)
    assert left(database) == []


def test_a_cancel_of_one_that_runs(database: Database) -> None:
    """Its end gives the place back."""
    first, waiting = keyed(database, task="app.gate"), keyed(database)
    with gate_shut(database):
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.run("select jobs.cancel(%s)", [first])
        wait_for(database, first, "cancelled")
        work_off(database)
    assert state(database, waiting) == "succeeded"


def test_one_whose_session_dies(database: Database) -> None:
    """The rescue gives the place back, whichever way the attempt ran."""
    make_lane(database)
    statement = put_sql(database, "select app.gate(1)", options=KEY)
    waiting = keyed(database)
    with gate_shut(database):
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        assert holders(database) == [statement]
        database.admin("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not database.background())
        database.admin("select jobs_internal.rescue()")
        assert state(database, statement) in ("scheduled", "failed")
        assert holders(database) == []
        database.admin(
            "update jobs_internal.job set due_at = '2100-01-01' where id = %s", [statement]
        )
        work_off(database)
    assert state(database, waiting) == "succeeded"
    assert is_well(database)


def test_one_in_doubt_holds_nothing(database: Database) -> None:
    """It does not run; its retry comes to its key as any other."""
    job = put_sql(
        database, "vacuum app.ledger", options=Jsonb({"concurrency_key": "k", "repeatable": False})
    )
    admit(database)
    queue, owner = database.admin(
        "select queue_id, owner from jobs_internal.job where id = %s", [job]
    )[0]
    database.admin(
        "select jobs_internal.archive_jobs(%s, %s, state, 0, 'in_doubt', null, array[row(id,"
        " attempt, null, null, now(), null, null, null, null, null, null, null, null, null, null,"
        " null, null, null, null, null)::jobs_internal.attempt_result])"
        " from jobs_internal.job where id = %s",
        [queue, owner, job],
    )
    assert state(database, job) == "in_doubt"
    assert holders(database) == []
    first = keyed(database)
    admit(database)
    database.run("select jobs.retry(%s)", [job])
    assert (holders(database), waiters(database)) == ([first], [job])


def test_a_job_of_several_steps_keeps_its_place(database: Database) -> None:
    """From its first step to its last."""
    steps = put_steps(database, "select 1", "select app.gate(5)", options=KEY)
    admit(database)
    other = keyed(database, args={"n": 6}, priority="high")  # it would be the next
    with gate_shut(database):
        database.run("select jobs.start(2)")
        wait_at_gate(database)
        wait_until(lambda: waiters(database) == [other])
        assert holders(database) == [steps]
    work_off(database)
    assert state(database, other) == "succeeded"

"""A1 to A3, A15: a job that tries to be more than its owner, in every mode, and the next job of its
session.

Each attack runs as app and then strikes: app.witness says as whom, vault.canary takes rows of
anybody but app. Modes: chunk (many jobs in one transaction), alone, in the worker's own statement,
and in a child session, where procedures commit.
"""

import pytest
from stage import drain_once, know_as_short, put, put_sql, state
from support import Database

from .climbing import SETUP, TRIES, assert_only_app, attack_of, quoted


@pytest.mark.parametrize("mode", ["chunk", "alone", "statement"])
def test_a_function_or_statement_stays_its_owner(database: Database, mode: str) -> None:
    """A1: every way to another role or to a right of another; the next job of the session is
    unspoiled.
    """
    database.run(SETUP)
    database.admin("update jobs_internal.queue set max_attempts = 1")
    database.admin(
        "grant insert on app.witness to jobs_producer; grant usage on schema app to jobs_producer"
    )
    for function, args in (("app.attack", {"what": "select 1"}), ("app.who", {})):
        put(database, function, args)
    database.drain()
    know_as_short(database)
    database.admin("select jobs.alter_queue('default', share_commits => %s)", [mode == "chunk"])
    database.run("truncate app.witness")
    jobs: dict[str, tuple[int, int]] = {}
    for what in TRIES:
        if mode == "statement":
            job = put_sql(database, f"select app.attack({quoted(attack_of(what))}, {quoted(what)})")
        else:
            job = put(database, "app.attack", {"what": attack_of(what), "name": what})
        jobs[what] = (job, put(database, "app.who"))
    drain_once(database)

    assert {what: state(database, job) for what, (job, _) in jobs.items()} == dict.fromkeys(
        TRIES, "succeeded"
    )
    if mode != "statement":
        assert {what: database.result(job) for what, (job, _) in jobs.items()} == TRIES
    assert {database.result(probe) for _, probe in jobs.values()} == {"app app none"}
    assert assert_only_app(database) == len(TRIES) + 1
    if mode == "chunk":
        # They shared sessions and transactions with one another.
        assert database.value("select count(distinct pid) from app.witness") == 1


def test_a_procedure_that_ends_transactions_stays_its_owner(database: Database) -> None:
    """A2: ROLLBACK first, COMMIT, nested CALL, DO with COMMIT, in child sessions of its owner."""
    database.run(SETUP)
    database.admin(
        "grant insert on app.witness to jobs_producer; grant usage on schema app to jobs_producer"
    )
    database.admin("grant execute on all functions in schema app to jobs_producer")
    climbing = [what for what in TRIES if "role" in what or "authorization" in what]
    text = " ".join(
        f"perform app.attack({quoted(what)}, 'in one'); commit; rollback;" for what in climbing
    )
    jobs = [
        *(put(database, "app.assault", {"what": what, "name": what}) for what in climbing[:6]),
        *(put_sql(database, f"call app.assault({quoted(what)}, 'call')") for what in climbing[6:9]),
        put_sql(database, f"do $do$ begin rollback; {text} end $do$"),
        put_sql(
            database,
            "do $do$ begin rollback; call app.nested('reset role', 'do'); commit; end $do$",
        ),
    ]
    after = put(database, "app.who")
    database.drain(timeout=30)
    assert {state(database, job) for job in (*jobs, after)} == {"succeeded"}
    assert database.result(after) == "app app none"
    assert assert_only_app(database) >= 9 * 4 + len(climbing) + 1


def test_a_function_cannot_end_the_workers_transaction(database: Database) -> None:
    """A2: in the worker's own transaction COMMIT and ROLLBACK are refused, in whatever they are
    wrapped.
    """
    database.run(SETUP)
    database.admin("update jobs_internal.queue set max_attempts = 1")
    database.run(
        """create function app.end_it(what text) returns text language plpgsql as $$
        begin
          if what = 'commit' then commit;
          elsif what = 'rollback' then rollback;
          else execute what; end if;
          return 'ended';
        exception when others then
          perform app.strike(what);
          return sqlstate;
        end $$"""
    )
    ends = {
        "commit": "2D000",
        "rollback": "2D000",
        "call app.assault('reset role', 'x')": "2D000",
        "do 'begin rollback; end'": "2D000",
        "commit and chain": "0A000",
        "rollback to savepoint x": "0A000",
        "prepare transaction 'x'": "0A000",
        "begin": "0A000",
        "call jobs_internal.work(0, null)": "2D000",
        "call jobs.await(1, '1 s')": "PW037",  # it says so itself
        "vacuum": "25001",
    }
    jobs = {what: put(database, "app.end_it", {"what": what}) for what in ends}
    after = put(database, "app.who")
    database.drain()
    assert {what: database.result(job) for what, job in jobs.items()} == ends
    assert database.result(after) == "app app none"
    assert assert_only_app(database) == len(ends)

"""A17, A18: who takes all that there is costs others time, no attempt and no job;
and who floods keeps nobody out.
"""

import json

import pytest
from kit.daemon import Supervise
from stage import attempts, know_as_short, put, put_many, state, wait_for
from support import Database, sqlstate_of, wait_until

FULL = ("53000", "53400")
FOREIGN = "from pg_stat_activity where usename = 'other' and backend_type = 'pg_background'"


def _fill(database: Database) -> int:
    """Launch sessions of other's, by pg_background itself, until there is no worker slot left."""
    line = database.connect("other")
    launched = 0

    def one() -> None:
        line.execute(
            "select pg_background_detach(h.pid, h.cookie)"
            " from pg_background_submit('select pg_sleep(600)', 65536) as h"
        )

    while True:
        found = sqlstate_of(one)
        if found:
            assert found in FULL
            return launched
        launched += 1


def _empty(database: Database) -> None:
    database.admin(f"select pg_terminate_backend(pid) {FOREIGN}")
    wait_until(lambda: database.admin(f"select count(*) {FOREIGN}") == [(0,)])


def test_no_worker_slot_is_left(own: Database, supervise: Supervise) -> None:
    """A17: pg_background is open to every owner, without limit: others' jobs wait, uncharged,
    and health says why.
    """
    database = own
    child = put(database, "app.two_commits", {"n": 10}, max_attempts=1)
    jobs = [child, *(put(database, "app.note", {"n": n}, max_attempts=1) for n in range(5))]
    launched = _fill(database)
    assert launched > 20
    assert sqlstate_of(lambda: database.run("select jobs.start()")) in FULL
    one = supervise(database.dsn("supervisor"), "--owner", "app")
    one.wait_for("no_worker_slot")
    status, detail, remedy = database.run(
        "select status, detail, remedy from jobs.health where \"check\" = 'free worker slots'",
        role="operator",
    )[0]
    assert status == "critical"
    assert f"launched by hand: other ({launched})" in detail
    assert remedy
    assert {state(database, job) for job in jobs} <= {"queued", "scheduled"}
    _empty(database)
    for job in jobs:
        assert wait_for(database, job)["state"] == "succeeded"
        assert attempts(database, job) == [(1, "succeeded")]
    assert one.events("job_failed") == []
    assert one.stop() == 0


def test_slots_go_while_a_job_needs_one(own: Database) -> None:
    """A17: a job inside of which no slot is left keeps its progress text, its log and its work;
    its child waits.
    """
    database = own
    database.run(
        "create function app.busy() returns text language plpgsql as $$ begin"
        " perform pg_advisory_xact_lock(1); perform jobs.progress(1, 2, 'half');"
        " perform jobs.log('told');"
        " return 'done'; end $$"
    )
    with database.server.connect("postgres", database.name) as holder:
        holder.execute("select pg_advisory_lock(1)")
        job = put(database, "app.busy", max_attempts=1)
        child = put(database, "app.two_commits", {"n": 10}, max_attempts=1)
        database.run("select jobs.start()")
        wait_until(lambda: state(database, job) == "running")
        _fill(database)
    row = wait_for(database, job)
    assert (row["state"], row["result"]) == ("succeeded", "done")
    assert database.value("select message from jobs.log_lines where job_id = %s", [job]) == "told"
    wait_until(lambda: state(database, child) in ("queued", "scheduled"))
    assert [outcome for _, outcome in attempts(database, child) if outcome] == [], (
        "tried again and again, and not charged"
    )
    _empty(database)
    database.drain()
    assert attempts(database, child) == [(1, "succeeded")]


def test_nested_launches_meet_the_quota(own: Database) -> None:
    """A17: a job that launches sessions of its own, without end, has no more of them than
    its quota.
    """
    database = own
    database.run("select jobs.set_quota('other', running => 2)", role="operator")
    database.run(
        "create function other.breed() returns integer language plpgsql as $$ begin"
        " perform jobs.start(3); perform jobs.enqueue('other.breed'); perform pg_sleep(0.01);"
        " return (select count(*) from jobs.sessions); end $$",
        role="other",
    )
    put(database, "other.breed", role="other")
    database.run("select jobs.start()", role="other")
    done = "select count(*) from jobs.finished where state = 'succeeded'"
    wait_until(lambda: database.value(done, role="other") > 20, 30)
    mine = put(database, "app.note", {"n": 1})
    database.run("select jobs.start()")
    assert wait_for(database, mine)["state"] == "succeeded"
    database.run("select jobs.pause('default')", role="operator")
    wait_until(lambda: not database.background())
    results = [
        row[0]
        for row in database.run(
            "select result::integer from jobs.job where result is not null", role="other"
        )
    ]
    assert max(results) <= 2
    codes = {row[0] for row in database.run("select sqlstate from jobs.failed", role="other")}
    assert codes <= {"53000", "53400"}


@pytest.mark.parametrize("concurrency", [8, 1])
@pytest.mark.parametrize("known", [True, False], ids=["short", "unknown"])
def test_a_flood_keeps_nobody_from_starting(
    watched: Database, supervise: Supervise, concurrency: int, known: bool
) -> None:
    """A18: thousands of high priority hold every slot of a queue: the low one of another owner
    starts in between.
    """
    database = watched
    database.run(
        "grant usage on schema app to other; grant execute on all functions in schema app to other"
    )
    database.run("grant insert, select on app.ledger to other")
    database.run(
        "select jobs.alter_queue('default', concurrency => %s)", [concurrency], role="operator"
    )
    one = supervise(database.dsn("supervisor"), "--owner", "app", "--owner", "other")
    first = put(database, "app.nap", {"seconds": 0}, role="other")
    wait_for(database, first)
    if known:
        know_as_short(database)
    flood = (
        "select count(*) from jobs.enqueue_many('app.nap',"
        " array_fill('{\"seconds\": 0.02}'::jsonb, array[3000]), priority => 'high')"
    )
    assert database.value(flood, role="other") == 3000
    held = "select count(*) from jobs_internal.slot where session_id is not null"
    wait_until(lambda: database.admin(held) == [(concurrency,)])
    job = put(database, "app.note", {"n": 1}, priority="low")
    assert wait_for(database, job)["state"] == "succeeded"
    left = database.admin("select count(*) from jobs_internal.job")[0][0]
    assert left > 100, "the flood was over before"
    database.admin("select jobs.pause()")
    assert one.stop() == 0


def test_two_floods_in_one_slot_go_on_together(watched: Database, supervise: Supervise) -> None:
    """A18: two owners who share a single slot take turns: neither waits for the end of
    the other.
    """
    database = watched
    database.run(
        "grant usage on schema app to other; grant execute on all functions in schema app to other"
    )
    database.run("select jobs.alter_queue('default', concurrency => 1)", role="operator")
    for role in ("app", "other"):
        put(database, "pg_catalog.pg_sleep", {"$1": 0}, role=role)
        database.drain(role=role)
    know_as_short(database)
    one = supervise(database.dsn("supervisor"), "--owner", "app", "--owner", "other")
    args = "array_fill('{\"$1\": 0.02}'::jsonb, array[2000])"
    flood = f"select count(*) from jobs.enqueue_many('pg_catalog.pg_sleep', {args})"
    for role in ("app", "other"):
        database.run(flood, role=role)
    done = "select count(*) from jobs.finished"
    wait_until(lambda: min(database.value(done, role=role) for role in ("app", "other")) > 20, 30)
    database.admin("select jobs.pause()")
    assert one.stop() == 0


def test_a_queue_flood_meets_the_quota(database: Database) -> None:
    """A18: more jobs, more a minute, and larger arguments than the quota: PW071, PW072, PW070;
    others do not notice.
    """
    database.run(
        "select jobs.set_quota('other', pending => 100, per_minute => 150, args_bytes => 1000)",
        role="operator",
    )

    def flood(count: int, size: int = 1) -> str | None:
        call = "select count(*) from jobs.enqueue_many('repeat', array_fill(%s::jsonb, array[%s]))"
        args = json.dumps({"$1": "x" * size, "$2": 1})
        return sqlstate_of(lambda: database.run(call, [args, count], role="other"))

    assert [flood(101), flood(1, 2000), flood(100), flood(1)] == ["PW071", "PW070", None, "PW071"]
    database.drain(role="other")
    assert [flood(51), flood(50), flood(1)] == ["PW072", None, "PW072"]
    assert put_many(database, "app.note", [{"n": n} for n in range(200)])


@pytest.mark.parametrize("where", ["args", "note", "settings"])
def test_large_and_deep_values_are_refused_or_run(
    watched: Database, supervise: Supervise, where: str
) -> None:
    """A18: 20 MB, 1e100000 and JSON as deep as the server takes: refused, or run and logged;
    the supervisor lives.
    """
    database = watched
    one = supervise(database.dsn("supervisor"), "--owner", "app")
    values = (
        "jsonb_build_object('what', repeat('x', 20000000))",
        "jsonb_build_object('what', 1e100000::numeric)",
        "(repeat('{\"what\":', 5000) || '1' || repeat('}', 5000))::jsonb",
        "jsonb_build_object('what', (repeat('[', 400) || repeat(']', 400))::jsonb)",
        "(repeat('[', 1000000))::jsonb",
        "jsonb_build_object(repeat('k', 100000), 1)",
    )
    task = "'app.echo'" if where == "args" else "'app.fail'"
    found = []
    for value in values:
        call = f"select jobs.enqueue({task}, {where} => {value}, max_attempts => 1)"
        found.append(sqlstate_of(lambda call=call: database.run(call)))
    assert set(found) <= {None, "PW003", "PW018", "PW012", "PW013", "54001", "22P02", "54000"}, (
        found
    )
    after = put(database, "app.note", {"n": 1})
    assert wait_for(database, after)["state"] == "succeeded"
    wait_until(lambda: database.admin("select count(*) from jobs_internal.job") == [(0,)])
    wait_until(lambda: database.admin("select count(*) from jobs_internal.outbox") == [(0,)])
    assert one.events("duty_failed") == []
    assert one.stop() == 0

"""K1: a lane or a bucket that the server refuses to make stops no other, and is named;
publications for all tables.
"""

import pytest
from psycopg import Connection
from stage import age_history, make_lane, put, state
from support import Database, Row

AUDIT = """
create table public.ddl_audit (tag text);
revoke all on public.ddl_audit from public;
create function public.audit_ddl() returns event_trigger language plpgsql as $$
begin
  insert into public.ddl_audit select tg_tag;
end $$;
create event trigger ddl_audit on ddl_command_end execute function public.audit_ddl();
"""
FREEZE = """
create function public.ddl_freeze() returns event_trigger language plpgsql as $$
begin
  raise exception 'no DDL today' using errcode = '%s';
end $$;
create event trigger ddl_freeze on ddl_command_start
  when tag in ('CREATE TABLE', 'ALTER TABLE', 'DROP TABLE')
execute function public.ddl_freeze();
"""
CASES = {
    "audit": (AUDIT, "42501"),
    "freeze": (FREEZE % "P0001", "P0001"),
    "cancel": (FREEZE % "57014", "57014"),
}


def _supervisor(database: Database) -> tuple[Connection[Row], int]:
    line = database.connect("supervisor")
    row = line.execute("select jobs_internal.supervisor_open('one', 'here', 1, '1')").fetchone()
    assert row
    return line, int(row[0])


@pytest.mark.parametrize("case", CASES)
def test_ddl_that_is_refused(database: Database, case: str) -> None:
    """Lanes that are there go on; the one that cannot be made is named, and made when it can be."""
    trigger, sqlstate = CASES[case]
    make_lane(database)
    make_lane(database, role="other")
    age_history(database, "400 days")
    database.admin(
        "update jobs_internal.history_bucket set opened_at = opened_at - interval '400 days'"
    )
    database.admin(trigger)
    refused = put(database, "pg_catalog.now", priority="high")
    later = put(database, "pg_catalog.now", run_at="2200-01-01", role="other")
    database.admin("update jobs_internal.job set due_at = now() where id = %s", [later])
    line, number = _supervisor(database)
    told = line.execute(
        "select jobs_internal.supervisor_tick(%s) -> 'failures'", [number]
    ).fetchone()
    line.execute("select jobs_internal.maintain()")
    assert told
    assert [(one["duty"], one["owner"], one["queue"], one["sqlstate"]) for one in told[0]] == [
        ("lanes", "app", "default", sqlstate)
    ]
    assert state(database, later) == "queued"
    assert state(database, refused) == "scheduled"
    database.drain(role="other")
    assert state(database, later) == "succeeded"
    told_why = database.record("select code, reason from jobs.explain(%s)", [refused])
    assert told_why["code"] == "lane_failed"
    assert sqlstate in told_why["reason"]
    assert told_why["reason"] == database.job(refused)["waits_for"]
    status, detail = database.admin(
        "select status, detail from jobs.health where \"check\" = 'rounds'"
    )[0]
    assert status == "warning"
    assert "app" in detail
    database.admin(
        "drop event trigger if exists ddl_audit; drop event trigger if exists ddl_freeze"
    )
    database.admin("update jobs_internal.duty_failure set retry_at = clock_timestamp()")
    line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    line.execute("select jobs_internal.maintain()")
    assert state(database, refused) == "queued"
    assert database.admin("select duty, item, error from jobs_internal.duty_failure") == []


def test_a_lane_whose_queue_cannot_be_mended_keeps_no_supervisor_out(database: Database) -> None:
    make_lane(database)
    make_lane(database, role="other")
    database.admin(
        "select pgmq.drop_queue(pgmq_queue) from jobs_internal.lane where owner = 'app'::regrole"
    )
    database.admin(FREEZE % "P0001")
    line, number = _supervisor(database)
    put(database, "pg_catalog.now", role="other")
    line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    database.drain(role="other")
    failed = database.admin("select duty, owner::regrole::text from jobs_internal.duty_failure")
    assert ("repair", "app") in failed


def test_a_lane_that_lost_its_table_holds_up_no_other(database: Database) -> None:
    """Jobs of a lane whose pgmq table is gone cannot be dispatched; all others are,
    in the same round.
    """
    make_lane(database)
    make_lane(database, role="other")
    line, number = _supervisor(database)
    mine = put(database, "pg_catalog.now", run_at="2200-01-01")
    theirs = put(database, "pg_catalog.now", run_at="2200-01-01", role="other")
    database.admin("update jobs_internal.job set due_at = now()")
    database.admin(
        "select pgmq.drop_queue(pgmq_queue) from jobs_internal.lane where owner = 'app'::regrole"
    )
    line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    assert (state(database, mine), state(database, theirs)) == ("scheduled", "queued")
    failed = database.admin(
        "select duty, owner::regrole::text, error ->> 'sqlstate' from jobs_internal.duty_failure"
    )
    assert failed == [("dispatch", "app", "42P01")]


def test_a_table_that_is_locked_holds_up_no_other(database: Database) -> None:
    """An administrator has locked the table of one lane."""
    make_lane(database)
    make_lane(database, role="other")
    line, number = _supervisor(database)
    lane = database.admin("select pgmq_queue from jobs_internal.lane where owner = 'app'::regrole")[
        0
    ][0]
    holder = database.connect("postgres")
    holder.execute("begin")
    holder.execute(f"lock table pgmq.q_{lane}".encode())
    mine = database.admin(
        "insert into jobs_internal.job (id, queue_id, owner, priority, state, max_attempts,"
        " run_at, due_at, created_at)"
        " select nextval('jobs_internal.job_id_seq'), 1, r.oid, 1, 'scheduled', 3, now(),"
        " now(), now()"
        " from pg_roles as r where r.rolname in ('app', 'other') returning id"
    )
    for _ in range(3):
        line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    wanted = line.execute(
        "select jobs_internal.supervisor_tick(%s) -> 'owners'", [number]
    ).fetchone()
    assert wanted
    assert [(one["owner"], one["session_demand"]) for one in wanted[0]] == [("other", 1)]
    assert sorted(state(database, job) for (job,) in mine) == ["queued", "scheduled"]
    holder.execute("rollback")
    database.admin("update jobs_internal.duty_failure set retry_at = clock_timestamp()")
    line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    assert {state(database, job) for (job,) in mine} == {"queued"}


def test_a_publication_for_all_tables(database: Database) -> None:
    """Debezium, logical upgrades: nothing that we update or delete is without a replica
    identity.
    """
    make_lane(database)
    database.admin("create publication everything for all tables")
    database.admin("select jobs.set_quota('app', per_minute => 1000)")
    database.admin("update jobs_internal.lane set idle_state = 'idle'")
    job = put(database, "app.note", {"n": 1})
    high = put(database, "app.note", {"n": 2}, priority="high")
    assert database.admin("select count(*) > 0 from jobs_internal.wakeup_request") == [(True,)]
    line, number = _supervisor(database)
    database.admin("update jobs_internal.rate_use set at = at - interval '1 hour'")
    database.admin("update jobs_internal.known_role set name = 'renamed' where name = 'app'")
    line.execute("select jobs_internal.supervisor_tick(%s)", [number])
    database.drain()
    assert [state(database, one) for one in (job, high)] == ["succeeded"] * 2
    database.admin("select jobs.create_queue('gone'); select jobs.drop_queue('gone')")
    age_history(database, "400 days")
    line.execute("select jobs_internal.maintain()")
    assert database.admin("select count(*) from jobs_internal.rate_use") == [(0,)]
    assert database.admin("select duty, item, error from jobs_internal.duty_failure") == []
    without = (
        "select c.oid::regclass::text from pg_class as c where c.relkind = 'r'"
        " and c.relreplident <> 'f'"
        " and c.relnamespace in ('jobs_internal'::regnamespace, 'pgmq'::regnamespace)"
        " and not exists (select from pg_index as i where i.indrelid = c.oid and i.indisprimary)"
    )
    assert database.admin(without) == []

"""What an ordinary owner says of itself harms nobody else: names, figures, endings, timeouts,
settings.
"""

import json
import threading

import pytest
from psycopg.types.json import Jsonb
from stage import attempts, ledger, put, state, wait_for, wait_running
from support import Database, sqlstate_of

from pyworker.database.records import Commit

SLEEP = "pg_catalog.pg_sleep"
VIEWS = ("job", "queued", "running", "queues", "sessions", "health")


def everybody_is_well(database: Database) -> None:
    """A supervisor's round and the views of another owner."""
    database.value("select jobs_internal.supervisor_tick(0)", role="supervisor")
    database.run("select * from jobs_internal.supervisor_send_stop_signals(0)", role="supervisor")
    for view in VIEWS:
        database.run(f"select * from jobs.{view}", role="other")
        database.run(f"select * from jobs.{view}", role="operator")


def open_session(database: Database) -> int:
    return int(database.value("select jobs_internal.open_session(jobs_internal.schema_version())"))


@pytest.mark.parametrize(
    "said", ["1 1.1.1/2", "1 .../...", "999999999999999", "999999999999999 1/2"]
)
def test_a_name_that_is_no_progress(database: Database, said: str) -> None:
    job = put(database, SLEEP, {"$1": 1}, timeout="1 second")
    open_session(database)
    database.run("select set_config('application_name', %s, false)", [f"pw {job}/1 {said}"])
    everybody_is_well(database)
    assert database.run("select done, total from jobs.running where total is not null") == []


@pytest.mark.parametrize(
    "timeout", ["200000 years", "178000000 years", "2147483647 months", "infinity"]
)
def test_a_timeout_beyond_all_time_is_none(database: Database, timeout: str) -> None:
    job = put(database, SLEEP, {"$1": 20}, timeout=timeout)
    assert database.job(job)["timeout"] is None
    database.run("select jobs.start()")
    wait_running(database, job)
    everybody_is_well(database)
    database.run("select jobs.cancel(%s)", [job])
    wait_for(database, job, "cancelled")


LEARNED = (
    "select jobs_internal.claim(%(me)s, 0,"
    " array(select jsonb_populate_record(null::jobs_internal.run_stats,"
    " e || jsonb_build_object('lane_id', l.id)) from jsonb_array_elements(%(lessons)s) as e"
    " cross join jobs_internal.lane as l), false, 1)"
)


def teach(database: Database, session: int, lessons: list[dict[str, object]]) -> None:
    """Claim as a session of app that says it has learned this, of every lane there is."""
    database.admin(
        "grant usage on schema jobs_internal to app; grant select on jobs_internal.lane to app"
    )
    database.run(LEARNED, {"me": session, "lessons": Jsonb(lessons)})
    database.admin("revoke select on jobs_internal.lane from app")


@pytest.mark.parametrize("figure", [9223372036854775807, 1, -1, 0])
@pytest.mark.parametrize("ms", [1, "Infinity", "NaN", 1e308, -1, None])
def test_figures_of_one_owner_do_not_stop_another(
    database: Database, figure: int, ms: object
) -> None:
    put(database, "pg_catalog.now", role="other")
    shape = database.admin("select max(id) from jobs_internal.call_template")[0][0]
    whole = dict.fromkeys(
        (
            "runs",
            "failed",
            "measured",
            "rows",
            "wal_bytes",
            "buffers_hit",
            "buffers_read",
            "buffers_dirtied",
        ),
        figure,
    )
    lesson = {**whole, "temp_bytes": figure, "ms": ms, "waited_ms": ms, "renames": None}
    session = open_session(database)
    for _ in range(2):
        teach(
            database,
            session,
            [
                {**lesson, "call_template_id": number, "task": "x" * 1000}
                for number in (shape, shape + 1, None)
            ],
        )
    for _ in range(5):
        put(database, "pg_catalog.now", role="other")
        put(database, "pg_catalog.clock_timestamp", role="other")
    database.drain(role="other")
    assert database.admin("select distinct state from jobs.job where owner = 'other'") == [
        ("succeeded",)
    ]
    database.admin("select jobs_internal.maintain()")
    everybody_is_well(database)


def test_figures_of_a_closed_function_are_not_taken(database: Database) -> None:
    database.run(
        "create function other.closed() returns void language sql return null", role="other"
    )
    database.run("revoke execute on function other.closed() from public", role="other")
    put(database, "other.closed", role="other")
    shape = database.admin(
        "select id from jobs_internal.call_template where task = 'other.closed'"
    )[0][0]
    teach(
        database,
        open_session(database),
        [{"call_template_id": shape, "runs": 1, "failed": 0, "ms": 0.001}],
    )
    assert (
        database.admin(
            "select * from jobs_internal.call_stats where call_template_id = %s", [shape]
        )
        == []
    )


@pytest.mark.parametrize(
    "error", ["[1, 2]", '"x"', "1", "null", '{"sqlstate": 1, "message": {"a": []}}']
)
def test_a_forged_error_can_be_logged(database: Database, error: str) -> None:
    put(database, "pg_catalog.now")
    database.drain()
    job = put(database, "pg_catalog.now", max_attempts=1)
    ending = {"job_id": job, "attempt": 1, "outcome": "failed", "finished_at": "2026-01-01"}
    session = open_session(database)
    claim = "select lane_id, msg_ids from jobs_internal.claim(%s, 0, null, false, 1)"
    lane, messages = database.run(claim, [session])[0]
    database.run(
        "select jobs_internal.finish_chunk(%s, %s, %s,"
        " array[jsonb_populate_record(null::jobs_internal.attempt_result, %s)])",
        [session, lane, messages, Jsonb({**ending, "error": json.loads(error)})],
    )
    assert isinstance(database.job(job)["error"], dict | None)
    database.admin(
        "update jobs_internal.outbox set body = jsonb_set(body, '{others,0,error}', %s::jsonb)"
        " where body -> 'others' <> '[]'",
        [error],
    )
    for (body,) in database.run("select jobs_internal.take_outcomes(100)", role="supervisor"):
        Commit.from_row(body)


def test_a_default_reads_the_same_for_everybody(database: Database) -> None:
    database.admin(
        "create function public.dated(d date default date '2020-02-01', i interval default"
        " interval '1 day 02:03:04',"
        " f float8 default float8 '0.30000000000000004', b bytea default '\\x00ff'::bytea,"
        " t timestamptz default timestamptz '2020-02-01 12:00+03') returns jsonb language sql"
        " return jsonb_build_array(d, i, f, b, t = '2020-02-01 12:00+03')"
    )
    database.run(
        "set datestyle = 'SQL, DMY'; set intervalstyle = sql_standard;"
        " set extra_float_digits = -10;"
        " set bytea_output = escape; set quote_all_identifiers = on; set timezone = 'Asia/Kolkata'"
    )
    put(database, "public.dated")  # its shape is made here, for everybody
    job = put(database, "public.dated", role="other")
    database.drain(role="other")
    row = database.job(job, role="other")
    assert (row["task"], row["result"]) == (
        "public.dated",
        ["2020-02-01", "1 day 02:03:04", 0.30000000000000004, "\\x00ff", True],
    )


DEFERRED = """
create function app.deferred(n integer) returns void language plpgsql as $$
begin
  create temporary table parent (id integer primary key);
  create temporary table child (id integer references parent deferrable initially deferred);
  insert into child values (1);
  if n > 0 then insert into parent values (1); end if;
  insert into app.ledger (n) values (n);
end $$;
create function app.permanent(n integer) returns void language plpgsql as $$
begin
  execute format('create table app.late_%s (id integer unique deferrable initially deferred)',
    abs(n));
  execute format('insert into app.late_%s values (1), (%s)', abs(n), 1 + (n > 0)::integer);
  insert into app.ledger (n) values (n);
end $$;
"""


@pytest.mark.parametrize("task", ["app.deferred", "app.permanent"])
def test_deferred_checks_of_what_a_job_made_itself(database: Database, task: str) -> None:
    database.run(DEFERRED)
    good = [put(database, task, {"n": n}) for n in (1, 2)]
    bad = put(database, task, {"n": -3})
    last = put(database, "pg_catalog.now")
    database.drain()
    assert [state(database, job) for job in (*good, bad, last)] == [
        "succeeded",
        "succeeded",
        "failed",
        "succeeded",
    ]
    assert attempts(database, bad) == [(1, "failed")]
    assert ledger(database) == [1, 2]


@pytest.mark.parametrize(
    "setting", ["default_transaction_read_only=on", "transaction_timeout=2000", "lock_timeout=1"]
)
def test_a_cancel_does_not_inherit_limits(database: Database, setting: str) -> None:
    job = put(database, SLEEP, {"$1": 20})
    database.run("select jobs.start()")
    wait_running(database, job)
    name, value = setting.split("=")
    caller = database.connect()
    caller.execute(f"set {name} = '{value}'".encode())
    caller.execute("begin transaction read write")
    assert caller.execute("select jobs.cancel(%s)", [job]).fetchone() == ("cancelling",)
    caller.execute("commit")
    assert wait_for(database, job, timeout=5)["state"] == "cancelled"


def test_pressing_waits_for_nobody(database: Database) -> None:
    """Sessions that cancel and supervisors delete and press the same reasons in any order."""
    database.admin(
        "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by,"
        " requested_at)"
        " select g, 1, 'cancelled', 'x', now() - interval '1 hour' from generate_series(1000000,"
        " 1000020) as g"
    )
    holder = database.connect("postgres")
    holder.execute("begin")
    holder.execute("select from jobs_internal.stop_request where job_id = 1000010 for update")
    presser = database.connect("supervisor", statement_timeout="2s")
    thread = threading.Thread(
        target=lambda: presser.execute("select jobs_internal.supervisor_send_stop_signals(0)")
    )
    thread.start()
    thread.join(5)
    assert not thread.is_alive()
    assert database.admin("select job_id from jobs_internal.stop_request") == [(1000010,)]
    holder.execute("rollback")


def test_a_session_cannot_leave_its_job_behind(database: Database) -> None:
    put(database, "pg_catalog.now")
    database.drain()
    put(database, SLEEP, {"$1": 1})
    session = open_session(database)
    lane, messages, lease = database.run(
        "select lane_id, msg_ids, lease from jobs_internal.claim(%s, 0, null, false, 1)", [session]
    )[0]
    (item,) = database.run(
        "select unnest(jobs_internal.open_chunk(%s, %s, %s, -1))::text", [lane, messages, lease]
    )[0]
    begin = "select jobs_internal.begin_alone(%s, %s, %s::jobs_internal.work_item)"
    database.run(begin, [session, lane, item])
    assert sqlstate_of(lambda: database.run(begin, [session, lane, item])) == "PW050"
    assert (
        sqlstate_of(lambda: database.run("select jobs_internal.close_session(%s, null)", [session]))
        == "PW050"
    )


def test_cancel_of_a_job_whose_message_is_gone(database: Database) -> None:
    put(database, "pg_catalog.now")
    database.drain()
    job = put(database, "pg_catalog.now")
    lane, message = database.admin(
        "select lane_id, msg_id from jobs_internal.job where id = %s", [job]
    )[0]
    database.admin(f"delete from pgmq.q_pyworker_{lane} where msg_id = %s", [message])
    assert database.value("select jobs.cancel(%s)", [job]) == "cancelled"

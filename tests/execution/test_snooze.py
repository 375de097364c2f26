"""jobs.snooze: a function that runs as a job says that it comes back later."""

from typing import Any

import pytest
from stage import (
    attempts,
    gate_shut,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    quick_retries,
    state,
    wait_at_gate,
)
from support import Database, sqlstate_of, wait_until

from .schedules import START, fire, runs, schedule, set_clock

# How often a job has run is kept where no rollback reaches it.
SETUP = """
create sequence app.calls;
create table app.done (n integer, run bigint);
create function app.naps(n integer, times integer default 1, pause interval default '0',
  keep boolean default true, after text default '') returns integer language plpgsql as $$
declare
  v_run bigint := nextval('app.calls');
begin
  insert into app.done (n, run) values (naps.n, v_run);
  if v_run <= times then
    perform jobs.snooze(pause, keep);
  end if;
  if after = 'fails' and v_run <= times then
    raise exception using errcode = '40001', message = 'not now';
  elsif after = 'waits' then
    perform app.gate();
  elsif after = 'twice' and v_run <= times then
    perform jobs.snooze('1 hour', false);
    perform jobs.snooze('0', true);
  elsif after = 'undone' then
    begin
      perform jobs.snooze('1 hour');
      raise exception 'back';
    exception when raise_exception then
      null;
    end;
  end if;
  return n;
end $$;
create table app.state (n integer primary key, runs integer not null default 1);
-- It comes back until its own row says that it has run so often.
create function app.several(n integer, times integer, keep boolean default true) returns integer
language plpgsql as $$
declare
  v_runs integer;
begin
  insert into app.state as s (n) values (several.n)
  on conflict on constraint state_pkey do update set runs = s.runs + 1
  returning s.runs into v_runs;
  if v_runs < times then
    perform jobs.snooze('0', keep);
  end if;
  return v_runs;
end $$;
create procedure app.nap_in_call() language plpgsql as $$
begin
  perform jobs.snooze('1 s');
end $$;
"""


@pytest.fixture(autouse=True)
def functions(database: Database) -> None:
    database.run(SETUP)


def _done(database: Database) -> list[int]:
    return [row[0] for row in database.run("select run from app.done order by run")]


def _job(database: Database, job: int) -> dict[str, Any]:
    row = database.record(
        "select state, attempt, snoozes, error, result, unique_key from jobs.job where id = %s",
        [job],
    )
    assert row["error"] is None or row["state"] != "scheduled", row
    return row


def test_it_comes_back_and_no_attempt_is_charged(database: Database) -> None:
    """Each run is kept; in history stands one attempt, and how often it had snoozed."""
    job = put(database, "app.naps", {"n": 1, "times": 3}, max_attempts=1)
    database.drain()
    found = _job(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 1, 3)
    assert found["result"] == 1
    assert _done(database) == [1, 2, 3, 4]
    assert attempts(database, job) == [(1, "succeeded")]


def test_it_waits_as_long_as_it_said(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "pause": "2 hours"})
    before = database.value("select clock_timestamp()")
    database.drain()
    found = _job(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("scheduled", 0, 1)
    assert found["result"] is None
    due = database.value("select due_at from jobs_internal.job", role="postgres")
    assert 7200 <= (due - before).total_seconds() < 7260
    assert attempts(database, job) == []
    said = database.record("select code, reason, until from jobs.explain(%s)", [job])
    assert (said["code"], said["until"]) == ("snoozed", due)
    assert "1 time" in said["reason"]
    assert database.job(job)["waits_for"] == "the end of its snooze"
    assert database.run("select waits_for from jobs.queued") == [("the end of its snooze",)]
    assert database.value("select jobs.run_now(%s)", [job]) == "queued"
    database.drain()
    assert (state(database, job), _done(database)) == ("succeeded", [1, 2])


@pytest.mark.parametrize("short", [False, True], ids=["alone", "in a chunk"])
def test_a_run_that_is_undone(database: Database, *, short: bool) -> None:
    """keep => false: nothing of the run is there, and it comes back all the same."""
    job = put(database, "app.naps", {"n": 1, "times": 2, "keep": False})
    if short:
        know_as_short(database)
    database.drain()
    found = _job(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 1, 2)
    assert _done(database) == [3]


@pytest.mark.parametrize("keep", [True, False])
def test_many_in_chunks_each_come_back(database: Database, *, keep: bool) -> None:
    """Jobs that share commits, and are called by one statement once they are trusted: each runs as
    often as it said, and no other with it.
    """
    put_many(database, "app.note", [{"n": n} for n in range(60)])
    put_many(database, "app.several", [{"n": n, "times": 1} for n in range(100, 160)])
    know_as_short(database)
    database.drain()
    make_lane(database)
    several = put_many(
        database, "app.several", [{"n": n, "times": 1} for n in range(200, 260)]
    ) + put_many(
        database, "app.several", [{"n": n, "times": 3, "keep": keep} for n in range(300, 360)]
    )
    notes = put_many(database, "app.note", [{"n": n} for n in range(1000, 1060)])
    know_as_short(database)
    if keep:
        database.drain()
        ran = dict(database.run("select n, runs from app.state"))
        assert {n: ran[n] for n in range(300, 360)} == dict.fromkeys(range(300, 360), 3)
        snoozed = database.run(
            "select snoozes, attempt, count(*) from jobs.job where id = any (%s) group by 1, 2"
            " order by 1",
            [several],
        )
        assert snoozed == [(0, 1, 60), (2, 1, 60)]
    else:
        # what is undone begins anew each time: it comes back until it is cancelled
        database.run("select jobs.start()")
        wait_until(
            lambda: database.value(
                "select bool_and(snoozes > 0) from jobs.job where id = any (%s)", [several[60:]]
            )
        )
        database.run("select jobs.cancel(id) from unnest(%s::bigint[]) as id", [several[60:]])
        wait_until(lambda: not database.background())
        assert database.run("select n from app.state where n between 300 and 359") == []
    assert {state(database, job) for job in notes} == {"succeeded"}
    assert sorted(n for n in ledger(database) if n is not None) == [
        *range(60),
        *range(1000, 1060),
    ]


def test_one_that_is_undone_among_others_in_a_row(database: Database) -> None:
    """By one statement, once the session trusts the function: the others are there once."""
    make_lane(database)
    calls = [{"n": n, "times": 0, "pause": "1 hour", "keep": False} for n in range(140)]
    calls[110]["times"] = 1_000_000
    jobs = put_many(database, "app.naps", calls)
    database.admin("select jobs.configure('chunk_ms', '60000')")
    know_as_short(database)
    database.drain()
    odd = jobs.pop(110)
    assert {state(database, job) for job in jobs} == {"succeeded"}
    assert (state(database, odd), _job(database, odd)["snoozes"]) == ("scheduled", 1)
    assert [row[0] for row in database.run("select n from app.done order by n")] == [
        n for n in range(140) if n != 110
    ]
    # it was in a row, and all that stood in it ran once more
    assert database.value("select last_value from app.calls") > 141


def test_an_error_after_it_wins(database: Database) -> None:
    quick_retries(database)
    job = put(database, "app.naps", {"n": 1, "after": "fails"}, max_attempts=2)
    database.drain()
    found = _job(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 2, 0)
    assert attempts(database, job) == [(1, "failed"), (2, "succeeded")]
    assert _done(database) == [2]


def test_after_an_attempt_that_failed(database: Database) -> None:
    """A run that snoozes charges none, and takes none back."""
    quick_retries(database)
    database.run(
        "create function app.fails_then_naps() returns void language plpgsql as $$ begin"
        " if nextval('app.calls') = 1 then raise exception using errcode = '40001',"
        " message = 'x'; end if;"
        " if currval('app.calls') < 4 then perform jobs.snooze('0'); end if; end $$"
    )
    job = put(database, "app.fails_then_naps", max_attempts=2)
    database.drain()
    found = _job(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 2, 2)
    assert attempts(database, job) == [(1, "failed"), (2, "succeeded")]


def test_the_last_call_wins(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "pause": "3 hours", "after": "twice"})
    database.drain()
    assert (state(database, job), _done(database)) == ("succeeded", [1, 2])


def test_a_call_in_a_block_that_was_rolled_back_is_none(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "times": 0, "after": "undone"})
    database.drain()
    assert (state(database, job), _done(database)) == ("succeeded", [1])


def test_a_deferred_constraint_that_fails_wins(database: Database) -> None:
    """What the run did must be able to stand, as at the end of any job."""
    database.run(
        "create table app.parent (id integer primary key);"
        "create table app.child (id integer references app.parent deferrable initially deferred);"
        "create function app.orphan() returns void language plpgsql as $$ begin"
        " insert into app.child values (7); perform jobs.snooze('1 hour'); end $$"
    )
    job = put(database, "app.orphan", max_attempts=1)
    database.drain()
    found = _job(database, job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "23503")


def test_what_it_logged_is_kept(database: Database) -> None:
    """Of a run that was undone too."""
    database.run(
        "create function app.says() returns void language plpgsql as $$ begin"
        " perform jobs.log('run ' || nextval('app.calls'));"
        " if currval('app.calls') < 3 then perform jobs.snooze('0', false); end if; end $$"
    )
    job = put(database, "app.says")
    database.drain()
    assert database.run(
        "select attempt, message from jobs.log_lines where job_id = %s order by n", [job]
    ) == [(1, "run 1"), (1, "run 2"), (1, "run 3")]


@pytest.mark.parametrize("place", ["session", "statement", "top level", "procedure"])
def test_where_it_is_refused(database: Database, place: str) -> None:
    if place == "session":
        assert sqlstate_of(lambda: database.run("select jobs.snooze('1 s')")) == "PW106"
        return
    job = (
        put(database, "app.nap_in_call", max_attempts=1)
        if place == "procedure"
        else put_sql(
            database,
            "select jobs.snooze('1 s')" if place == "statement" else "call app.nap_in_call()",
            max_attempts=1,
        )
    )
    database.drain()
    found = _job(database, job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PW106")


@pytest.mark.parametrize(
    "given", ["null", "'-1 s'", "'infinity'", "'-infinity'", "'11 years'", "'1 s', null"]
)
def test_what_is_no_pause_is_refused(database: Database, given: str) -> None:
    database.run(
        "create function app.wrong() returns void language plpgsql as"
        f" $$ begin perform jobs.snooze({given}); end $$"
    )
    job = put(database, "app.wrong", max_attempts=1)
    database.drain()
    found = _job(database, job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PW107")
    assert found["error"]["detail"]
    assert found["error"]["hint"]


def test_a_cancel_that_comes_while_it_runs_wins(database: Database) -> None:
    """It had snoozed already, but its function had not returned."""
    with gate_shut(database):
        job = put(database, "app.naps", {"n": 1, "pause": "1 hour", "after": "waits"})
        database.run("select jobs.start()")
        wait_at_gate(database)
        assert database.value("select jobs.cancel(%s)", [job]) == "cancelling"
        wait_until(lambda: state(database, job) == "cancelled")
    wait_until(lambda: not database.background())
    assert _done(database) == []


def test_a_cancel_that_comes_too_late_for_the_run(database: Database) -> None:
    """The run is kept, and the job does not come back. The request is committed while the job
    waits, and no signal is sent.
    """
    with gate_shut(database):
        job = put(database, "app.naps", {"n": 1, "pause": "1 hour", "after": "waits"})
        database.run("select jobs.start()")
        wait_at_gate(database)
        database.admin(
            "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)"
            " values (%s, 1, 'cancelled', 'app')",
            [job],
        )
    wait_until(lambda: not database.background())
    found = _job(database, job)
    assert (found["state"], found["error"]["sqlstate"]) == ("cancelled", "PWC01")
    assert found["result"] is None
    assert _done(database) == [1]


def test_a_timeout_is_one_of_each_run(database: Database) -> None:
    """A run that is over its time is timed out, whatever it had said; the runs before do not count
    towards it.
    """
    with gate_shut(database):
        job = put(
            database,
            "app.naps",
            {"n": 1, "pause": "1 hour", "after": "waits"},
            timeout="1 hour",
            max_attempts=1,
        )
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin(
            "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)"
            " values (%s, 1, 'timed_out', 'supervisor')",
            [job],
        )
        database.admin("update jobs_internal.job set started_at = started_at - interval '1 day'")
        database.admin("select pg_cancel_backend(%s)", [pid])
        wait_until(lambda: state(database, job) == "failed")
    wait_until(lambda: not database.background())
    assert attempts(database, job) == [(1, "timed_out")]
    assert _done(database) == []


def test_a_session_that_dies_after_the_call(database: Database) -> None:
    """What it did and its new time are one commit: none of them is there, and the job runs again,
    each effect once.
    """
    with gate_shut(database):
        job = put(database, "app.naps", {"n": 1, "pause": "1 hour", "after": "waits"})
        database.run("select jobs.start()")
        (pid,) = wait_at_gate(database)
        database.admin("select pg_terminate_backend(%s)", [pid])
        wait_until(lambda: not database.background())
        assert _done(database) == []
    database.admin("select jobs_internal.rescue()")
    database.drain()
    found = _job(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 1, 0)
    assert _done(database) == [2]


def test_an_occurrence_that_snoozes_is_not_finished(database: Database) -> None:
    """One job, one occurrence, still the same one when it comes back; the next one meets it by the
    schedule's overlap.
    """
    database.run(
        "create function app.asks() returns void language plpgsql as $$ begin"
        " insert into app.done (n, run) select 1, extract(epoch from due_at)::bigint"
        " from jobs.current_run();"
        " if nextval('app.calls') = 1 then perform jobs.snooze('1 hour'); end if; end $$"
    )
    schedule(database, "s", "every 1 hour", task="app.asks", args={}, starts_at=START.isoformat())
    set_clock(database, START)
    first = START.replace(hour=1)
    fire(database, first)
    database.drain()
    (job,) = database.run("select id from jobs.job")[0]
    assert _job(database, job)["snoozes"] == 1
    fire(database, START.replace(hour=2))
    assert [outcome for _, outcome in runs(database)] == ["fired", "skipped"]
    database.run("select jobs.run_now(%s)", [job])
    database.drain()
    assert state(database, job) == "succeeded"
    assert _done(database) == 2 * [int(first.timestamp())]
    fire(database, START.replace(hour=3))
    assert [outcome for _, outcome in runs(database)] == ["fired", "skipped", "fired"]


def test_its_unique_key_stays_its_own(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "pause": "1 hour"}, unique_key="k")
    database.drain()
    assert put(database, "app.naps", {"n": 2}, unique_key="k") == job


@pytest.mark.parametrize("keep", [True, False])
def test_a_deadline_counts_until_a_run_is_kept(database: Database, *, keep: bool) -> None:
    job = put(
        database,
        "app.naps",
        {"n": 1, "pause": "1 hour", "keep": keep},
        options={"deadline": "2100-01-01"},
    )
    database.drain()
    database.admin("update jobs_internal.job_deadline set at = '2000-01-01'")
    assert database.admin("select jobs_internal.cancel_late_jobs()") == [(0 if keep else 1,)]
    assert state(database, job) == ("scheduled" if keep else "cancelled")


def test_what_was_held_against_it_is_gone(database: Database) -> None:
    """A run to its end shows that it did not crash the server, and was not interrupted."""
    job = put(database, "app.naps", {"n": 1, "pause": "1 hour"})
    database.admin("update jobs_internal.job set interruptions = 2, crashes = 1")
    database.drain()
    assert database.admin(
        "select interruptions, crashes from jobs_internal.job where id = %s", [job]
    ) == [(0, 0)]


def test_the_outbox_tells_it(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "pause": "1 hour"})
    database.drain()
    told = [
        one
        for (body,) in database.admin("select body from jobs_internal.outbox")
        for one in body["others"]
    ]
    assert [(one["job_id"], one["outcome"], one["state"]) for one in told] == [
        (job, "snoozed", "scheduled")
    ]
    assert told[0]["retry_at"]


def test_a_session_cannot_say_it_of_another_job(database: Database) -> None:
    """The setting names the job: what a job leaves by hand for another is none."""
    database.run(
        "create function app.forges(what text) returns void language plpgsql as $$ begin"
        " perform set_config('pyworker.snooze', what, false),"
        " set_config('pyworker.logged', 'on', false); end $$"
    )
    jobs = [
        put(database, "app.forges", {"what": what}, max_attempts=1)
        for what in ("1 3600 keep", "999 3600 keep", "", "x", "NaN", "2 1e9 keep", "3 -1 undo")
    ]
    database.drain()
    assert [state(database, job) for job in jobs[1:]] == ["succeeded"] * 6

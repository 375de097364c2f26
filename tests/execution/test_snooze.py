"""jobs.snooze: a function that runs as a job says that it comes back later."""

import pytest
from stage import (
    attempts,
    know_as_short,
    ledger,
    make_lane,
    put,
    put_many,
    put_sql,
    quick_retries,
    state,
)
from support import Database, sqlstate_of, wait_until

from .snoozing import SETUP, done, job_row


@pytest.fixture(autouse=True)
def functions(database: Database) -> None:
    database.run(SETUP)


def test_it_comes_back_and_no_attempt_is_charged(database: Database) -> None:
    """Each run is kept; in history stands one attempt, and how often it had snoozed."""
    job = put(database, "app.naps", {"n": 1, "times": 3}, max_attempts=1)
    database.drain()
    found = job_row(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 1, 3)
    assert found["result"] == 1
    assert done(database) == [1, 2, 3, 4]
    assert attempts(database, job) == [(1, "succeeded")]


def test_it_waits_as_long_as_it_said(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "pause": "2 hours"})
    before = database.value("select clock_timestamp()")
    database.drain()
    found = job_row(database, job)
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
    assert (state(database, job), done(database)) == ("succeeded", [1, 2])


@pytest.mark.parametrize("short", [False, True], ids=["alone", "in a chunk"])
def test_a_run_that_is_undone(database: Database, *, short: bool) -> None:
    """keep => false: nothing of the run is there, and it comes back all the same."""
    job = put(database, "app.naps", {"n": 1, "times": 2, "keep": False})
    if short:
        know_as_short(database)
    database.drain()
    found = job_row(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 1, 2)
    assert done(database) == [3]


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
    assert (state(database, odd), job_row(database, odd)["snoozes"]) == ("scheduled", 1)
    assert [row[0] for row in database.run("select n from app.done order by n")] == [
        n for n in range(140) if n != 110
    ]
    # it was in a row, and all that stood in it ran once more
    assert database.value("select last_value from app.calls") > 141


def test_an_error_after_it_wins(database: Database) -> None:
    quick_retries(database)
    job = put(database, "app.naps", {"n": 1, "after": "fails"}, max_attempts=2)
    database.drain()
    found = job_row(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 2, 0)
    assert attempts(database, job) == [(1, "failed"), (2, "succeeded")]
    assert done(database) == [2]


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
    found = job_row(database, job)
    assert (found["state"], found["attempt"], found["snoozes"]) == ("succeeded", 2, 2)
    assert attempts(database, job) == [(1, "failed"), (2, "succeeded")]


def test_the_last_call_wins(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "pause": "3 hours", "after": "twice"})
    database.drain()
    assert (state(database, job), done(database)) == ("succeeded", [1, 2])


def test_a_call_in_a_block_that_was_rolled_back_is_none(database: Database) -> None:
    job = put(database, "app.naps", {"n": 1, "times": 0, "after": "undone"})
    database.drain()
    assert (state(database, job), done(database)) == ("succeeded", [1])


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
    found = job_row(database, job)
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
    found = job_row(database, job)
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
    found = job_row(database, job)
    assert (found["state"], found["error"]["sqlstate"]) == ("failed", "PW107")
    assert found["error"]["detail"]
    assert found["error"]["hint"]

"""Each job that waits says why: one case for each code of jobs.explain,
in which no other one holds.
"""

import pytest
from stage import (
    put,
    put_sql,
    state,
    wait_for,
)
from support import Database, wait_until

from . import reasons_of_jobs, reasons_of_sessions  # noqa: F401  they fill CASES
from .reasons import CASES, explain, queued

#: A commit that waits for a standby would hold up the whole test server:
#: tests/acceptance/test_standby_gone.py.
WITHOUT_A_STANDBY = {"standby", "standby_session"}
#: tests/execution/test_batch_reasons.py
OF_A_BATCH = {"batch_open", "batch_jobs", "batch_calls"}


@pytest.mark.parametrize("code", CASES)
def test_a_code_that_is_the_only_one(database: Database, code: str) -> None:
    """The job says this code and nothing else, a remedy, and the same in short in the views."""
    for job, role, facts in CASES[code](database):
        told = explain(database, job, role)
        others = [
            reason for reason in told["also"] or [] if not reason.startswith("its search_path is ")
        ]
        assert (told["code"], others) == (code, []), told
        assert told["reason"]
        for column in told.keys() & facts.keys():
            assert told[column] == facts[column], (column, told)
        if code != "not_there":
            row = database.job(job, role=role)
            if "waits_for" in facts:
                assert row["waits_for"] == facts["waits_for"]
            if row["state"] in ("queued", "scheduled"):
                assert (
                    database.run(
                        "select waits_for from jobs.queued where id = %s", [job], role=role
                    )
                    == [(row["waits_for"],)]
                    or role != "app"
                )


def test_every_code_has_a_case(shared: Database) -> None:
    """The documented list has no code that nothing is known to lead to."""
    assert {
        row[0] for row in shared.run("select code from jobs.wait_reasons")
    } == CASES.keys() | WITHOUT_A_STANDBY | OF_A_BATCH


def test_the_first_that_holds_is_the_reason(database: Database) -> None:
    """Of many the first of the list is told, and the others beside it, in their order."""
    job = put(database, "app.note", {"n": 1}, run_at="2100-01-01T00:00:00Z")
    database.run("select jobs.pause('default'), jobs.pause()", role="operator")
    told = explain(database, job)
    assert told["code"] == "time"
    assert told["also"] == [
        "everything is paused",
        "its queue is paused",
        "no supervisor is connected",
    ]
    database.run("select jobs.run_now(%s)", [job])
    assert explain(database, job)["code"] == "paused_all"
    database.run("select jobs.resume(), jobs.resume('default')", role="operator")
    assert explain(database, job)["code"] == "no_supervisor"
    assert state(database, job) == "scheduled"


def test_who_enqueued_a_published_job_sees_why_it_waits(database: Database) -> None:
    """By a publication: the reason, and no job of the owner that is in the way."""
    database.run("select jobs.publish('app.note', 'other')")
    job = int(
        database.value("select jobs.enqueue_published('app.note', '{\"n\": 1}')", role="other")
    )
    assert explain(database, job, "other")["code"] == "no_supervisor"
    assert database.job(job, role="other")["waits_for"] == "no supervisor is connected"


def test_a_time_without_end_is_one_that_a_client_can_read(database: Database) -> None:
    job = put(database, "pg_catalog.now", run_at="infinity")
    told = explain(database, job)
    assert (told["code"], told["until"]) == ("time", None)
    assert "jobs.run_now" in told["reason"]


@pytest.mark.parametrize("share_commits", [True, False])
def test_a_session_that_a_row_lock_keeps_names_who_holds_it(
    database: Database, share_commits: bool
) -> None:
    """Its holder is named, also where the job runs alone: then the claim of the session that waits
    is not committed.
    """
    database.admin("select jobs.alter_queue('default', share_commits => %s)", [share_commits])
    job = queued(database)
    holder = database.connect("postgres")
    holder.execute("begin")
    holder.execute("select from jobs_internal.job for update")
    database.run("select jobs.start()")
    try:
        wait_until(lambda: explain(database, job)["blocked_by_pids"] == [holder.info.backend_pid])
        assert (
            f"waits for a lock of process {holder.info.backend_pid}"
            in explain(database, job)["reason"]
        )
    finally:
        holder.execute("rollback")
    wait_for(database, job)
    database.drain()


def test_a_million_lookups_are_one(database: Database) -> None:
    """The reasons of the lanes are found once a query, however many jobs wait."""
    put(database, "app.note", {"n": 1})
    database.run(
        "select jobs.enqueue_many('app.note', array(select '{\"n\": 1}'::jsonb"
        " from generate_series(1, 500)))"
    )
    for view in ("jobs.queued", "jobs.job"):
        plan = str(
            database.value(
                "explain (analyze, timing off, format json) select waits_for, count(*)"
                f" from {view} group by 1",
            )
        )
        assert plan.count("lane_waits") <= 1, plan
    assert database.run("select waits_for, count(*) from jobs.queued group by 1") == [
        ("no supervisor is connected", 501)
    ]


def test_a_statement_says_with_which_path_it_runs(database: Database) -> None:
    """The enqueuer's, or that of its settings; to its owner, and to no reader."""
    database.run("set search_path = app, public")
    enqueued = int(database.value("select jobs.enqueue_sql('select 1')"))
    given = int(
        database.value(
            "select jobs.enqueue_sql('select 1', settings => '{\"search_path\": \"other\"}')"
        )
    )
    assert explain(database, enqueued)["also"][-1] == "its search_path is app, public"
    assert explain(database, given)["also"][-1] == "its search_path is other"
    assert "search_path" not in str(explain(database, enqueued, "reader"))


def test_a_title_names_the_object(database: Database) -> None:
    """While it waits, while it runs, and afterwards; a title that was given wins,
    and readers do not see it.
    """
    built = put_sql(database, "create index concurrently note_at on app.ledger (n)")
    named = put_sql(database, "vacuum app.ledger", options={"title": "tidy up"})
    titles = "select title from jobs.{} where id = any (%s) order by id"
    both = [built, named]
    for view in ("queued", "job"):
        found = database.run(titles.format(view), [both])
        assert found[0][0].startswith("create index concurrently ")
        assert "ledger" in found[0][0] or "note_at" in found[0][0]
        assert found[1] == ("tidy up",)
        assert database.run(titles.format(view), [both], role="reader")[1] == ("vacuum app.ledger",)
    database.drain()
    assert database.run(titles.format("job"), [both])[1] == ("tidy up",)

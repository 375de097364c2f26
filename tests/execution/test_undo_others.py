"""jobs.undo leaves alone what others made, also where it bears the name that the job would give it,
or came while the job waited.
"""

from typing import Any

import pytest
from stage import age_history, holding, put_sql, put_steps, state, step_history, wait_for_lock
from support import Database

from .taken_back import CONSTRAINTS, INDEXES, NOT_NULL, failed, ran, refused, undone

LOOKS = (INDEXES, CONSTRAINTS, NOT_NULL)
UNIQUE = "create unique index concurrently fresh on app.events (n)"


def _looks(database: Database) -> list[Any]:
    return [database.admin(look) for look in LOOKS]


@pytest.mark.parametrize(
    ("theirs", "there", "rollback"),
    [
        ("create index fresh on app.events (n)", "to_regclass('app.fresh') is not null", None),
        ("create index concurrently fresh on app.events (n)",
            "to_regclass('app.fresh') is not null", None),
        ("create index concurrently fresh on app.events (n)",
            "to_regclass('app.fresh') is not null", "drop index concurrently app.fresh"),
        ("alter table app.events alter n set not null", "true", None),
        ("alter table app.events add constraint theirs check (n >= 0)", "true",
            "alter table app.events drop constraint theirs"),
    ],
)  # fmt: skip
def test_a_step_that_was_done_already_is_not_taken_back(
    tables: Database, theirs: str, there: str, rollback: str | None
) -> None:
    """At top level and in a transaction; with the rollback that was given or what is known."""
    tables.run(theirs)
    before = _looks(tables)
    job = put_steps(
        tables,
        {"statement": theirs, "done_when": there, "rollback": rollback},
        "alter table app.events add constraint one check (n > -1)",
    )
    tables.drain()
    assert state(tables, job) == "succeeded", tables.job(job)

    undone(tables, job)

    assert _looks(tables) == before


def test_nothing_to_take_back_where_all_was_done_already(tables: Database) -> None:
    """The reason is said, and the rollback is not run."""
    job = put_steps(
        tables, {"statement": "select 1", "done_when": "true", "rollback": "drop table app.events"}
    )
    tables.drain()
    assert "no step has anything" in refused(tables, "PW066", job)


@pytest.mark.parametrize("rollback", [None, "drop index concurrently app.fresh"])
def test_an_index_that_another_attempt_found_is_not_its_own(
    tables: Database, rollback: str | None
) -> None:
    """The first attempt failed, then a person made the index; the job had nothing to do."""
    job = put_sql(tables, UNIQUE, max_attempts=1, rollback=rollback)
    failed(tables, job)
    tables.run("update app.events set n = id; create unique index fresh on app.events (n)")
    tables.run("select jobs.retry(%s)", [job])
    tables.drain()
    assert tables.job(job)["result"] == {"verified": True}

    assert "did nothing" in refused(tables, "PW066", job)
    shown = tables.value("select undo from jobs.operations where id = %s", [job])
    assert shown.startswith("none: it was done already")


def test_what_was_made_between_two_attempts_stays(tables: Database) -> None:
    """How things stand is read at each attempt of a statement in a transaction."""
    before = _looks(tables)
    job = put_sql(tables, "alter table app.events add constraint one check (n < 5)", max_attempts=1)
    failed(tables, job)
    tables.run(
        "update app.events set n = 0; alter table app.events add constraint two check (n = 0)"
    )
    between = _looks(tables)
    tables.run("select jobs.retry(%s)", [job])
    tables.drain()
    assert state(tables, job) == "succeeded"

    undone(tables, job)

    assert _looks(tables) == between
    assert between != before


@pytest.mark.parametrize(
    ("statement", "theirs", "why"),
    [
        ("alter table app.events add constraint one check (n > -2)",
            "alter table app.events add constraint two check (n > -1)", None),
        ("alter table app.events alter n set not null",
            "alter table app.events alter n set not null", "made nothing"),
        ("drop index if exists app.old", "drop index app.old", "could not be read"),
        ("create index on app.events (n)", "create index on app.events (id)", None),
    ],
)  # fmt: skip
def test_what_comes_while_it_waits_for_its_lock_is_not_its_own(
    tables: Database, statement: str, theirs: str, why: str | None
) -> None:
    """Another transaction holds the lock, and commits what it made."""
    tables.run("create index old on app.events (kind, n)")
    job = put_sql(tables, statement, settings={"lock_timeout": "0"})
    with holding(tables, "lock table app.events in access exclusive mode") as holder:
        holder.execute(theirs.encode())
        holder.execute("set local search_path = pg_catalog")
        theirs_alone = [holder.execute(look.encode()).fetchall() for look in LOOKS]
        tables.run("select jobs.start()")
        wait_for_lock(tables, "app.events")
        holder.commit()
    tables.drain()
    assert state(tables, job) == "succeeded", tables.job(job)

    if why:
        assert why in refused(tables, "PW066", job)
    else:
        assert _looks(tables) != theirs_alone
        undone(tables, job)

    assert _looks(tables) == theirs_alone


LATER_PARTS = (
    "create table app.parts_3 partition of app.parts for values from (20) to (30)",
    (
        "create index theirs on app.spare (a);"
        "alter table app.parts attach partition app.spare for values from (20) to (30)"
    ),
)


@pytest.mark.parametrize("later", LATER_PARTS)
def test_indexes_of_partitions_that_came_later_stay(tables: Database, later: str) -> None:
    """To drop the index of the partitioned table would drop them: refused, and they are named."""
    job = ran(tables, "create index whole on app.parts (a)")
    tables.run(later)
    before = tables.admin(INDEXES)

    said = refused(tables, "PW067", job)

    assert "app.theirs" in said or "app.parts_3_a_idx" in said
    assert tables.admin(INDEXES) == before


def test_an_index_of_a_partition_that_was_rebuilt_is_its_own(tables: Database) -> None:
    """It has another OID, and the same definition; one of a partition that went away is none."""
    before = tables.admin(INDEXES)
    job = ran(tables, "create index whole on app.parts (a) where a > 1 and a <> 7")
    tables.run("reindex index concurrently app.parts_1_a_idx")
    tables.run("drop table app.parts_2")

    undone(tables, job)

    assert tables.admin(INDEXES) == before


def test_an_index_that_took_over_one_of_a_partition_stays(tables: Database) -> None:
    """A person made it before, and it would be dropped with the index of the partitioned table."""
    tables.run("create index theirs on app.parts_1 (a)")
    job = ran(tables, "create index whole on app.parts (a)")

    assert "were there before" in refused(tables, "PW066", job)


@pytest.mark.parametrize("exists", ["", "if not exists "])
def test_an_index_that_was_made_while_a_build_waits_is_not_its_own(
    tables: Database, exists: str
) -> None:
    """It bears the name that the job wants; the child session fails, or does nothing. The job is
    done, as an index like that is there.
    """
    job = put_sql(tables, f"create index concurrently {exists}fresh on app.events (n)")
    with holding(tables, "lock table app.events in access exclusive mode") as holder:
        tables.run("select jobs.start()")
        wait_for_lock(tables, "app.events")
        holder.execute("create index fresh on app.events (n)")
        theirs = holder.execute(INDEXES.encode()).fetchall()
        holder.commit()
    tables.drain()

    assert state(tables, job) == "succeeded", tables.job(job)
    assert "not known" in refused(tables, "PW066", job)
    assert tables.admin(INDEXES) == theirs


def test_a_way_back_whose_job_is_forgotten_does_not_run(tables: Database) -> None:
    """The history of the job goes while its way back waits: it fails, and says why."""
    tables.admin("select jobs.create_queue('brief', retention => '1 hour')")
    step_history(tables)
    jobs = [
        ran(tables, "create index fresh on app.events (n)", queue="brief"),
        ran(tables, "create index concurrently later on app.events (kind)", queue="brief"),
        ran(tables, "alter table app.events add constraint one check (n > -1)", queue="brief"),
    ]
    undoing = [int(tables.value("select jobs.undo(%s)", [job])) for job in jobs]
    age_history(tables, "2 hours")
    step_history(tables)
    before = tables.admin(INDEXES), tables.admin(CONSTRAINTS)

    tables.drain()

    for job, by in zip(jobs, undoing, strict=True):
        assert not tables.admin("select 1 from jobs_internal.finished where id = %s", [job])
        error = tables.job(by)["error"]
        assert (error["sqlstate"], error["message"]) == (
            "PW066",
            f"what job {job} did is not known any more",
        )
    assert (tables.admin(INDEXES), tables.admin(CONSTRAINTS)) == before

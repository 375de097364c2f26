"""jobs.undo takes back what a statement job did, and nothing that came later."""

import pytest
from psycopg.types.json import Jsonb
from stage import put, put_sql, state
from support import Database

from .taken_back import (
    CONSTRAINTS,
    INDEXES,
    NOT_NULL,
    PARENTS,
    REFERS,
    SIZES,
    STATISTICS,
    ran,
    refused,
    undone,
)

UNDONE = (
    "create index concurrently on app.events (n)",
    "create index concurrently fresh on app.events (n desc) where n > 3",
    "create index on app.events (n)",
    "create unique index fresh on app.events (id, n)",
    "create index on app.parts (a)",
    "alter table app.events add check (n >= 0)",
    "alter table app.events add constraint positive check (n >= 0) not valid",
    "alter table app.events add unique (id, n)",
    "alter table app.parts add primary key (a)",
    "alter table app.events alter n set not null",
    "alter table app.parts detach partition app.parts_1",
    "alter table app.parts detach partition app.parts_1 concurrently",
    "alter table app.parts attach partition app.spare for values from (20) to (30)",
    "alter table app.parts attach partition app.spare default",
)


@pytest.mark.parametrize("statement", UNDONE)
def test_what_was_made_is_gone_again(tables: Database, statement: str) -> None:
    """Indexes, constraints, NOT NULL and partitions are as before; both jobs name each other."""
    looks = (INDEXES, CONSTRAINTS, PARENTS, NOT_NULL)
    before = [tables.admin(look) for look in looks]
    job = ran(tables, statement)
    between = [tables.admin(look) for look in looks]

    by = undone(tables, job)

    assert between != before
    assert [tables.admin(look) for look in looks] == before
    assert tables.admin(
        "select job_id, undo_of, undone_by from jobs_internal.operation order by job_id"
    ) == [(job, None, by), (by, job, None)]
    assert tables.value("select title from jobs.job where id = %s", [by]) == f"undo of {job}"


@pytest.mark.parametrize("how", ["drop index app.{}", "drop index concurrently app.{}"])
def test_a_dropped_index_comes_back_as_it_was(tables: Database, how: str) -> None:
    """Its definition, comment, statistics target and clustered flag."""
    tables.run(
        "create index plain on app.events (at) with (fillfactor = 70);"
        'create index "Rich" on app.events (lower(kind), n desc) where n > 1;'
        'comment on index app."Rich" is \'it'
        "s rich';"
        'alter index app."Rich" alter column 1 set statistics 77;'
        "alter table app.parts_1 add unique (a); alter table app.events cluster on plain"
    )
    before = tables.admin(INDEXES)
    for name in ("plain", '"Rich"'):
        job = ran(tables, how.format(name))
        assert tables.admin(INDEXES) != before

        undone(tables, job)

        assert tables.admin(INDEXES) == before


def test_an_undo_can_be_undone(tables: Database) -> None:
    """There and back, and back again."""
    job = ran(tables, "create index concurrently fresh on app.events (n)")
    made = tables.admin(INDEXES)
    by = undone(tables, job)

    undone(tables, by)
    assert tables.admin(INDEXES) == made

    undone(tables, job)
    assert tables.admin(INDEXES) != made


def test_an_index_that_was_rebuilt_is_found(tables: Database) -> None:
    """REINDEX CONCURRENTLY gives it another OID; a rename is no change either."""
    before = tables.admin(INDEXES)
    job = ran(tables, "create index concurrently fresh on app.events (n)")
    tables.run("reindex index concurrently app.fresh")
    undone(tables, job)
    assert tables.admin(INDEXES) == before

    job = ran(tables, "create index concurrently fresh on app.events (n)")
    tables.run("alter index app.fresh rename to other_name")
    undone(tables, job)
    assert tables.admin(INDEXES) == before


@pytest.mark.parametrize(
    ("statement", "later", "why"),
    [
        ("create unique index fresh on app.events (id, n)",
            "drop index app.fresh; create index fresh on app.events (n)", "something else"),
        ("create unique index fresh on app.events (id, n)",
            "alter index app.fresh set (fillfactor = 50)", "another definition"),
        ("create unique index fresh on app.events (id)",
            "alter table app.events add unique using index fresh", "a constraint stands on"),
        ("create index fresh on app.events (n)", "alter table app.events cluster on fresh",
            "clustered"),
        ("create index fresh on app.parts_1 (a)", "create index whole on app.parts (a)",
            "a part of"),
        ("drop index app.old", "create index old on app.events (id)", "taken"),
        ("drop index app.old", "alter table app.events rename kind to sort", "kind"),
        ("drop index app.old", "alter table app.events rename to happenings", "another name"),
        ("alter table app.events add constraint one unique (n, id)",
            REFERS, "depends"),
        ("alter table app.events add constraint one check (n > -1)",
            "alter table app.events drop constraint one", "gone"),
        ("alter table app.events alter n set not null",
            "alter table app.events alter n drop not null", "gone"),
        ("alter table app.parts detach partition app.parts_1", "drop table app.parts_1", "gone"),
        ("alter table app.parts detach partition app.parts_1",
            "create table app.parts_3 partition of app.parts for values from (0) to (10)",
            "its bound"),
        ("alter table app.parts detach partition app.parts_1",
            "alter table app.parts attach partition app.parts_1 for values from (-5) to (10)",
            "partition of app.parts now"),
    ],
)  # fmt: skip
def test_what_came_later_is_not_destroyed(
    tables: Database, statement: str, later: str, why: str
) -> None:
    """Refused with the reason; what came later stands."""
    tables.run("create index old on app.events (kind, n)")
    job = ran(tables, statement)
    tables.run(later)
    before = tables.admin(INDEXES)

    assert why in refused(tables, "PW067", job)
    assert tables.admin(INDEXES) == before


@pytest.mark.parametrize("how", ["create index", "create index concurrently"])
def test_what_comes_before_the_way_back_runs_stops_it(tables: Database, how: str) -> None:
    """Between the call and the run the index got another definition: it stays."""
    job = ran(tables, f"{how} fresh on app.events (n)")
    by = int(tables.value("select jobs.undo(%s)", [job]))
    tables.run("drop index app.fresh; create index fresh on app.events (n desc)")
    tables.drain()

    assert tables.job(by)["error"]["sqlstate"] == "PW067"
    assert tables.value("select to_regclass('app.fresh') is not null")


def test_in_a_transaction_too(tables: Database) -> None:
    """A way back that does not need a session of its own is looked at again as well."""
    job = ran(tables, "alter table app.events add constraint one unique (n, id)")
    by = int(tables.value("select jobs.undo(%s)", [job]))
    tables.run(REFERS)
    tables.drain()

    assert tables.job(by)["error"]["sqlstate"] == "PW067"


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("vacuum app.events", "no transaction can see"),
        ("vacuum full app.events", "the same rows"),
        ("reindex index app.events_pkey", "same definition"),
        ("create index if not exists events_pkey on app.events (n)", "made nothing"),
        ("alter table app.events alter id set not null", "NOT NULL before"),
        ("alter table app.events drop column kind", "not known"),
        ("truncate app.events", "the rows are gone"),
        ("insert into app.events values (0)", "not noted"),
    ],
)
def test_where_there_is_no_way_back_the_reason_is_said(
    tables: Database, statement: str, why: str
) -> None:
    """PW066, with why."""
    assert why in refused(tables, "PW066", ran(tables, statement))


def test_a_rollback_that_was_given_wins(tables: Database) -> None:
    """With the path of the statement; also of one that is no long operation."""
    with tables.connect() as connection:
        connection.execute("set search_path = app")
        job, other = (
            int(row[0])
            for row in connection.execute(
                "select jobs.enqueue_sql('create index fresh on events (n)', rollback =>"
                " 'alter index fresh rename to taken_back') union all"
                " select jobs.enqueue_sql('update events set n = 77 where id = 1', rollback =>"
                " 'update events set n = 0 where id = 1') order by 1"
            )
        )
    tables.drain()
    undone(tables, job)
    undone(tables, other)

    assert tables.value("select to_regclass('app.taken_back') is not null")
    assert tables.value("select n from app.events where id = 1") == 0


def test_states_and_owners(tables: Database) -> None:
    """A job that waits, one that failed, one that was taken back, one of another owner, one that
    is a call.
    """
    waiting = put_sql(tables, "create index on app.events (n)", run_at="2100-01-01")
    assert "scheduled" in refused(tables, "PW064", waiting)
    tables.run("select jobs.cancel(%s)", [waiting])
    assert "cancelled" in refused(tables, "PW066", waiting)

    failed = put_sql(tables, "create index on app.no_such (n)", max_attempts=1)
    tables.drain()
    assert "not done" in refused(tables, "PW066", failed)

    job = ran(tables, "create index on app.events (n)")
    assert "no job" in refused(tables, "PW030", job, role="other")
    by = int(tables.value("select jobs.undo(%s)", [job]))
    assert f"By job {by}, which is queued" in refused(tables, "PW065", job)
    tables.drain()
    assert f"By job {by}, which is succeeded" in refused(tables, "PW065", job)
    assert "no job" in refused(tables, "PW030", 10**9)

    call = put(tables, "pg_catalog.now")
    tables.drain()
    assert "not noted" in refused(tables, "PW066", call)


def test_after_a_way_back_that_was_cancelled_another_may_come(tables: Database) -> None:
    """What was not taken back can be."""
    job = ran(tables, "create index fresh on app.events (n)")
    by = tables.value("select jobs.undo(%s)", [job])
    tables.run("select jobs.cancel(%s)", [by])

    assert undone(tables, job) != by
    assert tables.value("select to_regclass('app.fresh')") is None


def test_steps_are_taken_back_the_last_one_first(tables: Database) -> None:
    """Those that are done, with the rollback that was given or what is known."""
    before = tables.admin(INDEXES), tables.admin(CONSTRAINTS)
    steps = [
        "create index concurrently fresh on app.events (n)",
        {"statement": "alter index app.fresh rename to newer",
            "rollback": "alter index app.newer rename to fresh"},
        "alter table app.events add constraint one check (n > -1) not valid",
        "alter table app.events validate constraint one",
        "select 1 / 0",
    ]  # fmt: skip
    job = tables.value("select jobs.enqueue_steps(%s, max_attempts => 1)", [Jsonb(steps)])
    tables.drain()
    assert state(tables, job) == "failed"

    by = undone(tables, job)

    assert (tables.admin(INDEXES), tables.admin(CONSTRAINTS)) == before
    assert [
        row[0] for row in tables.admin("select body from jobs_internal.step where job_id = %s"
            " order by n", [by])
    ] == [
        "alter table app.events drop constraint one",
        "alter index app.newer rename to fresh",
        "drop index concurrently app.fresh",
    ]  # fmt: skip


def test_statistics_come_back(tables: Database) -> None:
    """Those of a table, of its partitions and of an expression are as they were before ANALYZE."""
    if tables.admin("show server_version_num") < [("180000",)]:
        pytest.skip("PostgreSQL 18 can put statistics back")
    tables.run("create index folded on app.events (upper(kind)); analyze app.events, app.parts")
    statistics, sizes = tables.admin(STATISTICS), tables.admin(SIZES)
    tables.run(
        "insert into app.events select i, now(), i, 'new' from generate_series(501, 3000) i;"
        "insert into app.parts select i % 20 from generate_series(1, 400) as i"
    )
    job = ran(tables, "analyze app.events, app.parts")
    assert tables.admin(STATISTICS) != statistics

    undone(tables, job)

    assert tables.admin(STATISTICS) == statistics
    assert tables.admin(SIZES) == sizes

"""jobs.undo of jobs of several steps: the last one first, each for the state that it will find."""

import pytest
from stage import put_steps, state
from support import Database

from .taken_back import CONSTRAINTS, INDEXES, NOT_NULL, PARENTS, failed, refused, undone

SPACES = (
    "select c.relname, t.spcname from pg_class as c left join pg_tablespace as t"
    " on t.oid = c.reltablespace where c.relnamespace = 'app'::regnamespace and c.relkind = 'i'"
    " order by 1"
)
#: What frees the way is taken back before what it stands in the way of.
FREED = (
    ("drop index app.old", "create index old on app.events (id)"),
    ("drop index concurrently app.old", "create index concurrently old on app.events (id)"),
    ("drop index app.old",
        {"statement": "create index old on app.events (id)", "rollback": "drop index app.old"}),
    ("alter table app.events add constraint one unique (n, id)",
        "alter table app.r add foreign key (n, id) references app.events (n, id)"),
    ("alter table app.events add constraint one unique (n, id)",
        {"statement": "alter table app.r add constraint k foreign key (n, id)"
            " references app.events (n, id)", "rollback": "alter table app.r drop constraint k"}),
    ("alter table app.r alter n set not null", "alter table app.r add primary key (n)"),
    ("alter table app.parts detach partition app.parts_1",
        "alter table app.parts attach partition app.spare for values from (0) to (10)"),
    ("alter table app.parts attach partition app.spare for values from (20) to (30)",
        "alter table app.parts detach partition app.spare"),
    ("create index fresh on app.events (n)", "drop index app.fresh"),
    ("alter table app.events add constraint one unique (n, id)",
        "create index events_n_id on app.events (n)",
        "drop index app.old", "create index old on app.events (n, kind)"),
)  # fmt: skip


@pytest.mark.parametrize("given", FREED)
def test_a_later_step_frees_the_way(tables: Database, given: tuple[object, ...]) -> None:
    """Names, constraints that depend on others, bounds and parents of partitions."""
    tables.run("create table app.r (n int, id int); create index old on app.events (kind, n)")
    looks = (INDEXES, CONSTRAINTS, PARENTS, NOT_NULL)
    before = [tables.admin(look) for look in looks]
    job = put_steps(tables, *given)
    tables.drain()
    assert state(tables, job) == "succeeded", tables.job(job)

    undone(tables, job)

    assert [tables.admin(look) for look in looks] == before


def test_what_stands_in_the_way_besides_is_not_overlooked(tables: Database) -> None:
    """A foreign key of others beside the one that goes, and a name that they took."""
    tables.run("create table app.r (n int, id int)")
    job = put_steps(
        tables,
        "alter table app.events add constraint one unique (n, id)",
        "alter table app.r add foreign key (n, id) references app.events (n, id)",
    )
    tables.drain()
    tables.run(
        "create table app.s (n int, id int, constraint theirs foreign key (n, id)"
        " references app.events (n, id))"
    )
    said = refused(tables, "PW067", job)
    assert "theirs" in said
    assert "r_n_id_fkey" not in said


def test_an_index_comes_back_to_its_tablespace(tables: Database, tablespace: str) -> None:
    """Of steps, with and without a condition; also where a setting names another one."""
    tables.run(
        f"create index old on app.events (kind) with (fillfactor = 70) tablespace {tablespace}"
        " where n > 1 and kind <> ' WHERE ';"
        "create index odd on app.events ((case when n > 1 then ' WHERE ' end), id) tablespace"
        f" {tablespace} where case when n > 3 then true else kind = 'x' end;"
        f"create index plain on app.events (n) tablespace {tablespace}"
    )
    before = tables.admin(SPACES), tables.admin(INDEXES)
    job = put_steps(
        tables, "drop index app.old", "drop index app.odd", "drop index concurrently app.plain"
    )
    tables.drain()
    undone(tables, job)
    assert (tables.admin(SPACES), tables.admin(INDEXES)) == before

    tables.run("create index at_home on app.events (at)")
    before = tables.admin(SPACES), tables.admin(INDEXES)
    tables.admin(f"alter role app in database {tables.name} set default_tablespace = {tablespace}")
    job = put_steps(tables, "drop index app.at_home",
        {"statement": "select 1", "rollback": "select 1"})  # fmt: skip
    tables.drain()
    undone(tables, job)
    assert (tables.admin(SPACES), tables.admin(INDEXES)) == before


def test_a_replaced_index_comes_back_to_its_tablespace(tables: Database, tablespace: str) -> None:
    """The recipe's own way back names it."""
    tables.run(f"create index old on app.events (kind) tablespace {tablespace} where n > 1")
    before = tables.admin(SPACES), tables.admin(INDEXES)
    job = int(
        tables.value("select jobs.enqueue_steps(jobs.replace_index_steps('app.old', '(kind, n)'))")
    )
    tables.drain()
    assert (tables.admin(SPACES), tables.admin(INDEXES)) != before

    undone(tables, job)

    assert (tables.admin(SPACES), tables.admin(INDEXES)) == before


def test_steps_of_a_job_that_is_taken_back_are_not_gone_on_with(tables: Database) -> None:
    """jobs.retry is refused while the way back is enqueued and once it is done; where it was
    cancelled or failed, or was taken back itself, the job goes on where it stopped.
    """
    job = put_steps(tables, "create index fresh on app.events (n)",
        "alter table app.events add constraint one check (n < 5)", max_attempts=1)  # fmt: skip
    failed(tables, job)
    by = int(tables.value("select jobs.undo(%s)", [job]))
    assert f"By job {by}, which is queued" in refused(tables, "PW065", job, call="retry")

    tables.run("select jobs.cancel(%s)", [by])
    tables.run("select jobs.retry(%s)", [job])
    failed(tables, job)  # it went on at the second step

    by = int(tables.value("select jobs.undo(%s)", [job]))
    tables.run("drop index app.fresh; create index fresh on app.events (kind)")
    failed(tables, by)  # something came later
    tables.run("select jobs.retry(%s)", [job])
    failed(tables, job)

    tables.run("drop index app.fresh; create index fresh on app.events (n)")
    by = undone(tables, job)
    assert f"By job {by}, which is succeeded" in refused(tables, "PW065", job, call="retry")

    again = undone(tables, by)  # back
    undone(tables, again)  # and forth
    refused(tables, "PW065", job, call="retry")
    undone(tables, by)
    tables.run("update app.events set n = 0")
    tables.run("select jobs.retry(%s)", [job])
    tables.drain()
    assert state(tables, job) == "succeeded", tables.job(job)

"""The way back and locks: it keeps no job from its end, and does not wait without bound."""

import pytest
from stage import (
    gate_shut,
    holding,
    put_sql,
    put_steps,
    state,
    wait_at_gate,
    wait_for,
    wait_for_lock,
)
from support import Database, sqlstate_of, wait_until

from .taken_back import CONSTRAINTS, INDEXES, PARENTS, ran, refused, undone


def test_a_job_ends_while_what_it_made_is_locked(tables: Database) -> None:
    """Another session holds the table of an earlier step when the last one ends."""
    before = tables.admin(INDEXES)
    job = put_steps(tables, "create index fresh on app.events (n) where n > 3",
        {"statement": "select app.gate(1)", "rollback": "select 1"})  # fmt: skip
    with gate_shut(tables) as gate:
        tables.run("select jobs.start()")
        wait_at_gate(tables)
        with holding(tables, "lock table app.events in access exclusive mode"):
            gate.execute("select pg_advisory_unlock(1)")
            assert wait_for(tables, job)["state"] == "succeeded"
    undone(tables, job)
    assert tables.admin(INDEXES) == before


NOT_KNOWN = ("PW066", "PW066", "PW066")
#: A function of the way back, and what jobs.undo says of each job that ended while it failed.
BROKEN = (
    ("facts_before(jsonb, jsonb, jsonb)", NOT_KNOWN),
    ("facts_after(bigint, text, jsonb)", NOT_KNOWN),
    ("store_way_back(bigint, jsonb)", NOT_KNOWN),
    # what these read or show is asked for when a person asks
    ("undo_statements(bigint)", (None, None, None)),
    ("way_shown(bigint, jsonb)", (None, None, None)),
)


@pytest.mark.parametrize(("broken", "codes"), BROKEN)
def test_a_job_ends_whatever_happens_to_its_way_back(
    tables: Database, broken: str, codes: tuple[str | None, ...]
) -> None:
    """Each function of it fails, one after the other: a way back is known, and works, or is not."""
    before = tables.admin(INDEXES), tables.admin(CONSTRAINTS)
    tables.admin(f"alter function jobs_internal.{broken} rename to broken")
    jobs = [
        put_sql(tables, "create index on app.events (n)"),
        put_sql(tables, "create index concurrently on app.events (kind)"),
        put_steps(
            tables,
            "alter table app.events add constraint one check (n > -1)",
            {"statement": "select 1", "rollback": "select 1"},
        ),
    ]
    tables.drain()
    assert [state(tables, job) for job in jobs] == ["succeeded"] * 3
    after = tables.admin(INDEXES), tables.admin(CONSTRAINTS)
    tables.admin(
        f"alter function jobs_internal.broken{broken[broken.index('(') :]}"
        f" rename to {broken[: broken.index('(')]}"
    )

    said = tuple(
        sqlstate_of(lambda job=job: tables.run("select jobs.undo(%s)", [job])) for job in jobs
    )
    tables.drain()

    assert said == codes
    assert (tables.admin(INDEXES), tables.admin(CONSTRAINTS)) == (
        after if codes == NOT_KNOWN else before
    )


@pytest.mark.parametrize(
    ("statement", "relation"),
    [
        ("create index fresh on app.events (n) where n > 3", "app.events"),
        ("create index concurrently fresh on app.events (lower(kind))", "app.events"),
        ("alter table app.parts detach partition app.parts_1", "app.parts_2"),
    ],
)
def test_undo_waits_for_no_table(tables: Database, statement: str, relation: str) -> None:
    """Another session holds the table; the job that takes it back waits as its statement does, can
    be cancelled meanwhile, and works afterwards.
    """
    before = tables.admin(INDEXES), tables.admin(PARENTS)
    job = ran(tables, statement)
    with holding(tables, f"lock table {relation} in access exclusive mode"):
        by = int(tables.value("select jobs.undo(%s)", [job]))
        if relation == "app.events":
            tables.run("select jobs.start()")
            wait_for_lock(tables, relation)
            tables.run("select jobs.cancel(%s)", [by])
        else:
            tables.run("select jobs.cancel(%s)", [by])
        wait_until(lambda: state(tables, by) == "cancelled" or not tables.background())
    tables.drain()
    assert state(tables, by) == "cancelled", tables.job(by)
    undone(tables, job)
    assert (tables.admin(INDEXES), tables.admin(PARENTS)) == before


@pytest.mark.parametrize("rollback", [None, "drop index app.fresh"])
def test_a_second_call_does_not_wait_for_a_transaction_that_is_left_open(
    tables: Database, rollback: str | None
) -> None:
    """It says so, and that a retry helps."""
    job = ran(tables, "create index fresh on app.events (n)", rollback=rollback)
    with tables.server.connect("app", tables.name) as first:
        first.execute("begin")
        first.execute("select jobs.undo(%s)", [job])
        assert "another session" in refused(tables, "55P03", job)
        first.execute("rollback")
    undone(tables, job)


def test_how_things_stand_is_read_after_the_start_is_committed(tables: Database) -> None:
    """What it reads is locked: others start operations meanwhile, and nothing is lost."""
    before = tables.admin(PARENTS)
    job = put_sql(
        tables, "alter table app.parts detach partition app.parts_1",
        settings={"lock_timeout": "0"},
    )  # fmt: skip
    with holding(tables, "lock table app.parts_1 in access exclusive mode"):
        tables.run("select jobs.start()")
        wait_for_lock(tables, "app.parts_1")
        assert tables.admin("select 1 from jobs_internal.operation_start for update skip locked")
        assert state(tables, job) == "running"
    tables.drain()
    assert tables.admin(PARENTS) != before

    undone(tables, job)

    assert tables.admin(PARENTS) == before


def test_a_lock_does_not_lose_the_way_back(tables: Database) -> None:
    """At top level what it reads is locked for longer than one look takes; a cancel ends that."""
    tables.run("create index old on app.events (lower(kind)) where n > 1")
    before = tables.admin(INDEXES)
    statement = "drop index concurrently app.old"
    job = put_sql(tables, statement)
    with holding(tables, "lock table app.events in access exclusive mode"):
        tables.run("select jobs.start()")
        seen = set()

        def looked_twice() -> bool:
            seen.update(tables.admin(
                "select waitstart from pg_locks where relation = 'app.events'::regclass"
                " and not granted and waitstart is not null"
            ))  # fmt: skip
            return len(seen) > 1

        wait_until(looked_twice)
    tables.drain()
    assert tables.admin(INDEXES) != before
    undone(tables, job)
    assert tables.admin(INDEXES) == before

    job = put_sql(tables, statement)
    with holding(tables, "lock table app.events in access exclusive mode"):
        tables.run("select jobs.start()")
        wait_for_lock(tables, "app.events")
        tables.run("select jobs.cancel(%s)", [job])
        wait_for(tables, job, "cancelled")
    assert tables.admin(INDEXES) == before


def test_a_lock_timeout_holds_while_it_reads(tables: Database) -> None:
    """What is read at top level is locked: the attempt fails as its statement would, no later."""
    tables.run("create index old on app.events (lower(kind))")
    before = tables.admin(INDEXES)
    job = put_sql(tables, "drop index concurrently app.old", max_attempts=1,
        settings={"lock_timeout": "100ms"})  # fmt: skip
    with holding(tables, "lock table app.events in access exclusive mode"):
        tables.run("select jobs.start()")
        assert wait_for(tables, job)["error"]["sqlstate"] == "55P03"
    tables.run("select jobs.retry(%s)", [job])
    tables.drain()
    assert state(tables, job) == "succeeded"

    undone(tables, job)

    assert tables.admin(INDEXES) == before

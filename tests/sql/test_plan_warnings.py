"""What jobs.plan warns of, and the way back that it names."""

import pytest
from support import Database

from .plans import plan


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("create index on app.events (at)", ["app.events_at has the same columns"]),
        ("create index concurrently on app.events (at, n)", ["app.events_at (at)", "beginning"]),
        ("create unique index on app.events (at)", ["same columns, and may not be needed"]),
        ("create index x on app.events (id)", ["app.events_pkey has the same columns"]),
        ("create index concurrently x on app.parts (a)", ["0A000", "on only app.parts"]),
        ("create index events_at on app.events (n)", ["42P07"]),
        ("create index if not exists events_at on app.events (n)", ["makes nothing"]),
        ("create index if not exists totals on app.events (n)", ["materialized view", "fails"]),
        ("create index if not exists broken on app.events (n)", ["invalid", "fails"]),
        ("create index on app.events (price)", ["HOT", "price"]),
        ("alter table app.events alter n set not null", ["not_null_steps('app.events', 'n')"]),
        ("alter table app.events alter at set not null", ["NOT NULL already"]),
        ("alter table app.events add unique (n)", ["unique_steps('app.events'"]),
        ("alter table app.events add check (n > 0)", ["constraint_steps('app.events'"]),
        ("alter table app.events alter n type bigint", ["anew", "on top of lock_timeout"]),
        ("refresh materialized view concurrently app.totals", ["no unique index", "55000"]),
        ("reindex table concurrently app.events", ["TOAST", "one job each", "events_pkey"]),
        ("truncate app.events", ["triggers fire: on_truncate"]),
        ("insert into app.events (id, at) values (1, now())", ["triggers fire: on_insert"]),
        ("vacuum app.parts", ["2 partitions"]),
        ("drop index concurrently if exists app.no_such", ["does nothing"]),
    ],
)
def test_warnings(planned: Database, statement: str, words: list[str]) -> None:
    """Each trap is named before it is stepped into."""
    planned.run(
        "create function app.look() returns trigger language plpgsql as"
        " $$ begin return new; end $$;"
        "create trigger on_insert before insert on app.events for each row"
        " execute function app.look();"
        "create trigger on_truncate before truncate on app.events execute function app.look();"
        "create index broken on app.places (id)"
    )
    planned.admin(
        "update pg_index set indisvalid = false where indexrelid = 'app.broken'::regclass"
        " returning 1"
    )
    planned.run("alter table app.events set (fillfactor = 50)")
    planned.run("insert into app.events select -i, now(), 'k', 1, 1 from generate_series(1, 50) i")
    planned.run("update app.events set price = price + 1 where id < 0")
    planned.run("select pg_stat_force_next_flush()")

    said = plan(planned, statement)["warning"] or ""

    assert [word for word in words if word not in said] == [], said


@pytest.mark.parametrize(
    "statement",
    [
        "create index concurrently on app.events (price)",
        "create unique index on app.events (n)",
        "alter table app.events set (fillfactor = 90)",
    ],
)
def test_no_warning_where_there_is_nothing_to_say(planned: Database, statement: str) -> None:
    """A plain case is not talked over."""
    assert not plan(planned, statement)["warning"]


def test_a_check_that_was_validated_is_enough(planned: Database) -> None:
    """SET NOT NULL has nothing to read where a CHECK shows it; one that is not validated does not
    count.
    """
    statement = "alter table app.events alter n set not null"
    planned.run("alter table app.events add constraint there check (n is not null) not valid")
    assert "not_null_steps" in plan(planned, statement)["warning"]

    planned.run("alter table app.events validate constraint there")

    assert plan(planned, statement)["warning"] is None


@pytest.mark.parametrize(
    ("statement", "undo"),
    [
        ("create index concurrently x on app.events (n)", "drop index concurrently app.x"),
        ("drop index app.events_at",
            "CREATE INDEX CONCURRENTLY events_at ON app.events USING btree (at)"),
        ("alter table app.events add constraint c check (n > 0)",
            "alter table app.events drop constraint c"),
        ("alter table app.parts detach partition app.parts_1 concurrently",
            "alter table app.parts attach partition app.parts_1 FOR VALUES FROM (0) TO (10)"),
        ("alter table app.events alter n set not null",
            "alter table app.events alter column n drop not null"),
        ("alter table app.events alter at set not null", "none: the column is NOT NULL already"),
        ("vacuum app.events", "none: it removes only rows that no transaction can see"),
        ("alter table app.events drop column n",
            "none: what undoes this statement is not known; give rollback"),
    ],
)  # fmt: skip
def test_the_way_back_is_said_before(planned: Database, statement: str, undo: str) -> None:
    """The statement that would take it back, or why there is none."""
    assert plan(planned, statement)["undo"] == undo

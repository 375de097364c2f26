"""jobs.plan says of tables of others what the server lets a role do."""

import re

import psycopg
import pytest
from support import Database, sqlstate_of

from .plans import plan


def test_a_table_of_another_role_is_refused(planned: Database) -> None:
    """What the caller may not do is not planned; what it was granted is."""
    planned.run("grant usage on schema app to other; grant truncate on app.events to other")
    with pytest.raises(psycopg.Error) as caught:
        plan(planned, "create index on app.events (n)", role="other")

    assert caught.value.sqlstate == "PW062"
    assert plan(planned, "truncate app.events", role="other")["kind"] == "truncate"


#: What a role may be given that owns no table, and what PostgreSQL then lets it do, or not.
RIGHTS = {
    "none": "grant usage on schema app to other",
    "the schema": "alter schema app owner to other",
    "the database": "grant usage on schema app to other; alter database {database} owner to other",
    "TRIGGER": "grant usage on schema app to other; grant trigger on app.events to other",
    "MAINTAIN": "grant usage on schema app to other; grant maintain on app.events to other",
}


TRIGGER = (
    "create trigger early before insert on app.events for each row"
    " execute function suppress_redundant_updates_trigger()"
)


BY_OTHERS = (
    "drop table app.places",
    "drop index app.events_at",
    "drop index concurrently app.events_at",
    "vacuum app.events",
    "vacuum full app.events",
    "analyze app.events",
    "reindex table app.events",
    "cluster app.events using events_at",
    "truncate app.events",
    "alter table app.events add column more integer",
    TRIGGER,
)


@pytest.mark.parametrize("right", RIGHTS)
def test_what_the_server_lets_others_do_is_planned(planned: Database, right: str) -> None:
    """Refused is what PostgreSQL refuses, or passes over with a warning; nothing else is."""
    planned.admin(RIGHTS[right].format(database=planned.name))
    may, done = {}, {}
    for statement in BY_OTHERS:
        refused = sqlstate_of(lambda text=statement: plan(planned, text, role="other"))
        assert refused in (None, "PW062")
        may[statement] = refused is None
        done[statement] = _done_by_other(planned, statement)
    # the table of a trigger is not read from the text, so that is not refused before
    assert may.pop(TRIGGER)
    assert done.pop(TRIGGER) == (right == "TRIGGER")
    assert may == done


def _done_by_other(planned: Database, statement: str) -> bool:
    """Run a statement as other; undone where it can be, and so that the next one can be run."""
    warnings: list[str] = []
    with planned.server.connect("other", planned.name) as line:
        line.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))
        undone = not re.match("vacuum|drop index concurrently", statement)
        if undone:
            line.execute("begin")
        error = sqlstate_of(lambda: line.execute(statement.encode()))
        assert error in (None, "42501")
        if undone:
            line.execute("rollback")
        if statement.startswith("drop index concurrently") and error is None:
            planned.admin("create index events_at on app.events (at)")
    return error is None and not any("permission denied" in text for text in warnings)

"""A title says what a statement works on, as far as its text can be read for sure."""

import psycopg
import pytest
from support import Row

TITLES = {
    "call app.tidy(1)": "call app.tidy",
    "call tidy()": "call tidy",
    'CALL "App"."Tidy all" (n => 1)': 'call "App"."Tidy all"',
    "insert into app.sales values (1)": "insert app.sales",
    "update only sales set n = 1": "update sales",
    "delete from app.sales where n = 1": "delete app.sales",
    "merge into app.sales using app.new on true when matched then do nothing": "merge app.sales",
    (
        "create materialized view if not exists app.totals as select 1"
    ): "create materialized view app.totals",
    "drop materialized view app.totals": "drop materialized view app.totals",
    "alter materialized view app.totals rename to sums": "alter materialized view app.totals",
    "create statistics app.s on a, b from app.sales": "create statistics app.s",
    "with old as (delete from app.sales returning *) select 1": "with",
    (
        "create index concurrently events_at on app.events (at)"
    ): "create index concurrently app.events_at",
    "drop index concurrently app.events_at": "drop index concurrently app.events_at",
    "truncate app.sales": "truncate app.sales",
    "vacuum (analyze) app.sales, app.events": "vacuum app.sales, app.events",
    "refresh materialized view concurrently app.totals": "refresh materialized view app.totals",
    "checkpoint": "checkpoint",
    'call U&"x"()': "call",
}


@pytest.mark.parametrize("statement", TITLES)
def test_the_title_of_a_statement(sql: psycopg.Connection[Row], statement: str) -> None:
    """Its command with its object; the same in the list of what waits, and as its task."""
    job = sql.execute("select jobs.enqueue_sql(%s)", [statement]).fetchone()
    said = sql.execute("select title, task from jobs.job where id = %s", job).fetchone()
    waits = sql.execute("select title, task from jobs.queued where id = %s", job).fetchone()

    assert said == waits == (TITLES[statement], TITLES[statement])

"""What the tests of jobs.plan share: tables, the plan of a statement, the locks that it takes."""

import re
from typing import Any

from psycopg import Connection
from support import Database, Row

TABLES = """
create table app.events (id integer primary key, at timestamptz not null, kind varchar(20),
  n integer, price numeric(10, 2), note text);
create index events_at on app.events (at);
create table app.places (id integer primary key);
insert into app.events select i, now(), 'k', i, i, '' from generate_series(1, 2000) as i;
alter table app.events add constraint positive check (n > 0) not valid;
create table app.parts (a integer, b text) partition by range (a);
create table app.parts_1 partition of app.parts for values from (0) to (10);
create table app.parts_2 partition of app.parts for values from (10) to (20);
create materialized view app.totals as select id, at from app.events;
"""


def plan(database: Database, statement: str, **options: Any) -> dict[str, Any]:
    """Give what jobs.plan says."""
    return database.record("select * from jobs.plan(%s::text)", [statement], **options)


def locks(connection: Connection[Row]) -> dict[str, str]:
    """Give the strongest lock on each table that this transaction holds, as SQL names it."""
    found: dict[str, str] = {}
    order = [
        "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE",
        "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE",
    ]  # fmt: skip
    for name, lock in connection.execute(
        "select coalesce(n.nspname || '.' || c.relname, 'gone'), l.mode from pg_locks as l"
        " left join pg_class as c on c.oid = l.relation"
        " left join pg_namespace as n on n.oid = c.relnamespace"
        " where l.pid = pg_backend_pid() and l.locktype = 'relation' and l.relation >= 16384"
    ):
        mode = re.sub("(?<=[a-z])(?=[A-Z])", " ", str(lock).removesuffix("Lock")).upper()
        if order.index(mode) >= order.index(found.get(str(name), "ACCESS SHARE")):
            found[str(name)] = mode
    return found

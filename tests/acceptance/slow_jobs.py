"""Jobs that take their time, each in its way."""

from typing import Any

from stage import put, put_sql
from support import Database

SLOW: dict[str, tuple[str, dict[str, Any] | None]] = {
    "alone": ("app.nap", {"seconds": 600}),
    "statement": ("insert into app.ledger (n) select 1 from pg_sleep(600)", None),
    "child": (
        "do $$ begin insert into app.ledger (n) values (1); commit; perform pg_sleep(600); end $$",
        None,
    ),
    "procedure": ("app.sleep_in_child", {"seconds": 600}),
}


PROCEDURE = (
    "create procedure app.sleep_in_child(seconds float8) language plpgsql as"
    " $$ begin insert into app.ledger (n) values (1); commit; perform pg_sleep(seconds); end $$"
)


def enqueue(database: Database, kind: str, **options: Any) -> int:
    task, args = SLOW[kind]
    return (
        put_sql(database, task, **options) if args is None else put(database, task, args, **options)
    )

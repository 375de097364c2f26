"""The risks of a deadlock that are kept of a build, and statements that make one."""

from typing import Any

from support import Database, wait_until

#: What kills a build, and what does not: beside it in each case a session that does, so that a
#: look that sees nothing cannot be a look that came too soon.
KILLERS = {
    "analyze": "analyze app.points",
    "storage": "alter table app.points set (fillfactor = 90)",
    "column": "alter table app.points add column m integer",
    "second build": "create index concurrently points_n on app.points (n)",
    "trigger": "create trigger t before insert on app.points for each row"
    " execute function suppress_redundant_updates_trigger()",
    "reindex": "reindex table app.points",
    "foreign key": "alter table app.other add foreign key (n) references app.points (n)",
    "truncate": "truncate app.points",
    # without a snapshot it is harmless: see test_who_kills_no_build_is_no_risk
    "lock": "begin isolation level repeatable read; select 1; lock table app.points",
}


HARMLESS = {"vacuum": "vacuum app.points", "verbose": "/* a */ vacuum (verbose) app.points"}


SHARE = "lock table app.points in share mode"


WARM = "begin; lock app.points in access share mode; commit; begin"


def risks(database: Database, job: int) -> list[dict[str, Any]]:
    """The risks that are kept of a job."""
    return (
        database.value(
            "select deadlock_risk from jobs_internal.operation where job_id = %s",
            [job],
            role="postgres",
        )
        or []
    )


def pids(database: Database, job: int) -> set[int]:
    return {risk["pid"] for risk in risks(database, job)}


def indexes(database: Database) -> list[tuple[Any, ...]]:
    """The indexes that builds made, and whether each is valid."""
    return database.admin(
        "select c.relname, i.indisvalid from pg_index as i"
        " join pg_class as c on c.oid = i.indexrelid"
        " where i.indrelid = 'app.points'::regclass and c.relname ~ 'gated' order by 1"
    )


def wait_for_age(database: Database, pid: int, seconds: float) -> None:
    """Wait until a process has waited for its lock for so long."""
    query = (
        "select 1 from pg_locks where pid = %s and not granted"
        " and clock_timestamp() - waitstart > make_interval(secs => %s)"
    )
    wait_until(lambda: database.admin(query, [pid, seconds]))

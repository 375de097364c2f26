"""History, the outbox and attempts have one writer each: what a function writes is read from
its body.
"""

import re

import pytest
from support import Database

#: Who writes a table, and which statements: everything else is refused.
WRITERS = {
    "insert into finished": {"archive_jobs"},
    "insert into attempt": {"store_attempt", "restore_attempts"},
    "insert into outbox": {"put_in_outbox"},
    "insert into finished_attempt": {"archive_attempts"},
    "insert into finished_log_line": {"archive_attempts"},
    "insert into finished_statement": {"archive_attempts"},
    "delete from finished": {"relive"},
    "delete from attempt": {"archive_attempts"},
    "delete from outbox": {"take_outcomes", "sweep_counters", "leave_sessions"},
    # What a person says of a finished job, and other numbers of roles in a copy.
    "update finished": {"cancel", "dismiss", "dismiss_failed", "note", "move_owners"},
    "update attempt": {"move_owners"},
    "update outbox": set(),
}
WRITES = re.compile(
    r"\b(insert into|update|delete from)\s+(?:jobs_internal\.)?([a-z_]+)", re.IGNORECASE
)


def test_each_table_has_its_writers(shared: Database) -> None:
    """A second writer would have to be kept equal to the first."""
    found: dict[str, set[str]] = {what: set() for what in WRITERS}
    for name, body in shared.admin(
        "select regexp_replace(p.oid::regproc::text, '^jobs_internal[.]', ''),"
        " coalesce(p.prosrc, '') || coalesce(pg_get_function_sqlbody(p.oid), '')"
        " from pg_proc as p where p.pronamespace = any ('{jobs, jobs_internal}'::regnamespace[])"
    ):
        for verb, table in WRITES.findall(body):
            what = f"{verb.lower()} {table}"
            if what in found:
                found[what].add(name)

    assert found == WRITERS


@pytest.mark.parametrize("table", ["finished", "attempt", "outbox"])
def test_a_second_writer_is_seen(table: str) -> None:
    """However its statement is laid out."""
    for schema in ("jobs_internal.", ""):
        assert WRITES.findall(f"begin\n  INSERT INTO\n {schema}{table} as x values (1);") == [
            ("INSERT INTO", table)
        ]

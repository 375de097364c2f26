"""Checks of jobs.health that no other file is about."""

from support import Database

VERSIONS = "select status, detail, remedy from jobs.health where \"check\" = 'versions'"


def test_supervisors_of_different_versions(database: Database) -> None:
    """One that was not started anew after an upgrade is named; those of one version are well."""
    assert database.admin(VERSIONS) == [("ok", "no supervisor", None)]
    opening = "select jobs_internal.supervisor_open(%s, 'here', 1, %s)"
    with database.connect("supervisor") as one, database.connect("supervisor") as two:
        one.execute(opening, ["one", "1.9"])
        two.execute(opening, ["two", "1.9"])
        alike = database.admin(VERSIONS)
        two.execute(opening, ["two", "2.0"])
        status, detail, remedy = database.admin(VERSIONS)[0]

    assert alike == [("ok", "all supervisors are of one version", None)]
    assert (status, detail) == (
        "warning",
        "supervisors of different versions: 1.9 (one), 2.0 (two)",
    )
    assert "the older" in remedy


def test_an_index_that_no_scan_used(database: Database) -> None:
    """A week after a job built it, and while its table is read: its way back is named. Not one
    that is used, is unique or of a constraint, nor one of another role.
    """
    database.run(
        "create table app.read (a integer, b integer, c integer);"
        " insert into app.read select g, g, g from generate_series(1, 1000) as g; analyze app.read"
    )
    for column, unique in (("a", ""), ("b", ""), ("c", "unique ")):
        database.run(
            f"select jobs.enqueue_sql('create {unique}index read_{column} on app.read ({column})')"
        )
    database.drain()
    look = "select status, detail, remedy from jobs.health where \"check\" = 'unused indexes'"
    with database.connect() as line:
        line.execute(b"set enable_seqscan = off")
        line.execute(b"select from app.read where b = 1")
        line.execute(b"reset enable_seqscan")
        line.execute(b"select count(*) from app.read")
        line.execute(b"select pg_stat_force_next_flush()")
    assert database.run(look)[0][0] == "ok"
    database.admin("update jobs_internal.operation set ended_at = ended_at - interval '8 days'")
    ((status, detail, remedy),) = database.run(look)
    assert status == "warning"
    assert "app.read_a (job 1)" in detail
    assert "read_b" not in detail
    assert "read_c" not in detail
    assert remedy.startswith("select jobs.undo(1);")
    assert database.run(look, role="other")[0][0] == "ok"
    database.run("select jobs.undo(1)")
    database.drain()
    assert database.run(look)[0][0] == "ok"

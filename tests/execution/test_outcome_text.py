"""What VACUUM and EXPLAIN say is kept with the attempt."""

import pytest
from stage import put_sql, wait_for
from support import Database


def vacuum(database: Database) -> dict[str, object]:
    """Vacuum app.points by a job; gives what its result says of it."""
    job = put_sql(database, "vacuum app.points")
    database.run("select jobs.start()")
    result = wait_for(database, job, "succeeded")["result"]
    kept = database.admin(
        "select output -> 'vacuum' from jobs_internal.operation where job_id = %s", [job]
    )[0][0]
    assert kept["attempt"] == 1
    assert kept["after"]["dead_rows"] == result["vacuum"]["dead_rows"][1]
    assert kept.get("not_removed_because") == result["vacuum"].get("not_removed_because")
    return dict(result["vacuum"])


def test_what_vacuum_did_and_why_rows_stayed(database: Database) -> None:
    """A snapshot that is older than the deletion keeps the rows; without it they go."""
    database.run("create table app.points (n integer) with (autovacuum_enabled = off)")
    database.run("insert into app.points select generate_series(1, 1000)")
    with database.server.connect("other", database.name) as reader:
        reader.execute("begin isolation level repeatable read; select 1")
        database.run("delete from app.points where n > 900")
        database.admin("select pg_stat_force_next_flush()")
        said = vacuum(database)
        assert said["dead_rows"][1] == 100
        pid = reader.info.backend_pid
        because = str(said["not_removed_because"])
        assert because.startswith(
            f"100 dead rows of app.points: snapshot of pid {pid} of role other ("
        )
        reader.rollback()
    said = vacuum(database)
    assert said["dead_rows"] == [100, 0]
    assert "not_removed_because" not in said
    assert said["pages"] == [5, 4]


@pytest.mark.parametrize("measured", ["on", "off"])
def test_what_explain_says_is_kept(database: Database, measured: str) -> None:
    """Its rows are the result, however long: of a long one the beginning."""
    database.run("select jobs.configure('measure_cost', %s)", [measured], role="operator")
    job = put_sql(database, "explain (analyze, costs off) select count(*) from pg_class")
    long = "explain (verbose) select " + ", ".join(f"'{'é' * 60}{n}'" for n in range(400))
    other = put_sql(database, long)
    lost = put_sql(database, "explain (format json) select from no_such", max_attempts=1)
    database.drain()
    result = database.result(job)
    assert result["plan"].startswith("Aggregate (actual ")
    assert result["rows"] == result["plan"].count("\n") + 1
    plan = database.result(other)["plan"]
    assert 19_000 < len(plan.encode()) <= 20_000
    error = database.job(lost)["error"]
    assert error["sqlstate"] == "42P01"
    assert "jobs_internal" not in (error["context"] or "")

"""COPY of a file of the server, and builds in another tablespace."""

from stage import put_sql, wait_for
from support import Database, wait_until

from .builds import GATE, child_of, gate, wait_waiting

ROWS = 20_000

SCENE = f"""
create table app.points (n integer, filler text);
create function app.stop() returns trigger language plpgsql as $$
begin
  if new.n = {ROWS // 2} then
    perform pg_advisory_xact_lock_shared({GATE});
  end if;
  return new;
end $$;
create trigger stop before insert on app.points for each row execute function app.stop();
"""


def test_copy_from_a_file_shows_its_progress(database: Database) -> None:
    """By the bytes that it has read of the file."""
    database.run(SCENE)
    # read by a path below the data directory
    name = f"points_{database.name}.copy"
    path = f"{database.value('show data_directory', role='postgres')}/{name}"
    database.admin(
        f"copy (select n, repeat('x', 50) from generate_series(1, {ROWS}) as n) to '{path}'"
    )
    database.admin("grant pg_read_server_files to app")
    try:
        database.admin("select jobs.admit_role('app')")
        with gate(database):
            job = put_sql(database, f"copy app.points from '{name}'")
            database.run("select jobs.start()")
            pid = wait_until(
                lambda: database.run("select pid from jobs.running where id = %s", [job])
            )[0][0]
            wait_waiting(database, pid, "advisory")
            # as a supervisor does in its rounds
            noted = "select percent from jobs.operations where id = %s and percent is not null"
            wait_until(
                lambda: (
                    database.admin("select jobs_internal.note_operations()")
                    and database.run(noted, [job])
                )
            )
            row = database.record("select * from jobs.operations where id = %s", [job])
            assert (row["kind"], row["phase"]) == ("copy", "copying")
            assert row["progress_source"] == "phases"
            assert 10 < row["percent"] < 90
        assert wait_for(database, job, "succeeded")["result"]["rows"] == ROWS
    finally:
        database.admin("revoke pg_read_server_files from app")


def test_a_build_in_another_tablespace(database: Database, tablespace: str) -> None:
    """It is planned, watched, and known by its OID as elsewhere."""
    database.run(
        "create table app.points as select n, md5(n::text) as m"
        " from generate_series(1, 20000) as n; analyze app.points"
    )
    build = "create index concurrently points_m on app.points (m)"
    plain, there = (
        database.record("select * from jobs.plan(%s)", [statement])
        for statement in (build, f"{build} tablespace {tablespace}")
    )
    for key in ("lock_mode", "blocks", "rewrites", "undo"):
        assert there[key] == plain[key]
    # a column behind which more is said counts 16 bytes
    assert 0.5 * plain["disk_bytes"] < there["disk_bytes"] <= plain["disk_bytes"]
    job = put_sql(database, f"{build} tablespace {tablespace}")
    with database.connect("app") as writer:
        writer.execute("begin; delete from app.points where false")
        database.run("select jobs.start()")
        wait_waiting(database, child_of(database, job), "virtualxid")
        row = database.record("select * from jobs.operations where id = %s", [job])
        assert (row["phase"], row["progress_source"]) == (
            "waiting for writers before build",
            "phases",
        )
        writer.execute("rollback")
    assert wait_for(database, job, "succeeded")["result"]["verified"]
    found = database.record(
        "select t.spcname, o.disk_bytes = pg_relation_size(c.oid) as exact from pg_class as c"
        " join pg_tablespace as t on t.oid = c.reltablespace"
        " join jobs.operations as o on o.id = %s where c.relname = 'points_m'",
        [job],
    )
    assert found == {"spcname": tablespace, "exact": True}

"""A planned stop of the server while maintenance runs: it is run again by itself,
and nothing asks a person.
"""

import pytest
from kit.daemon import Supervise
from stage import put_sql, wait_for
from support import Database, wait_until

STAGE = """
create table app.kept (n integer primary key);
create table app.parts (n integer) partition by range (n);
create table app.low partition of app.parts for values from (0) to (10);
create index parts_n on app.parts (n);
create materialized view app.seen as select n from app.kept;
create unique index on app.seen (n);
create procedure app.repeats() language plpgsql as
$$ begin
  commit; lock table app.kept in share mode; insert into app.ledger (n) values (1); commit;
end $$;
"""

#: Groups that wait at the same time, each in a session of its own: what runs, and its options.
GROUPS: dict[str, list[tuple[str, dict[str, bool]]]] = {
    "vacuum": [
        ("vacuum app.kept", {}),
        ("vacuum (full) app.kept", {}),
        ("vacuum (analyze) app.low", {}),
    ],
    "analyze": [
        ("analyze app.kept", {}),
        ("analyze app.parts", {}),
        ("cluster app.kept using kept_pkey", {}),
    ],
    "reindex": [("reindex table app.kept", {}), ("reindex index app.parts_n", {})],
    "table concurrently": [("reindex table concurrently app.kept", {})],
    "index concurrently": [("reindex index concurrently app.parts_n", {})],
    "build": [("create index concurrently kept_i on app.kept (n)", {})],
    "build without a name": [("create index concurrently on app.kept (n)", {})],
    "refresh": [
        ("refresh materialized view app.seen", {}),
        ("refresh materialized view concurrently app.seen", {}),
    ],
    "call": [("call app.repeats()", {"repeatable": True}), ("vacuum app.kept", {})],
}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", ["fast", "immediate"])
@pytest.mark.parametrize("group", GROUPS)
def test_maintenance_is_run_again_after_a_stop(
    database: Database, supervise: Supervise, group: str, mode: str
) -> None:
    """They wait for locks, or for one another, when the server stops; each succeeds afterwards,
    with the one attempt that it may have.
    """
    private = database.server.private
    assert private is not None
    database.run(STAGE)
    supervise(database.dsn("supervisor"))
    with database.server.connect("app", database.name) as holder:
        holder.autocommit = False
        if "concurrently" in group or "build" in group:
            # The new index is there and not valid: a writer is what it waits for.
            holder.execute("insert into app.kept values (1); insert into app.parts values (1)")
        else:
            holder.execute("lock table app.kept, app.parts in access exclusive mode")
        jobs = [
            put_sql(
                database, statement, max_attempts=1, **({"options": options} if options else {})
            )
            for statement, options in GROUPS[group]
        ]
        # Those of its group that would wait behind it are not started, and one that has waited for
        # lock_timeout comes back later: one that waits is enough.
        waiting = (
            "select count(distinct j.id) from jobs_internal.job j join jobs_internal.session s on"
            " s.id = j.session_id"
            " join pg_stat_activity a on a.pid in (j.child_pid, s.pid)"
            " where j.id = any (%s) and a.wait_event_type = 'Lock'"
        )
        wait_until(lambda: database.admin(waiting, [jobs]) > [(0,)], 30)
        database.close()
        private.stop(mode=mode)  # type: ignore[arg-type]
        holder.close()
    private.start()
    for job in jobs:
        found = wait_for(database, job, "succeeded", "failed", "in_doubt", timeout=60)
        assert (found["state"], found["attempt"], found["error"]) == ("succeeded", 1, None), found
    left = "select indexrelid::regclass from pg_index where not indisvalid"
    assert database.admin(left) == []
    assert database.admin("select status from jobs.health where \"check\" = 'invalid indexes'") == [
        ("ok",)
    ]

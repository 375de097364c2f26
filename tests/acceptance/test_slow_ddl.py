"""DDL that comes to no end: a trigger on it waits for somebody far away.
A call is cut off, not the supervisor.
"""

from kit.daemon import Supervise
from stage import make_lane, put, state
from support import Database, wait_until

SLOW = """
create function public.ask_far_away() returns event_trigger language plpgsql as
$$ begin if tg_tag = 'CREATE TABLE' then perform pg_sleep(3600); end if; end $$;
create event trigger far_away on ddl_command_end execute function public.ask_far_away();
"""


def test_a_lane_that_takes_for_ever_stops_nobody_else(
    database: Database, supervise: Supervise
) -> None:
    make_lane(database, role="other")
    database.admin(SLOW)
    one = supervise(database.dsn("supervisor"), environment={"PYWORKER_STALL_AFTER": "4"})
    mine = put(database, "pg_catalog.now")
    failed = one.wait_for("item_failed", timeout=30)
    assert (failed["duty"], failed["owner"], failed["sqlstate"]) == ("lanes", "app", "57014")
    theirs = put(database, "pg_catalog.now", role="other")
    wait_until(lambda: state(database, theirs) == "succeeded", 20)
    status, detail = database.admin(
        "select status, detail from jobs.health where \"check\" = 'rounds'"
    )[0]
    assert status == "warning"
    assert "app" in detail
    assert "57014" in database.admin("select waits_for from jobs.job where id = %s", [mine])[0][0]
    assert one.events("server_stalled") == []
    database.admin("drop event trigger far_away")
    wait_until(lambda: state(database, mine) == "succeeded", 40)
    assert one.stop() == 0

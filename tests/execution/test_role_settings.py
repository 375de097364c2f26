"""What ALTER ROLE says may be of no use any more: PostgreSQL passes over it at a login,
and so do worker sessions.
"""

import pytest
from stage import put, put_sql, state, wait_for
from support import Database

# Of objects that are not there: each is a warning at a login, and an error where a session sets it.
GONE = ("default_tablespace", "default_table_access_method", "default_text_search_config")


@pytest.mark.parametrize("setting", GONE)
def test_a_value_that_cannot_be_set_any_more_stops_no_job(database: Database, setting: str) -> None:
    put(database, "pg_catalog.now")
    database.drain()
    database.admin(f"alter role app in database {database.name} set {setting} = 'gone'")
    database.admin(f"alter role app in database {database.name} set work_mem = '77MB'")
    database.run("create table app.small (n integer)")
    jobs = [
        put(database, "pg_catalog.current_setting", {"$1": "work_mem"}),
        put_sql(database, "vacuum app.small"),
    ]
    database.run("select jobs.start()")

    results = [wait_for(database, job)["result"] for job in jobs]

    assert [state(database, job) for job in jobs] == ["succeeded", "succeeded"], results
    assert results[0] == "77MB"

"""What of an error is seen by whom: an operator steers all jobs, and may not read what is
in them.
"""

import pytest
from stage import put_sql
from support import Database


@pytest.mark.parametrize(
    "query", ["error from jobs.job where id", "error from jobs.attempts where job_id"]
)
def test_an_operator_sees_errors_without_what_they_quote(database: Database, query: str) -> None:
    """DETAIL and CONTEXT hold rows and the text of statements; the owner and the administrator
    see those.
    """
    database.run("create table app.kept (n integer unique)")
    job = put_sql(
        database, "insert into app.kept select 4711 from generate_series(1, 2)", max_attempts=1
    )
    database.drain()
    own = database.value(f"select {query} = %s", [job])
    assert own["sqlstate"] == "23505"
    assert "4711" in own["detail"]
    seen = database.value(f"select {query} = %s", [job], role="operator")
    assert seen == {key: own[key] for key in own if key not in ("detail", "context")}
    assert database.value(f"select {query} = %s", [job], role="postgres") == own
    database.admin("grant app to operator")
    try:
        assert database.value(f"select {query} = %s", [job], role="operator") == own
    finally:
        database.admin("revoke app from operator")

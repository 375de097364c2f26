"""VACUUM and ANALYZE of tables of others: what PostgreSQL would skip with a warning is a failed
job here.
"""

import pytest
from stage import put_sql, wait_for
from support import Database

FORMS = (
    "vacuum {t}",
    "VACUUM (verbose, buffer_usage_limit '1 MB') app.mine, {t}",
    "vacuum full freeze {t}",
    "vacuum analyze only {t} (n)",
    "vacuum /* all of it */ {t} -- now",
    "analyze {t}",
    "analyze verbose app.mine (n, m), {t} (n)",
    "analyze (skip_locked) {t} *",
)


@pytest.fixture(autouse=True)
def tables(database: Database) -> None:
    """A table of the owner of the jobs, and one of another role, whose name has to be quoted."""
    database.run("create table app.mine (n integer, m integer)")
    database.admin(
        'create table app."Of, (others" (n integer); alter table app."Of, (others" owner to other'
    )
    database.admin("grant usage on schema app to other")


@pytest.mark.parametrize("form", FORMS)
def test_a_table_that_would_be_skipped(database: Database, form: str) -> None:
    job = put_sql(database, form.format(t='app."Of, (others"'), max_attempts=1)
    database.drain()
    error = database.job(job)["error"]
    assert error["sqlstate"] == "42501"
    assert 'app."Of, (others"' in error["message"]
    assert error["hint"] == (
        'Ask its owner for: grant maintain on app."Of, (others" to app. A retry helps after that.'
    )

    database.admin('grant maintain on app."Of, (others" to app')
    assert database.value("select jobs.retry(%s)", [job]) is not None
    database.drain()
    assert wait_for(database, job)["state"] == "succeeded"


@pytest.mark.parametrize("form", FORMS)
def test_the_owner_of_the_database_may(database: Database, form: str) -> None:
    """As the server has it."""
    database.admin(f"alter database {database.name} owner to app")
    job = put_sql(database, form.format(t='app."Of, (others"'), max_attempts=1)
    database.drain()
    assert wait_for(database, job)["state"] == "succeeded"


@pytest.mark.parametrize(
    "statement", ["vacuum app.mine", "analyze app.mine", "vacuum (analyze) mine", "analyze"]
)
def test_what_is_not_named_or_ones_own_is_left_to_the_server(
    database: Database, statement: str
) -> None:
    database.admin(f"alter role app in database {database.name} set search_path = app")
    job = put_sql(database, statement, max_attempts=1)
    missing = (
        put_sql(database, statement.replace("mine", "missing"), max_attempts=1)
        if "mine" in statement
        else None
    )
    database.drain()
    assert wait_for(database, job)["state"] == "succeeded"
    if missing is not None:
        assert wait_for(database, missing)["error"]["sqlstate"] == "42P01"

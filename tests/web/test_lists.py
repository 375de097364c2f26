"""/api: public views as JSON, page by page, and nothing that the login may not see."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from support import Database

from pyworker.database.lists import LISTS

from .conftest import Serve, Site

SECRET = "top-secret-0815"
#: A value of each type that a filter may have.
SAMPLES = {
    "bigint": "1",
    "integer": "1",
    "text": "default",
    "name": "app",
    "boolean": "true",
    "date": "2026-01-01",
}


@pytest.fixture(scope="module")
def filled(shared: Database) -> Database:
    """Jobs of two owners, with a secret in what only their owners may see."""
    for n in range(7):
        shared.run(
            "select jobs.enqueue('pg_catalog.now', priority => %s)", ["low"] if n else ["high"]
        )
    shared.run("select jobs.enqueue('pg_catalog.upper', %s)", [f'{{"$1": "{SECRET}"}}'])
    shared.run(
        "select jobs.enqueue_sql(%s, note => '{\"ticket\": 1}')", [f"select '{SECRET}'::integer"]
    )
    shared.run("select jobs.enqueue('pg_catalog.now')", role="other")
    shared.drain()
    shared.drain(role="other")
    shared.run("select jobs.schedule('often', '@hourly', 'pg_catalog.now')")
    shared.run("select jobs.create_queue('second')", role="operator")
    shared.run("select jobs.enqueue('pg_catalog.now', run_at => now() + interval '1 h')")
    return shared


@pytest.fixture
def reader(serve: Serve, filled: Database) -> Site:
    return serve(filled.dsn("reader"))


def rows(site: Site, path: str) -> list[dict[str, Any]]:
    status, said = site.get(path)
    assert status == 200, said
    return list(said["rows"])


def test_the_contents(reader: Site) -> None:
    status, said = reader.get("/api")
    assert (status, set(said["views"])) == (200, set(LISTS))
    assert said["views"]["job"]["order"] == ["id desc"]
    assert said["views"]["queues"]["order"] == ["queue"]
    assert {"state", "queue", "since", "until"} <= set(said["views"]["job"]["filters"])


@pytest.mark.parametrize("view", sorted(LISTS))
def test_a_view_is_as_in_the_database(serve: Serve, filled: Database, view: str) -> None:
    """All columns but the wide ones; every filter is one."""
    site = serve(filled.dsn("operator"))
    listed = LISTS[view]
    types = dict(
        filled.admin(
            "select attname::text, format_type(atttypid, null) from pg_attribute"
            " where attrelid = %s::regclass and attnum > 0",
            [f"jobs.{view}"],
        )
    )
    columns = set(types)
    assert columns >= {*listed.key, *listed.filters, *listed.wide}
    assert listed.time is None or listed.time in columns
    for row in rows(site, f"/api/{view}"):
        assert set(row) == columns - set(listed.wide)
    for name in listed.filters:
        rows(site, f"/api/{view}?{name}={SAMPLES[types[name]]}")
    if listed.time is not None:
        found = rows(site, f"/api/{view}?since=2000-01-01&until={quote('2100-01-01 00:00+00')}")
        assert len(found) == len(rows(site, f"/api/{view}"))
        assert rows(site, f"/api/{view}?since=2100-01-01") == []


@pytest.mark.parametrize(
    ("view", "columns"),
    [
        ("job", "id"),
        ("attempts", "job_id, attempt"),
        ("queues", "queue"),
        ("cost", "day, queue, owner, task"),
    ],
)
def test_pages_show_each_row_once(reader: Site, filled: Database, view: str, columns: str) -> None:
    path: str | None = f"/api/{view}?limit=2"
    found: list[tuple[str, ...]] = []
    pages = 0
    while path is not None:
        status, said = reader.get(path)
        assert status == 200, said
        assert len(said["rows"]) <= 2
        found += [tuple(str(row[name]) for name in columns.split(", ")) for row in said["rows"]]
        path, pages = said["next"], pages + 1
    down = " desc" if LISTS[view].descends else ""
    order = ", ".join(f"{name}{down}" for name in columns.split(", "))
    all_rows = filled.run(f"select {columns} from jobs.{view} order by {order}", role="reader")
    assert found == [tuple(map(str, row)) for row in all_rows]
    assert pages == max(1, -(-len(found) // 2))


def test_a_page_keeps_its_filters(reader: Site) -> None:
    status, said = reader.get("/api/job?owner=app&limit=1&since=2000-01-01")
    assert status == 200
    assert said["rows"][0]["owner"] == "app"
    followed = reader.get(said["next"])[1]["rows"]
    assert len(followed) == 1
    assert followed[0]["owner"] == "app"
    assert followed[0]["id"] < said["rows"][0]["id"]
    assert "since=2000-01-01" in said["next"]


def test_filters(reader: Site, filled: Database) -> None:
    assert {row["owner"] for row in rows(reader, "/api/job?owner=other")} == {"other"}
    low = rows(reader, "/api/job?priority=low&state=succeeded")
    assert {(row["priority"], row["state"]) for row in low} == {("low", "succeeded")}
    assert len(low) == 6
    assert rows(reader, "/api/job?owner=unheard") == []
    failed = rows(reader, "/api/failed?sqlstate=22P02")
    assert [row["owner"] for row in failed] == ["app"]
    status, one = reader.get(f"/api/job/{failed[0]['id']}")
    assert (status, one["id"], one["state"]) == (200, failed[0]["id"], "failed")
    tries = rows(reader, f"/api/attempts?job_id={failed[0]['id']}")
    assert [row["outcome"] for row in tries] == ["failed"]


def test_what_values_look_like(serve: Serve, filled: Database) -> None:
    site = serve(filled.dsn("supervisor"))
    queue = next(row for row in rows(site, "/api/queues") if row["queue"] == "default")
    retention = filled.value(
        "select extract(epoch from retention) from jobs.queues where queue = 'default'"
    )
    assert queue["retention"] == float(retention)
    (schedule,) = rows(site, "/api/schedules")
    next_at = filled.value("select next_at from jobs.schedules")
    assert schedule["next_at"] == next_at.isoformat().replace("+00:00", "") + "+00:00"
    filled.admin("update jobs_internal.schedule set ends_at = 'infinity'")
    assert rows(site, "/api/schedules")[0]["ends_at"] == "infinity"


@pytest.mark.parametrize("role", ["reader", "supervisor", "other"])
def test_no_secret_is_shown(serve: Serve, filled: Database, role: str) -> None:
    """Neither in a list, nor where one job is asked for. (Operators may read errors' messages.)"""
    site = serve(filled.dsn(role))
    ids = [row[0] for row in filled.run("select id from jobs.job")]
    paths = [f"/api/{view}?limit=500" for view in LISTS]
    paths += [f"/api/job/{number}" for number in ids]
    paths += [f"/api/{view}?job_id={n}" for view in ("attempts", "log_lines") for n in ids]
    for path in paths:
        assert SECRET not in json.dumps(site.get(path)), path
    shown = {row["owner"] for row in rows(site, "/api/job")}
    assert shown <= {"app", "other"} if role == "reader" else shown <= {role}


def test_an_owner_sees_its_own(serve: Serve, filled: Database) -> None:
    """The secret is there, for the one whose it is, and not in a list."""
    site = serve(filled.dsn("app"))
    job = filled.value("select id from jobs.job where task = 'pg_catalog.upper'")
    assert site.get(f"/api/job/{job}")[1]["args"] == {"$1": SECRET}
    assert "args" not in rows(site, "/api/job")[0]


def test_what_the_login_may_not_read(serve: Serve, filled: Database) -> None:
    for role, view in (("supervisor", "audit"), ("reader", "log_lines"), ("nobody", "job")):
        status, said = serve(filled.dsn(role)).get(f"/api/{view}")
        assert (status, said) == (403, {"error": "the supervisor's login may not read this"})


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/pg_authid", 404, "no such page"),
        ("/api/job/1/2", 404, "no such page"),
        ("/api/queues/1", 404, "no such page"),
        ("/api/job/9223372036854775807", 404, "no row 9223372036854775807"),
        ("/api/job/9223372036854775808", 400, "whole number"),
        ("/api/job/x", 400, "whole number"),
        ("/api/job?id=x", 400, 'invalid input syntax for type bigint: "x"'),
        ("/api/job?id=99999999999999999999", 400, "out of range"),
        ("/api/job?since=noon-ish", 400, "invalid input syntax"),
        ("/api/job?args=1", 400, "args is no filter of job"),
        ("/api/queues?since=now", 400, "since is no filter of queues"),
        ("/api/job?state=failed&state=queued", 400, "state is there twice"),
        ("/api/job?limit=0", 400, "from 1 to 500"),
        ("/api/job?limit=501", 400, "from 1 to 500"),
        ("/api/job?limit=1e2", 400, "from 1 to 500"),
        ("/api/job?after=1", 400, "`next`"),
        ("/api/job?after=[1]", 400, "`next`"),
        ('/api/job?after=["1","2"]', 400, "`next`"),
        ('/api/job?after=["x"]', 400, "does not fit"),
        ("/api/job?after=" + "[" * 900, 400, "`next`"),
        ("/api/job?queue=" + "x" * 1001, 400, "too long"),
        ("/api/job?queue=%00", 400, "no text here has"),
        ("/api/job?queue=%ff%27;select", 200, ""),
    ],
)
def test_what_cannot_be_asked(reader: Site, path: str, status: int, said: str) -> None:
    got, content = reader.get(quote(path, safe="/?=&%"))
    assert (got, said in content.get("error", "")) == (status, True), content


def test_nothing_is_written(reader: Site) -> None:
    for method in ("POST", "DELETE", "PATCH"):
        assert reader.answer("/api/job/1", method=method)[0] == 405
        assert reader.answer(f"/api/job?{urlencode({'state': 'failed'})}", method=method)[0] == 405

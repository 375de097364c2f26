"""/live, /ready and /health say what is so, and a database that is away is one clear sentence."""

import threading

import pytest
from support import Database, wait_until

from pyworker.database import readings
from pyworker.database.readings import Readings
from pyworker.http import app

from .conftest import Serve, Site

HTTP = "select pid from pg_stat_activity where application_name = 'pyworker http'"
AN_HOUR_AGO = "cast(now() - interval '1 h' as timestamptz)"
HERE = f"{HTTP} and datname = current_database()"


def test_live(site: Site) -> None:
    status, said = site.get("/live")
    assert (status, said["live"]) == (200, True)


def test_ready_once_the_loop_has_turned(site: Site) -> None:
    assert site.get("/ready") == (
        503,
        {"ready": False, "error": "the supervisor has not begun to work"},
    )
    site.life.ticked()
    status, said = site.get("/ready")
    assert (status, said["ready"], said["schema"]) == (200, True, app.read_version())


def test_ready_asks_an_idle_loop_to_turn(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_TICK_PATIENCE", 0.1)
    site.ticked_before(60)
    status, said = site.get("/ready")
    assert (status, site.asked) == (503, 1)
    assert "last round was 60 s ago" in said["error"]

    monkeypatch.setattr(app, "_TICK_PATIENCE", 25)
    monkeypatch.setattr(site.life, "_poke", site.life.ticked)
    site.life._asked_at = float("-inf")
    assert site.get("/ready")[0] == 200


def test_an_idle_loop_is_asked_seldom(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_TICK_PATIENCE", 0.0)
    site.ticked_before(60)
    for _ in range(5):
        assert site.get("/ready")[0] == 503
    assert site.asked == 1


def test_ready_looks_at_the_schema(
    serve: Serve, shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "read_version", lambda: 9999)
    site = serve(shared.dsn("supervisor"))
    site.life.ticked()
    status, said = site.get("/ready")
    assert (status, said["error"]) == (
        503,
        "the database's schema is not the one of this program",
    )


def test_health(site: Site, shared: Database) -> None:
    status, said = site.get("/health")
    rows = shared.run('select "check", status from jobs.health', role="supervisor")
    assert status == 200  # a warning: no supervisor is registered
    assert [(row["check"], row["status"]) for row in said["checks"]] == rows
    assert said["status"] == "warning"
    assert site.get("/health?strict")[0] == 503

    job = shared.value("select jobs.enqueue('pg_catalog.now')")
    for (queue,) in shared.admin(
        "update jobs_internal.lane set served_at = now() - interval '1 min' returning pgmq_queue"
    ):
        shared.admin(
            f"update pgmq.q_{queue} set (enqueued_at, vt) = (select m, m from {AN_HOUR_AGO} as m)"
        )
    try:
        status, said = site.get("/health")
        assert (status, said["status"]) == (503, "critical")
        due = next(row for row in said["checks"] if row["check"] == "due jobs")
        assert (due["status"], "pyworker run" in due["remedy"]) == ("critical", True)
    finally:
        shared.run("select jobs.cancel(%s)", [job])


def test_a_login_without_rights_sees_nothing(serve: Serve, shared: Database) -> None:
    site = serve(shared.dsn("nobody"))
    site.life.ticked()
    assert site.get("/health")[0] == 403
    status, said = site.get("/ready")
    assert (status, said["error"]) == (503, "the database does not serve this login")


def test_what_is_read_cannot_be_written(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        Readings,
        "health",
        lambda self: self._rows("select jobs_internal.supervisor_open('a', 'b', 1, 'c')"),
    )
    assert site.get("/health")[0] == 500
    wait_until(lambda: "read-only transaction" in site.log.getvalue())


def test_a_database_that_goes_away(serve: Serve, database: Database) -> None:
    site = serve(database.dsn("supervisor"))
    site.life.ticked()
    assert site.get("/ready")[0] == 200
    name = database.name
    server = database.server.connect("postgres", "postgres")
    server.execute(f"alter database {name} allow_connections false")
    server.execute(f"select pg_terminate_backend(pid) from ({HTTP} and datname = %s) as a", [name])
    gone = {"error": "the connection to the database cannot be made", "hint": "Retry."}
    assert site.get("/health") == (503, gone)
    status, said = site.get("/ready")
    assert (status, said["error"]) == (503, gone["error"])
    assert site.get("/live")[0] == 200

    server.execute(f"alter database {name} allow_connections true")
    assert site.get("/ready")[0] == 200
    server.close()


def sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the database take an hour for jobs.health."""
    monkeypatch.setattr(Readings, "health", lambda self: self._rows("select pg_sleep(3600)"))


def test_a_connection_that_is_lost_under_a_request(
    site: Site, shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[object] = []
    with monkeypatch.context() as patch:
        sleep(patch)
        client = threading.Thread(target=lambda: found.append(site.get("/health")))
        client.start()
        end = f"select pg_terminate_backend(pid) from ({HERE} and wait_event = 'PgSleep') as a"
        wait_until(lambda: shared.admin(end))
        client.join()
    error = "the connection to the database was lost during the request"
    assert found == [(503, {"error": error, "hint": "Retry."})]
    assert site.get("/health")[0] == 200


def test_a_statement_that_takes_too_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    sleep(monkeypatch)
    monkeypatch.setattr(readings, "_STATEMENT_SECONDS", 1)
    status, said = site.get("/health")
    assert (status, said["error"]) == (503, "the database took too long to answer")


def test_a_server_that_gives_no_answer(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        sleep(patch)
        patch.setattr(readings, "_CALL_SECONDS", 0.3)
        status, said = site.get("/health")
    assert (status, "no answer within" in said["error"]) == (503, True)
    assert site.get("/health")[0] == 200


def test_a_table_that_is_locked(site: Site, shared: Database) -> None:
    """jobs.health itself says so."""
    holder = shared.connect("postgres")
    with holder.transaction():
        holder.execute("lock table jobs_internal.supervisor in access exclusive mode")
        status, said = site.get("/health")
    found = {row["check"]: row["status"] for row in said["checks"]}
    assert (status, found) == (503, {"checks": "critical"})


def test_a_connection_that_was_lost_while_idle(site: Site, shared: Database) -> None:
    assert site.get("/health")[0] == 200
    shared.admin(f"select pg_terminate_backend(pid) from ({HERE}) as a")
    assert site.get("/health")[0] == 200


def test_a_connection_that_is_not_used_is_closed(
    site: Site, shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shared.admin(HERE) == []  # it is opened when something is asked for
    monkeypatch.setattr(readings, "_IDLE_SECONDS", 0.2)
    site.get("/health")
    wait_until(lambda: shared.admin(HERE) == [])
    assert site.get("/health")[0] == 200

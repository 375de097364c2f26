"""A4, A5, A14: forged sessions, starts and steering: every function that an owner may call.

app is an ordinary owner, other its victim. What is refused has its SQLSTATE here;
what is not refused changes no row of other's.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from databases import clone, drop
from stage import gate_shut, put, put_sql, state, wait_at_gate, wait_running
from support import Database, Server, sqlstate_of, wait_until

from .forged_calls import FORGED
from .own_calls import OWN


@dataclass
class Scene:
    """Jobs of other, one of which runs and stays so; and a session of app that says that it is a
    worker's.
    """

    database: Database
    facts: dict[str, Any]

    def rows(self) -> list[Any]:
        """Give all that belongs to other."""
        return [
            self.database.admin(query.format(**self.facts))
            for query in (
                (
                    "select j.*, j.xmin::text from jobs_internal.job as j where"
                    " owner = 'other'::regrole order by id"
                ),
                "select * from jobs_internal.statement order by 1",
                "select * from jobs_internal.session where owner = 'other'::regrole",
                "select * from jobs_internal.finished where owner = 'other'::regrole order by id",
                "select * from jobs_internal.attempt where owner = 'other'::regrole",
                "select * from jobs_internal.log_line where owner = 'other'::regrole",
                "select * from jobs_internal.finished_log_line where owner = 'other'::regrole",
                "select * from jobs_internal.progress_message",
                "select * from jobs_internal.stop_request order by 1",
                "select * from jobs_internal.daily_cost where owner = 'other'::regrole",
                "select * from jobs_internal.queue_minute_stats where session_id <> {mine}",
                "select * from jobs_internal.lane where owner = 'other'::regrole",
                "select * from jobs_internal.slot where session_id = {session}",
                "select * from pgmq.q_pyworker_{lane} order by 1",
            )
        ]


@pytest.fixture(scope="module")
def scene(server: Server, template: str) -> Iterator[Scene]:
    database = clone(server, template, "scene")
    put(database, "pg_catalog.now")
    database.drain()
    put(database, "other.work", role="other")
    database.drain(role="other")
    with gate_shut(database):
        job = put(database, "other.gate", role="other", timeout="1 hour")
        waiting = put(database, "other.work", {"n": 2}, role="other")
        statement = put_sql(database, "create index concurrently on other.ledger (n)", role="other")
        plain = put_sql(database, "insert into other.ledger (n) values (4)", role="other")
        planned = put(database, "other.work", {"n": 3}, role="other", run_at="2100-01-01")
        database.run("select jobs.start()", role="other")
        wait_running(database, job)
        (pid,) = wait_at_gate(database)
        session, lane, start = database.admin(
            "select s.id, l.id, s.backend_start from jobs_internal.session as s"
            " join jobs_internal.lane as l"
            " on l.owner = s.owner where s.owner = 'other'::regrole"
        )[0]
        messages = [row[0] for row in database.admin(f"select msg_id from pgmq.q_pyworker_{lane}")]
        # A reason to stop that names its attempt, as a cancel leaves: what it says is for
        # its owner.
        database.admin(
            "insert into jobs_internal.stop_request (job_id, attempt, reason, requested_by)"
            " values (%s, 1, 'cancelled', 'x')",
            [job],
        )
        own = put(database, "app.note", {"n": 1})
        mine = database.value("select jobs_internal.open_session(jobs_internal.schema_version())")
        my_lane = database.admin("select id from jobs_internal.lane where owner = 'app'::regrole")[
            0
        ][0]
        facts = {
            "job": job,
            "waiting": waiting,
            "statement": statement,
            "plain": plain,
            "planned": planned,
            "done": 2,
        }
        facts |= {
            "pid": pid,
            "session": session,
            "lane": lane,
            "start": start,
            "own": own,
            "mine": mine,
        }
        facts |= {"messages": messages, "message": messages[0], "my_lane": my_lane}
        made = Scene(database, facts)
        before = made.rows()
        yield made
        assert made.rows() == before
        database.admin("delete from jobs_internal.stop_request")
        database.run("select jobs_internal.close_session(%s, null)", [mine])
    for one in (job, waiting, statement, plain):
        wait_until(lambda one=one: state(database, one) == "succeeded", 20)
    assert database.admin(
        "select attempt, finished_at - started_at < '1 hour' from jobs.job where id = %s", [job]
    ) == [(1, True)]
    assert sorted(row[0] for row in database.admin("select n from other.ledger")) == [1, 1, 2, 4]
    assert database.admin("select * from vault.canary") == []
    drop(database)


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_call_is_refused_or_changes_nothing(scene: Scene, name: str) -> None:
    """A14, A13: what a worker's session may call, with the session, lane, job,
    attempt or process of another owner.
    """
    query, expected = FORGED[name]
    before = scene.rows()
    given = {key: value for key, value in scene.facts.items() if f"%({key})s" in query}
    scene.database.run("begin")
    try:
        found: Any = scene.database.run(query, given)[0][0]
    except psycopg.Error as error:
        found = error.sqlstate
    finally:
        scene.database.run("rollback; reset all")
        wait_until(lambda: len(scene.database.background()) == 1)
    assert (found or None) == (expected or None)
    assert scene.rows() == before


def test_every_function_that_an_owner_may_call_is_attacked_or_harmless(shared: Database) -> None:
    """A14: a helper that is granted later has to be forged here, or to be explained."""
    granted = {
        row[0]
        for row in shared.admin(
            "select distinct proname from pg_proc"
            " where pronamespace = 'jobs_internal'::regnamespace"
            " and has_function_privilege('app', oid, 'execute')"
        )
    }
    forged = {
        name
        for name in granted
        if any(f"jobs_internal.{name}(" in query for query, _ in FORGED.values())
    }
    assert granted - forged == OWN


@pytest.mark.parametrize(
    "call",
    [
        "cancel(%s)",
        "retry(%s)",
        "run_now(%s)",
        "dismiss(%s)",
        "set_priority(%s, 'high')",
        "wait(%s, '1 ms')",
    ],
)
def test_steering_by_a_guessed_id(scene: Scene, call: str) -> None:
    """A13: what is not there and what is another's are refused alike."""
    for job in (
        *(scene.facts[name] for name in ("job", "waiting", "planned", "statement", "done")),
        0,
        -1,
        10**9,
        None,
    ):
        for schema in ("jobs", "jobs_internal"):  # the door, and what works behind it
            query = f"select {schema}.{call}"
            assert (
                sqlstate_of(lambda query=query, job=job: scene.database.run(query, [job]))
                == "PW030"
            ), (query, job)


@pytest.mark.parametrize("role", ["app", "producer", "runner", "supervisor"])
def test_no_view_shows_it(scene: Scene, role: str) -> None:
    """A13: by id, by count, by any column."""
    for view in ("job", "queued", "failed", "finished", "attempts", "cost", "quotas"):
        assert (
            scene.database.run(f"select * from jobs.{view} as v where v::text ~ 'other'", role=role)
            == []
        ), view
    if role != "supervisor":
        for view in ("running", "sessions"):
            assert (
                scene.database.run(
                    f"select * from jobs.{view} as v where v::text ~ 'other'", role=role
                )
                == []
            ), view

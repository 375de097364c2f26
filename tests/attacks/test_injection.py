"""A9: every text that a caller passes or names, full of quotes, dollars, percents,
backslashes and statements.

Each is refused with its SQLSTATE, or kept and given back as it is; nothing in it is ever run. The
proof is the vault, in which a row of anybody but app would stand, and that every object of ours is
still there.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from databases import clone, drop
from psycopg import sql
from psycopg.types.json import Jsonb
from stage import own_name, put, put_sql, state
from support import Database, Server, sqlstate_of, wait_until

from .payloads import NAMES, OBJECTS, PAYLOADS


@pytest.fixture(scope="module")
def target(server: Server, template: str) -> Iterator[Database]:
    """A database for all of them; at the end nothing has been run."""
    database = clone(server, template, "injected")
    put(database, "app.note", {"n": 1})
    database.drain()
    objects = (
        "select count(*) from pg_class where relnamespace in ('jobs'::regnamespace,"
        " 'jobs_internal'::regnamespace)"
    )
    before = database.admin(objects)
    yield database
    database.drain(timeout=30)
    assert database.admin("select * from vault.canary") == []
    assert database.admin(objects) == before
    drop(database)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_arguments_of_enqueue(target: Database, payload: str) -> None:
    """A9: task, keys and values of args, queue, unique_key, priority, settings, note."""

    def code(**options: Any) -> str | None:
        return sqlstate_of(
            lambda: put(target, **{"task": "app.echo", "args": {"what": 1}, **options})
        )

    assert code(task=payload) in ("PW001", "PW002", "PW015")
    assert code(task=f"app.echo({payload})") == "PW001"
    assert code(task=f'"{payload}".echo') in ("PW001", "PW015")
    assert code(task="app.note", args={payload: 1}) == "PW003"
    assert code(task="app.note", args={"n": payload}) == "PW005"
    assert code(queue=payload) in ("PW007", "PW015")
    assert code(priority=payload) == "PW020"
    assert code(settings={payload: "1"}) in ("PW012", "PW013")
    assert code(settings={"search_path": payload}) in (None, "PW013")
    assert code(settings={"my.own": payload, "work_mem": payload}) == "PW013"
    job = put(
        *(target, "app.echo", {"what": {payload: payload}}),
        unique_key=payload,
        note={payload: payload},
        settings={"my.own": payload},
        run_at="2100-01-01",
    )
    row = target.job(job)
    assert (row["unique_key"], row["note"], row["args"], row["settings"]) == (
        *(payload, {payload: payload}, {"what": {payload: payload}}, {"my.own": payload}),
    )
    target.run("select jobs.run_now(%s)", [job])
    many = "select jobs.enqueue_many('app.echo', %s::jsonb[], note => %s)"
    target.run(many, [[Jsonb({"what": payload})], Jsonb({"x": payload})])


@pytest.mark.parametrize("payload", PAYLOADS)
def test_statements_and_what_goes_with_them(target: Database, payload: str) -> None:
    """A9: a statement is one statement; done_when and rollback are checked, and run as nobody but
    its owner.
    """
    for texts in (
        {"statement": payload},
        {"statement": f"select 1; {payload}"},
        {"statement": f"select '{payload}"},
        {"statement": "select 1", "done_when": f"true; {payload}"},
        {"statement": "select 1", "done_when": f"true) {payload}"},
        {"statement": "select 1", "rollback": f"select 1; {payload}"},
    ):
        code = sqlstate_of(lambda texts=texts: put_sql(target, **texts))
        assert code in (None, "PW014", "PW017", "PW021"), texts
    literal = sql.Literal(payload).as_string(target.line())
    jobs = [
        put_sql(
            target,
            f"select jobs.log({literal}, fields => jsonb_build_object({literal}, {literal}))",
        ),
        put_sql(
            target,
            f"select {literal}",
            done_when=f"{literal} is not null",
            rollback=f"select {literal}",
        ),
    ]
    assert len(jobs) == 2


@pytest.mark.parametrize("payload", PAYLOADS)
def test_texts_of_the_other_functions(target: Database, payload: str) -> None:
    """A9: jobs.publish and its kin, jobs.log, what an operator names and sets,
    what a supervisor says.
    """
    for code, role, query in (
        (("PW001", "PW002", "PW015"), "app", "select jobs.publish(%s, 'other')"),
        (("PW075",), "app", "select jobs.publish('app.echo', %s)"),
        (("PW007", "PW015"), "app", "select jobs.publish('app.echo', 'other', %s)"),
        (("PW076",), "app", "select jobs.enqueue_published(%s)"),
        (("PW076",), "app", "select jobs.enqueue_published('app.echo', publisher => %s)"),
        (("PW020", "PW030"), "app", "select jobs.set_priority(1, %s)"),
        (("PW024",), "app", "select jobs.log('x', %s)"),
        (("PW075",), "operator", "select jobs.set_quota(%s)"),
        (("PW026",), "operator", "select jobs.set_quota('app', over_rate => %s)"),
        (("PW015",), "operator", "select jobs.create_queue(%s)"),
        (("PW007", "PW015"), "operator", "select jobs.pause(%s)"),
        (("PW007", "PW015"), "operator", "select jobs.drop_queue(%s)"),
        (("PW012", "PW026"), "operator", "select jobs.configure(%s, '1')"),
        (("PW026",), "operator", "select jobs.configure('log_lines', %s)"),
        (("PW026",), "operator", "select jobs.set_retry_rule(%s, true, 'x')"),
        (("PW075",), "postgres", "select jobs.admit_role(%s)"),
        (
            (None,),
            "supervisor",
            "select jobs_internal.note_unreached(1, jsonb_build_object(%s::text, 'x'))",
        ),
    ):
        found = sqlstate_of(lambda query=query, role=role: target.run(query, [payload], role=role))
        assert found in code, query
    supervisor = target.value(
        "select jobs_internal.supervisor_open(%s, %s, 1, %s)", [payload] * 3, role="supervisor"
    )
    target.run(
        "select jobs_internal.note_unreached(%s, jsonb_build_object('app', %s::text))",
        [supervisor, payload],
        role="supervisor",
    )
    target.run("select jobs_internal.supervisor_tick(%s)", [supervisor], role="supervisor")
    for view in ("health", "supervisors", "queued"):
        target.run(f"select * from jobs.{view}", role="operator")


def test_values_that_are_run_come_back_as_they_are(target: Database) -> None:
    """A9: an argument, a log line, a text of progress and an error, through function and child."""
    target.run(
        """create function app.tell(x text) returns text language plpgsql as $$
        begin
          perform jobs.log(x, fields => jsonb_build_object('x', x)), jobs.progress(1, 2, x);
          return x;
        end $$;
        create procedure app.tell_in_child(x text) language plpgsql as $$
        begin
          perform jobs.log(x), jobs.progress(1, 2, x);
          commit;
          raise exception using message = x, detail = x, hint = x;
        end $$"""
    )
    functions = [put(target, "app.tell", {"x": payload}) for payload in PAYLOADS]
    procedures = [
        put(target, "app.tell_in_child", {"x": payload}, max_attempts=1) for payload in PAYLOADS
    ]
    target.drain(timeout=30)
    assert tuple(target.result(job) for job in functions) == PAYLOADS
    assert tuple(target.job(job)["error"]["message"] for job in procedures) == PAYLOADS
    for jobs in (functions, procedures):
        lines = target.run(
            "select message from jobs.log_lines where job_id = any (%s) order by job_id", [jobs]
        )
        assert tuple(row[0] for row in lines) == PAYLOADS


@pytest.mark.parametrize("name", NAMES)
def test_names_of_schemas_functions_parameters_types_and_queues(
    target: Database, name: str
) -> None:
    """A9: names of objects go into the calls that are made; each is quoted there."""
    i = sql.Identifier
    schema = f"s {name}"
    target.admin(sql.SQL("create schema {}").format(i(schema)).as_string(target.line("postgres")))
    target.admin(
        sql.SQL("grant all on schema {} to app")
        .format(i(schema))
        .as_string(target.line("postgres"))
    )
    for text in OBJECTS:
        parts = {key: i(f"{key} {name}") for key in "tdfgcpqro"}
        target.line().execute(sql.SQL(text).format(s=i(schema), v=sql.Literal(name), **parts))
    q = {key: i(f"{key} {name}").as_string(target.line()) for key in "fgc"}
    quoted = i(schema).as_string(target.line())
    jobs = [put(target, f"{quoted}.{q[key]}", {f"p {name}": "x"}) for key in "fgc"]
    target.drain()
    assert [state(target, job) for job in jobs] == ["succeeded"] * 3
    assert target.result(jobs[0]) == f"x {name} {name}"
    assert target.result(jobs[1]) == [{f"o {name}": "x", "n": 1}]
    index = put_sql(
        target,
        sql.SQL("create index concurrently {} on app.ledger (n)")
        .format(i(name))
        .as_string(target.line()),
    )
    target.drain()
    assert target.result(index)["verified"] is True


@pytest.mark.parametrize("name", ['a"b', "a'; --", "A %s \\"])
def test_names_of_roles(database: Database, name: str) -> None:
    """A9: a login's own name goes into labels, messages and the session that cancels."""
    role = f"{own_name('odd')} {name}"
    quoted = sql.Identifier(role).as_string(database.line("postgres"))
    database.admin(f"create role {quoted} login in role jobs_producer, jobs_runner, jobs_operator")
    if database.server.password:
        database.admin(f"alter role {quoted} password '{database.server.password}'")
    try:
        waiting = put(database, "pg_catalog.now", role=role, run_at="2100-01-01")
        running = put(database, "pg_catalog.pg_sleep", {"$1": 60}, role=role)
        statement = put_sql(
            database, "do $$ begin commit; perform jobs.log(session_user); end $$", role=role
        )
        database.run(
            "select jobs.create_queue('odd'), jobs.pause('odd'), jobs.set_quota(session_user,"
            " pending => 10)",
            role=role,
        )
        database.run("select jobs.start(2)", role=role)
        wait_until(
            lambda: database.run("select 1 from jobs.running where id = %s", [running], role=role)
        )
        assert database.value("select jobs.cancel(%s)", [waiting], role=role) == "cancelled"
        assert database.value("select jobs.cancel(%s)", [running], role=role) == "cancelling"
        wait_until(
            lambda: (
                state(database, running) == "cancelled"
                and state(database, statement) == "succeeded"
            )
        )
        database.drain(role=role)
        assert database.value("select message from jobs.log_lines", role=role) == role
        assert {row[0] for row in database.run("select owner from jobs.job", role=role)} == {role}
        assert [
            row[0] for row in database.run("select distinct login from jobs.audit", role=role)
        ] == [role]
        for view in ("sessions", "queues", "health", "quotas", "attempts"):
            database.run(f"select * from jobs.{view}", role=role)
    finally:
        wait_until(lambda: not database.background())
        database.line(role).close()
        database.admin(f"drop owned by {quoted}; drop role {quoted}")

"""A23, A24: what is in a job is seen by its owner, and by nobody else anywhere:
canaries are looked for.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from kit import warm
from psycopg import Error
from psycopg.types.json import Jsonb
from stage import gate_shut, put, put_sql, state, wait_at_gate
from support import LOGINS, Database, Server, clone, drop, sqlstate_of, wait_until

from .ground import send_home

PEEK = """
create function SCHEMA.peek(t text) returns boolean language plpgsql cost 0.0000001 as
$$ begin raise notice 'seen %', t; return true; end $$;
create function SCHEMA.peek_two(t text, u text) returns boolean language plpgsql cost 0.0000001 as
$$ begin raise notice 'seen %', t; return true; end $$;
create operator SCHEMA.=== (function = SCHEMA.peek_two, leftarg = text, rightarg = text);
"""
KINDS = (
    *(
        "arg",
        "childarg",
        "pubarg",
        "result",
        "childresult",
        "statement",
        "donewhen",
        "rollback",
        "setting",
        "note",
    ),
    *("error", "detail", "hint", "log", "childlog", "progress", "key", "childerror"),
)
#: What an operator may see of others' jobs, to tell what is wrong with them. Keys are names.
OPERATORS = {"error", "childerror", "hint", "note", "log", "childlog", "progress", "key"}
#: What may be in the supervisor's log: the message of an error, its hint and what a person wrote
#: beside the job.
DAEMONS = {"error", "childerror", "hint", "note"}
# The source of functions is public, and some of it stands in pg_stats: so no canary stands in it as
# a whole.
THINGS = """
create function app.hold(a text) returns text language plpgsql as $$
begin
  perform jobs.log('s3' || 'cretlogs3cret',
    fields => jsonb_build_object('x', 's3' || 'cretlogs3cret'));
  perform jobs.progress(1, 2, 's3' || 'cretprogresss3cret');
  perform pg_advisory_xact_lock(1);
  return 's3' || 'cretresults3cret';
end $$;
create procedure app.hold_child(a text) language plpgsql as $$
begin
  perform jobs.log('s3' || 'cretchildlogs3cret');
  commit;
  perform pg_advisory_xact_lock(1);
end $$;
create function app.lose(a text) returns text language plpgsql as $$
begin
  raise exception using message = 's3' || 'creterrors3cret', detail = 's3' || 'cretdetails3cret',
    hint = 's3' || 'crethints3cret';
end $$;
create procedure app.lose_child(a text) language plpgsql as $$
begin
  commit;
  raise exception using message = 's3' || 'cretchilderrors3cret';
end $$;
create function app.public(a text) returns text language sql return 's3' || 'cretresults3cret';
"""


VIEWS = "select viewname::text from pg_views where schemaname = 'jobs' order by 1"
#: Whom views and statistics may tell what: nobody else anything.
#: Who enqueued a published job knows its arguments.
MAY = {"operator": OPERATORS, "reader": {"key"}, "other": {"pubarg"}}
OTHERS = tuple(role for role in LOGINS if role != "app")


def _found(text: str) -> set[str]:
    return {kind for kind in KINDS if f"s3cret{kind}s3cret" in text}


def _jobs(database: Database) -> list[int]:
    note = {"x": "s3cretnotes3cret"}
    given = {
        "note": note,
        "settings": {"my.own": "s3cretsettings3cret"},
        "max_attempts": 1,
    }
    jobs = [
        put(database, "app.hold", {"a": "s3cretargs3cret"}, **given),
        put(database, "app.hold_child", {"a": "s3cretchildargs3cret"}, note=note, max_attempts=1),
        put(database, "app.lose", {"a": "s3cretargs3cret"}, **given),
        put(database, "app.lose_child", {"a": "s3cretchildargs3cret"}, note=note, max_attempts=1),
        put_sql(
            database,
            "select 's3cretstatements3cret'",
            rollback="select 's3cretrollbacks3cret'",
            done_when="'s3cretdonewhens3cret' <> ''",
        ),
        put(
            database,
            "app.lose",
            {"a": "s3cretargs3cret"},
            run_at="2100-01-01",
            unique_key="s3cretkeys3cret",
        ),
    ]
    found = (
        database.line("other")
        .execute(
            "select jobs.enqueue_published('app.public', %s)", [Jsonb({"a": "s3cretpubargs3cret"})]
        )
        .fetchone()
    )
    assert found
    return [*jobs, found[0]]


def _seen(database: Database) -> dict[str, dict[str, str]]:
    """All that each role can read: of views, and of the server's statistics."""
    seen: dict[str, dict[str, str]] = {}
    for role in LOGINS:
        mine = seen[role] = {}
        for (view,) in database.admin(VIEWS):
            call = f"select coalesce(string_agg(v::text, e'\\n'), '') from jobs.{view} as v"
            refused = sqlstate_of(lambda call=call, role=role: database.run(call, role=role))
            assert refused in (None, "42501")
            if not refused:
                mine[view] = str(database.value(call, role=role))
        for view in (
            "pg_stat_activity",
            "pg_stat_statements",
            "pg_stats",
            "pg_prepared_statements",
            "pg_cursors",
        ):
            mine[view] = str(database.run(f"select * from {view}", role=role))
    return seen


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What was to be seen, and where."""

    database: Database
    jobs: list[int]
    running: dict[str, dict[str, str]]
    over: dict[str, dict[str, str]]
    server_log: str
    daemon_log: str


@pytest.fixture(scope="module")
def kept(own_server: Server, own_template: str) -> Iterator[Kept]:
    """Jobs of app's with a canary in every place, looked at while they run and when they
    are over.
    """
    database = clone(own_server, own_template, "secrets")
    database.run(THINGS)
    database.run("select jobs.publish('app.public', 'other')")
    database.admin(
        "create extension pg_stat_statements; grant select on pg_stat_statements to public"
    )
    database.admin("select pg_stat_statements_reset()")
    private = database.server.private
    assert private is not None
    begin = private.log_file.stat().st_size
    with gate_shut(database):
        jobs = _jobs(database)
        database.run("select jobs.start(4)")
        wait_at_gate(database, 2)
        wait_until(lambda: database.admin("select 1 from jobs.running where message is not null"))
        running = _seen(database)
    wait_until(lambda: not database.background())
    daemon = [
        sys.executable,
        "-m",
        "pyworker",
        "run",
        "--dsn",
        database.dsn("supervisor"),
        "--owner",
        "app",
    ]
    done = warm.run([*daemon, "--until-empty"], capture_output=True, text=True, check=True)
    database.admin("analyze")
    with private.log_file.open() as log:
        log.seek(begin)
        yield Kept(
            database=database,
            jobs=jobs,
            running=running,
            over=_seen(database),
            server_log=log.read(),
            daemon_log=done.stdout + done.stderr,
        )
    send_home(database)
    drop(database)


def test_the_canaries_are_where_they_belong(kept: Kept) -> None:
    """A23: the owner sees all of them, so that their absence elsewhere says something."""
    database = kept.database
    states = [state(database, job) for job in kept.jobs]
    assert states == [
        "succeeded",
        "succeeded",
        "failed",
        "failed",
        "succeeded",
        "scheduled",
        "succeeded",
    ]
    seen = "".join([*kept.running["app"].values(), *kept.over["app"].values()])
    assert _found(seen) == set(KINDS) - {"childresult"}
    assert _found("".join(kept.over["operator"].values())) == OPERATORS - {"progress"}


@pytest.mark.parametrize("when", ["running", "over"])
@pytest.mark.parametrize("role", OTHERS)
def test_views_and_statistics_tell_nothing(kept: Kept, role: str, when: str) -> None:
    """A23: pg_stat_activity, pg_stat_statements, pg_stats, and every view,
    as everybody but the owner.
    """
    seen = (kept.running if when == "running" else kept.over)[role]
    assert {
        view: _found(text) - MAY.get(role, set()) for view, text in seen.items() if _found(text)
    } == {view: set() for view, text in seen.items() if _found(text)}
    statistics = [text for view, text in seen.items() if view.startswith("pg_")]
    assert _found("".join(statistics)) == set()


def test_logs_tell_what_is_meant_for_them(kept: Kept) -> None:
    """A23: the server's log has what a top-level statement raised; the daemon's has messages,
    hints and notes.
    """
    assert _found(kept.server_log) == {"childerror"}
    assert _found(kept.daemon_log) == DAEMONS


def test_no_refusal_shows_a_value(kept: Kept) -> None:
    """A23: a call that is refused names parameters, never what was passed, but for a value that has
    no cast.
    """
    database = kept.database
    private = database.server.private
    assert private is not None
    begin = private.log_file.stat().st_size
    hold = "select jobs.enqueue('app.hold', '{\"a\": \"s3cretargs3cret\"}'"
    for call, code in (
        ("select jobs.enqueue('app.hold', '{\"b\": \"s3cretargs3cret\"}')", "PW003"),
        (f'{hold}, settings => \'{{"role": "s3cretsettings3cret"}}\')', "PW013"),
        (f"{hold}, note => '\"s3cretnotes3cret\"')", "PW011"),
        (f"{hold}, queue => 'no such')", "PW007"),
        ("select jobs.enqueue_sql('select ''s3cretstatements3cret''; select 1')", "PW017"),
    ):
        with pytest.raises(Error) as refused:
            database.run(call)
        assert refused.value.sqlstate == code
        assert _found(str(refused.value).split("CONTEXT")[0]) == set()
    # As parameters, nothing of them is in the server's log either.
    call = "select jobs.enqueue('app.hold', %s, note => %s)"
    given = [Jsonb({"c": "s3cretargs3cret"}), Jsonb({"x": "s3cretnotes3cret"})]
    with private.log_file.open() as log:
        log.seek(begin)
        before = log.read()
        assert sqlstate_of(lambda: database.run(call, given)) == "PW003"
        assert _found(log.read()) == set()
    assert before


@pytest.mark.parametrize("role", ["other", "reader", "producer", "supervisor"])
def test_leaky_functions_see_only_what_is_shown(kept: Kept, role: str) -> None:
    """A24: cheap functions, operators, casts, divisions and EXPLAIN in a query of a view meet no
    hidden row.
    """
    database = kept.database
    may = MAY.get(role, set())
    database.admin(f"grant create on database {database.name} to {role}")
    line = database.connect(role)
    line.execute(PEEK.replace("SCHEMA", role).encode())
    line.execute(f"set search_path = {role}, pg_catalog")
    heard: list[str] = []
    line.add_notice_handler(
        lambda said: heard.append(f"{said.message_primary} {said.message_detail}")
    )
    leak = "create function leak(text) returns boolean leakproof language sql return true"
    assert sqlstate_of(lambda: line.execute(leak)) == "42501"
    columns = database.admin(
        "select c.table_name::text, array_agg(c.column_name::text)"
        " from information_schema.columns as c"
        " where c.table_schema = 'jobs' group by 1 order by 1"
    )
    shown = kept.over[role]
    for view, names in columns:
        if view not in shown:
            continue
        for name in names:
            column = f'"{name}"::text'
            for query in (
                f"select count(*) from jobs.{view} where peek({column})",
                f"select 1 from jobs.{view} where {column} === 'x'",
                (
                    f"select 1 from jobs.{view} as v where case when {column} is null then true"
                    f" else peek({column}) end"
                ),
                f"select 1 from jobs.{view} where {column}::integer = 1",
                f"select 1 from jobs.{view} where {column}::jsonb = '1' or {column}::date > now()",
                f"select 1 from jobs.{view} where 1 / (length({column}) - length({column})) = 1",
                (
                    f"select 1 from jobs.{view} as v join lateral peek(v.{column}) as p on p"
                    " group by 1"
                ),
                f"select max({column}) filter (where peek({column})) from jobs.{view} limit 0",
                (
                    f"explain (analyze, verbose, costs off) select * from jobs.{view}"
                    f" where peek({column})"
                ),
            ):
                try:
                    cursor = line.execute(query.encode())
                    heard.append(str(cursor.fetchall()) if query.startswith("explain") else "")
                except Error as error:
                    heard.append(str(error))
    text = "\n".join(heard)
    assert _found(text) - may == set()
    if role in ("producer", "supervisor"):
        assert "app.hold" not in text
        assert "app.lose" not in text

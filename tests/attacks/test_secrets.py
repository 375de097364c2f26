"""A23, A24: what is in a job is seen by its owner, and by nobody else anywhere:
canaries are looked for.
"""

import sys
from collections.abc import Iterator

import pytest
from databases import clone, drop
from kit import warm
from psycopg import Error
from psycopg.types.json import Jsonb
from stage import gate_shut, state, wait_at_gate
from support import Server, sqlstate_of, wait_until

from .canaries import (
    DAEMONS,
    KINDS,
    MAY,
    OPERATORS,
    OTHERS,
    PEEK,
    THINGS,
    Kept,
    all_seen,
    found_in,
    make_jobs,
)
from .ground import send_home


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
        jobs = make_jobs(database)
        database.run("select jobs.start(4)")
        wait_at_gate(database, 2)
        wait_until(lambda: database.admin("select 1 from jobs.running where message is not null"))
        running = all_seen(database)
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
            over=all_seen(database),
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
    assert found_in(seen) == set(KINDS) - {"childresult"}
    assert found_in("".join(kept.over["operator"].values())) == OPERATORS - {"progress"}


@pytest.mark.parametrize("when", ["running", "over"])
@pytest.mark.parametrize("role", OTHERS)
def test_views_and_statistics_tell_nothing(kept: Kept, role: str, when: str) -> None:
    """A23: pg_stat_activity, pg_stat_statements, pg_stats, and every view,
    as everybody but the owner.
    """
    seen = (kept.running if when == "running" else kept.over)[role]
    assert {
        view: found_in(text) - MAY.get(role, set()) for view, text in seen.items() if found_in(text)
    } == {view: set() for view, text in seen.items() if found_in(text)}
    statistics = [text for view, text in seen.items() if view.startswith("pg_")]
    assert found_in("".join(statistics)) == set()


def test_logs_tell_what_is_meant_for_them(kept: Kept) -> None:
    """A23: the server's log has what a top-level statement raised; the daemon's has messages,
    hints and notes.
    """
    assert found_in(kept.server_log) == {"childerror"}
    assert found_in(kept.daemon_log) == DAEMONS


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
        assert found_in(str(refused.value).split("CONTEXT")[0]) == set()
    # As parameters, nothing of them is in the server's log either.
    call = "select jobs.enqueue('app.hold', %s, note => %s)"
    given = [Jsonb({"c": "s3cretargs3cret"}), Jsonb({"x": "s3cretnotes3cret"})]
    with private.log_file.open() as log:
        log.seek(begin)
        before = log.read()
        assert sqlstate_of(lambda: database.run(call, given)) == "PW003"
        assert found_in(log.read()) == set()
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
    assert found_in(text) - may == set()
    if role in ("producer", "supervisor"):
        assert "app.hold" not in text
        assert "app.lose" not in text

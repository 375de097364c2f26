"""Shapes are shared: in however many ways one login calls things, others notice nothing;
unused ones go.
"""

import pytest
from stage import put, state
from support import Database, sqlstate_of, wait_until

# Twelve parameters with defaults: 4096 sets of names.
WIDE = "create function app.wide({}) returns integer language sql as 'select 1'".format(
    ", ".join(f"p{n} integer default 0" for n in range(12))
)
FLOOD = """
do $$
begin
  for n in 1 .. %s loop
    perform jobs.enqueue('app.wide', (select coalesce(jsonb_object_agg('p' || b, 0), '{}')
      from generate_series(0, 11) as b where n & (1 << b) <> 0), run_at => 'infinity');
  end loop;
end $$
"""
READ = (
    "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0) from pg_stat_xact_all_tables"
    " where relid = %s::regclass"
)
ASKED = (
    "select coalesce(sum(calls), 0) from pg_stat_xact_user_functions"
    " where funcname = 'why_function_gone'"
)
SWEEP = "select jobs_internal.sweep_call_templates()"
SHAPES = "select count(*) from jobs_internal.call_template where task = %s"


@pytest.fixture(name="wide")
def _wide(database: Database) -> Database:
    """A database with a function that can be called in 4096 ways."""
    database.run(WIDE)
    database.run("grant usage on schema app to other")
    return database


def _count(database: Database, task: str = "app.wide") -> int:
    return int(database.admin(SHAPES, [task])[0][0])


def _age(database: Database) -> None:
    database.admin("update jobs_internal.call_template set made_at = made_at - interval '2 days'")
    database.admin("update jobs_internal.call_stats set seen_at = seen_at - interval '2 days'")


def test_one_login_calls_a_function_in_a_thousand_ways(wide: Database) -> None:
    """One more is refused; others are not, and what is there is called on by all."""
    database = wide
    database.run(FLOOD % 1000, role="other")
    one_more = FLOOD.replace("in 1 ..", "in %s ..") % (1001, 1001)
    assert sqlstate_of(lambda: database.run(one_more, role="other")) == "PW079"
    assert _count(database) == 1000
    database.run(FLOOD % 1, role="other")
    database.run(one_more)
    assert _count(database) == 1001
    database.run("create or replace " + WIDE.removeprefix("create "))
    database.run(FLOOD % 1, role="other")
    assert _count(database) == 1002, "an old version of a function counts no more"


def _make_many(database: Database) -> None:
    database.admin(
        "insert into jobs_internal.call_template (func, version, func_ctid, func_owner,"
        " maker, keys,"
        " fit, signature, task, whole,"
        " procedure, call) select s.func, s.version, s.func_ctid, s.func_owner, 'other'::regrole,"
        " array['x' || g],"
        " hash_array(array['x' || g]), s.signature, s.task, false, false, s.call"
        " from jobs_internal.call_template as s, generate_series(1, 20000) as g"
        " where s.task = 'app.wide'"
    )


@pytest.mark.parametrize("keys", [{}, {"p1": 1}, {"p3": 1, "p7": 2}])
def test_a_million_ways_cost_an_enqueue_nothing(wide: Database, keys: dict[str, int]) -> None:
    """It finds its shape by function and names, whatever others have called."""
    database = wide
    put(database, "app.wide", {"p11": 0}, run_at="infinity")
    _make_many(database)
    put(database, "app.wide", keys, run_at="infinity")
    with database.connect() as line, line.transaction():
        names = ", ".join(f"'{name}', {value}" for name, value in keys.items())
        line.execute(
            (
                f"select jobs.enqueue('app.wide', jsonb_build_object({names}),"
                " run_at => 'infinity')"
            ).encode()
        )
        row = line.execute(READ, ["jobs_internal.call_template"]).fetchone()
    assert row is not None
    assert row[0] < 10


@pytest.mark.parametrize("gone", [False, True])
def test_many_ways_cost_a_look_little(wide: Database, gone: bool) -> None:
    """Whether a function is gone is asked once, and not for each set of names;
    before any statistics are there, too.
    """
    database = wide
    job = put(database, "app.wide", {"p11": 0})
    _make_many(database)
    if gone:
        database.run("drop function app.wide")
    with database.connect("postgres") as line, line.transaction():
        line.execute("set local track_functions = 'all'")
        found = line.execute("select cardinality(jobs_internal.functions_gone())").fetchone()
        asked = line.execute(ASKED.encode()).fetchone()
    assert found == (20_001 if gone else 0,)
    assert asked is not None
    assert asked[0] <= 1
    with database.connect() as line:
        line.execute("select jobs.start()")
        wait_until(lambda: state(database, job) == ("failed" if gone else "succeeded"))


def test_shapes_that_no_job_has_go(database: Database) -> None:
    """Those of live jobs and of history stay, with what is known of them."""
    for task in ("app.note", "app.echo"):
        put(database, task, {"n": 1} if task == "app.note" else {"what": 1})
    database.drain()
    put(database, "pg_catalog.pg_sleep", {"$1": 0}, run_at="infinity")
    with database.connect() as line:
        line.execute("select jobs_internal.resolve('pg_catalog.now', '{}')")
    database.admin(
        "delete from jobs_internal.finished as f using jobs_internal.call_template as s"
        " where s.id = f.call_template_id and s.task = 'app.echo'"
    )
    assert database.admin(SWEEP) == [(0,)]
    _age(database)
    assert [database.admin(SWEEP)[0][0] for _ in range(3)] == [0, 0, 2]
    left = database.admin("select task from jobs_internal.call_template order by task")
    assert [row[0] for row in left if row[0] != "pg_catalog.now"] == [
        "app.note",
        "pg_catalog.pg_sleep",
    ]
    orphans = (
        "select from jobs_internal.call_stats as d where d.call_template_id not in (select"
        " id from jobs_internal.call_template)"
    )
    assert database.admin(orphans) == []
    job = put(database, "app.echo", {"what": 1})
    database.drain()
    assert state(database, job) == "succeeded"


def test_a_shape_that_an_open_transaction_has_taken_stays(database: Database) -> None:
    """Whoever read it before it was retired may commit its job much later;
    then it is kept for that job.
    """
    with database.connect() as line:
        line.execute("select jobs_internal.resolve('pg_catalog.version', '{}')")
    _age(database)
    with database.connect() as line:
        line.autocommit = False
        row = line.execute("select jobs.enqueue('pg_catalog.version')").fetchone()
        for _ in range(5):
            database.admin(SWEEP)
        assert _count(database, "pg_catalog.version") == 1
        other = put(database, "pg_catalog.version")
        assert _count(database, "pg_catalog.version") == 2, (
            "it is retired: others do not take it any more"
        )
        line.commit()
    for _ in range(5):
        database.admin(SWEEP)
    assert row is not None
    database.drain()
    assert [state(database, job) for job in (row[0], other)] == ["succeeded"] * 2


def test_upkeep_sweeps_in_a_session_of_its_own(database: Database) -> None:
    with database.connect() as line:
        line.execute("select jobs_internal.resolve('pg_catalog.version', '{}')")
    _age(database)
    put(database, "pg_catalog.now")
    database.drain()

    def swept() -> bool:
        database.admin("update jobs_internal.server set call_templates_swept_at = null")
        database.admin("select jobs_internal.maintain()")
        wait_until(lambda: not database.background())
        return _count(database, "pg_catalog.version") == 0

    wait_until(swept, 30)
    database.admin("select jobs_internal.maintain()")
    at = database.admin("select call_templates_swept_at from jobs_internal.server")
    database.admin("select jobs_internal.maintain()")
    assert database.admin("select call_templates_swept_at from jobs_internal.server") == at, (
        "not each time"
    )

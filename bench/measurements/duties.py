"""What each duty of a worker session costs, by itself in a loop and by drains with it and without
it.
"""

import statistics
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bench.database import Database, operator
from bench.drain import SESSIONS, drain, enqueue, teach
from bench.figures import Curve, Figure
from bench.measurement import Bench, measurement

#: The worker's search_path is set by its reset; the rest of it is what we leave out.
_NO_RESET = """
create or replace function jobs_internal.reset_session(p_baseline jsonb,
  p_path text default 'pg_catalog, pg_temp') returns void language plpgsql as $f$
begin
  perform pg_catalog.set_config('search_path', p_path, false);
end
$f$
"""
#: As a session does it for each job: the number is the loop's.
_NAME = """perform pg_catalog.set_config('pyworker.job', i || '/1 1700000000000', false),
  pg_catalog.set_config('application_name', 'pw ' || i || '/1 1700000000000', false);"""
_LOOK = """perform exists (select from pg_catalog.pg_constraint as c where c.condeferrable)
  or exists (select from pg_catalog.pg_trigger as t where t.tgdeferrable);"""


def _pieces(database: Database) -> list[tuple[str, str, str, float]]:
    """List the duties: name, statement, what it is counted without, and how many jobs share one."""
    chunk = float(database.setting("chunk_jobs"))
    template = database.value("select id from jobs_internal.call_template order by id desc limit 1")
    templates = f"array_fill({template}, array[{chunk:.0f}])"
    return [
        (
            "a subtransaction for each job",
            "begin perform bench.noop(); exception when others then null; end;",
            "perform bench.noop();",
            1,
        ),
        (
            "resets (jobs_internal.reset_session)",
            "perform jobs_internal.reset_session(null);",
            "",
            1,
        ),
        ("live job name", _NAME, "", 1),
        ("constraints: the look for deferrable ones, once a chunk", _LOOK, "", chunk),
        (
            "constraints: SET CONSTRAINTS, for a job that runs alone",
            "set constraints all immediate;",
            "",
            1,
        ),
        (
            "fence: functions unchanged, once a chunk",
            f"perform jobs_internal.call_templates_are_current({templates});",
            "",
            chunk,
        ),
    ]


def _microseconds(database: Database, piece: str, calls: int) -> float:
    """Time a piece of PL/pgSQL in a loop, as the jobs' owner."""
    code = f"""do $do$
        declare
          v_began timestamptz := clock_timestamp();
        begin
          for i in 1 .. {calls} loop
            {piece or "null;"}
          end loop;
          perform pg_catalog.set_config('bench.seconds',
            extract(epoch from pg_catalog.clock_timestamp() operator(pg_catalog.-) v_began)
              ::pg_catalog.text, false);
        end $do$"""
    # Not prepared: the resets of a session take prepared statements with them.
    with database.connect(prepare_threshold=None) as app:
        app.execute(code.encode())
        row = app.execute("select pg_catalog.current_setting('bench.seconds')").fetchone()
    return float(row[0]) * 1e6 / calls if row else 0.0


@contextmanager
def _no_reset(database: Database) -> Iterator[None]:
    """Leave the resets out, in this database, and put them back."""
    query = "select pg_get_functiondef('jobs_internal.reset_session(jsonb, text)'::regprocedure)"
    original = str(database.value(query))
    database.rows(_NO_RESET)
    try:
        yield
    finally:
        database.rows(original)


@contextmanager
def _no_cost(database: Database, setting: str) -> Iterator[None]:
    """Switch the measuring of costs off, and on again."""
    with database.connect(operator()) as one:
        one.execute("select jobs.configure(%s, 'off')", (setting,))
        try:
            yield
        finally:
            one.execute("select jobs.configure(%s, 'on')", (setting,))


@measurement("duties", "what each duty of a worker session costs")
def measure(bench: Bench) -> Iterator[Figure | Curve]:
    """Time the duties one by one; then drains with and without those that can be left out."""
    database, size = bench.database, bench.size
    teach(database)
    costs = database.rows(
        "select name from jobs.settings where name like '%cost%' and value = 'on'"
    )
    full, bare, free = [], [], []
    for run in range(1, size.runs + 1):
        bench.say(f"drains without a duty, run {run} of {size.runs}")
        database.empty()
        full.append(drain(database, enqueue(database, size.side_jobs)).rate)
        database.empty()
        with _no_reset(database):
            bare.append(drain(database, enqueue(database, size.side_jobs)).rate)
        if costs:
            database.empty()
            with _no_cost(database, str(costs[0][0])):
                free.append(drain(database, enqueue(database, size.side_jobs)).rate)
    whole = SESSIONS * 1e6 / statistics.median(full)
    yield Figure(
        text="a job, all duties on: time of its session",
        unit="us",
        values=tuple(SESSIONS * 1e6 / one for one in full),
    )
    for name, piece, without, shared in _pieces(database):
        try:
            times = [
                (
                    _microseconds(database, piece, size.duty_calls)
                    - _microseconds(database, without, size.duty_calls)
                )
                / shared
                for _ in range(size.runs)
            ]
        except psycopg.errors.UndefinedFunction:
            bench.say(f"{name}: this engine has no such function")
            continue
        share = 100 * statistics.median(times) / whole
        yield Figure(
            text=f"of it {name}",
            unit="us",
            values=tuple(times),
            note=f"{share:.1f} % of a job's time",
        )
    lost = tuple(100 * (1 - on / off) for on, off in zip(full, bare, strict=True))
    yield Figure(
        text="drain rate lost by resets", unit="%", values=lost, note="drains with and without them"
    )
    if free:
        lost = tuple(100 * (1 - on / off) for on, off in zip(full, free, strict=True))
        yield Figure(
            text="drain rate lost by measuring costs", unit="%", values=lost, goals=("cost",)
        )

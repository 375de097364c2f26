"""jobs.compare: what is different since a mark, on a history of windows that are alike, and of one
that is not.
"""

from decimal import Decimal
from typing import Any

from stage import put
from support import Database

#: Finished jobs of three tasks of one owner, as copies of real ones: in each of so many minutes
#: some, with the same distribution of times; in the last one some are different.
_HISTORY = """
with model as (
  select *, row_number() over (order by id) as task from jobs_internal.finished
), seeded as materialized (select setseed(0.5))
insert into jobs_internal.finished (id, run_at, created_at, started_at, finished_at, state, outcome,
  {columns})
select nextval('jobs_internal.job_id_seq'), x.ends - x.took - x.waited, x.ends - x.took - x.waited,
  x.ends - x.took, x.ends, case when x.fails then 'failed' else 'succeeded' end,
  case when x.fails then 'failed' else 'succeeded' end, {columns}
from seeded
cross join generate_series(1, {minutes}) as w
cross join model as m
cross join generate_series(1, {jobs}) as j
cross join lateral (select now() - (w - random() + 0 * (m.task + j)) * interval '1 minute' as ends,
  (case when w = 1 and m.task = 1 then 30 else 20 end)
    * exp(0.5 * random_normal()) * interval '1 ms' + 0 * j * interval '1 ms' as took,
  10 * exp(0.5 * random_normal()) * interval '1 ms' + 0 * j * interval '1 ms' as waited,
  random() + 0 * j < (case when w = 1 and m.task = 2 then 0.4 else 0.02 end) as fails) as x
"""
_COLUMNS = """
select string_agg(quote_ident(attname), ', ' order by attnum) from pg_attribute
where attrelid = 'jobs_internal.finished'::regclass and attnum > 0 and not attisdropped
  and attname not in ('id', 'run_at', 'created_at', 'started_at', 'finished_at', 'state', 'outcome')
"""
TASKS = ("app.note", "app.shout", "app.same")


def make_history(database: Database, minutes: int, jobs: int) -> None:
    """Put a history of so many minutes there, and a mark at the beginning of each but the first
    eight.
    """
    for task in TASKS[1:]:
        database.run(f"create or replace function {task}(n int) returns int language sql return n")
    for task in TASKS:
        put(database, task, {"n": 1})
    database.drain()
    columns = database.admin(_COLUMNS)[0][0]
    database.admin(_HISTORY.format(columns=columns, minutes=minutes, jobs=jobs))
    database.admin("vacuum analyze jobs_internal.finished")
    database.admin(
        "insert into jobs_internal.mark (at, kind, name, owner, set_by)"
        " select now() - n * interval '1 minute', 'deploy', n::text, 'app'::regrole, 'app'"
        " from generate_series(1, %s) as n",
        [minutes - 8],
    )


def verdicts(database: Database, name: int, *, role: str = "app") -> dict[tuple[str, str], Any]:
    """Give what is different since a mark, by figure and task."""
    found = database.run(
        "select c.what, c.task, c.ratio, c.verdict from jobs.marks as m,"
        " jobs.compare(m.id, '1 minute') as c where m.name = %s and c.verdict <> 'not enough'",
        [str(name)],
        role=role,
    )
    return {(what, task): (ratio, verdict) for what, task, ratio, verdict in found}


def test_what_is_different_is_found_and_nothing_else(database: Database) -> None:
    make_history(database, 208, 60)
    found = verdicts(database, 1)
    assert set(found) == {("duration_ms", TASKS[0]), ("failures", TASKS[1])}
    ratio, verdict = found["duration_ms", TASKS[0]]
    assert (verdict, Decimal("1.2") < ratio < Decimal("1.9")) == ("worse", True)
    assert found["failures", TASKS[1]][1] == "worse"
    # the goal: 1 % of the pairs
    false = {name: verdicts(database, name) for name in range(2, 201)}
    assert len([one for one in false.values() if one]) <= 2, false


def test_too_few_jobs_or_windows_are_not_enough(database: Database) -> None:
    make_history(database, 12, 29)
    assert verdicts(database, 1) == {}
    rows = database.run(
        "select distinct c.what, c.verdict"
        " from jobs.marks as m, jobs.compare(m.id, '1 minute') as c where m.name = '1'"
    )
    assert sorted(rows) == [
        (what, "not enough") for what in ("depth", "duration_ms", "failures", "wait_ms")
    ]
    # those of four windows are no measure of what is usual
    make_history(database, 12, 60)
    database.admin(
        "delete from jobs_internal.finished where finished_at < now() - interval '5 minutes'"
    )
    assert verdicts(database, 1) == {}


def test_each_owner_sees_its_own_tasks(database: Database) -> None:
    make_history(database, 10, 60)
    database.admin("update jobs_internal.mark set owner = 'other'::regrole where name = '1'")
    ask = "select count(*) from jobs.marks as m, jobs.compare(m.id, '1 minute') where m.name = '1'"
    assert database.value(ask, role="other") == 0
    assert database.value(ask, role="reader") > 0


def test_a_flood_is_read_in_part(database: Database) -> None:
    make_history(database, 9, 60)
    columns = database.admin(_COLUMNS)[0][0]
    database.admin(
        f"""insert into jobs_internal.finished (id, run_at, created_at, started_at, finished_at,
          state, outcome, {columns})
        select nextval('jobs_internal.job_id_seq'), m.at, m.at, m.at, m.at + interval '5 seconds',
          'succeeded', 'succeeded', {columns}
        from (select * from jobs_internal.finished order by id limit 1) as f
        cross join (select at from jobs_internal.mark) as m
        cross join generate_series(1, 2500)"""
    )
    found = {
        what: (after, jobs)
        for what, after, jobs in database.run(
            "select c.what, c.after, c.n_after from jobs.marks as m,"
            " jobs.compare(m.id, '1 minute') as c where c.task = %s",
            [TASKS[0]],
        )
    }
    after, jobs = found["depth"]
    assert after is None  # of those that were not read nothing is known
    assert 2000 <= jobs <= 2070
    assert found["duration_ms"] == (5000, jobs)

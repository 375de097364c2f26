"""The views of long operations stay fast with a hundred thousand of them, in some partitions of the
history: what a view reads is counted, which is the same on a busy machine.
"""

import pytest
from stage import make_lane
from support import Database

from .test_long_history import pages

HISTORY = """
with made as (
  select jobs_internal.make_bucket(1) as bucket from generate_series(1, 10)
)
insert into jobs_internal.history_use (bucket, queue_id) select bucket, 1 from made;
insert into jobs_internal.finished (id, bucket, queue_id, owner, priority, state, call_template_id,
  attempt, max_attempts, outcome, run_at, created_at, started_at, finished_at, pid)
select 1000 + g, 2 + g / 10001, 1,
  case when g % 2 = 0 then 'app'::regrole else 'other'::regrole end, 1, 'succeeded',
  (select min(id) from jobs_internal.call_template), 1, 3, 'succeeded', now(), now(), now(), now(),
  4711
from generate_series(1, 100000) as g;
insert into jobs_internal.finished_statement (job_id, bucket, body, command, top_level)
select f.id, f.bucket, 'create index concurrently i on app.t (n)', 'create index concurrently', true
from jobs_internal.finished as f;
insert into jobs_internal.operation (job_id, owner, kind, object_name, state, started_at, ended_at,
  bucket, attempt, percent, undo_sql)
select f.id, f.owner, 'create index concurrently', 'app.t', f.state, f.started_at,
  now() - interval '8 days', f.bucket, 1, 99.9, 'drop index concurrently app.i'
from jobs_internal.finished as f;
insert into jobs_internal.phase (job_id, attempt, n, phase, started_at, finished_at)
select o.job_id, 1, n, 'building index', o.started_at, o.ended_at
from jobs_internal.operation as o, generate_series(1, 3) as n;
insert into jobs_internal.measurement (job_id, n, label, statement, kind, before, after)
select o.job_id, n, 'q', 'select 1', 'query', '{"ms": 2}', '{"ms": 1}'
from jobs_internal.operation as o, generate_series(1, 2) as n;
insert into jobs_internal.step (job_id, n, body, command, top_level, state)
select o.job_id, n, 'vacuum', 'vacuum', true, 'done'
from jobs_internal.operation as o, generate_series(1, 2) as n
"""
TABLES = ("finished", "finished_statement", "operation", "phase", "measurement", "step")

#: Those of one job, and the first twenty rows, as a screen shows them.
ONE = {"operations": "id", "phases": "job_id", "measurements": "id", "steps": "id"}
LISTS = ("operations", "operation_list", "phases", "phase_list", "steps", "step_list")

#: Pages that a view may read; the tables have some 15,000.
MOST = 2000


@pytest.fixture(scope="module")
def lived(shared: Database) -> Database:
    """A database in which many operations have ended."""
    make_lane(shared)
    with shared.server.connect("postgres", shared.name, statement_timeout="100s") as line:
        line.execute(HISTORY.encode())
        for table in TABLES:
            line.execute(f"vacuum analyze jobs_internal.{table}".encode())
    return shared


@pytest.mark.parametrize("role", ["app", "operator", "reader"])
def test_views_of_operations_are_fast(lived: Database, role: str) -> None:
    """Of all roles that see them; of an owner the measurements too."""
    line = lived.connect(role)
    queries = [f"select * from jobs.{view} where {name} = 51000" for view, name in ONE.items()]
    queries += [f"select * from jobs.{view} limit 20" for view in LISTS]
    if role == "app":
        queries += ["select * from jobs.measurements limit 20"]
    queries += ["select * from jobs.health where \"check\" = 'unused indexes'"]
    for query in queries:
        found = len(line.execute(query.encode()).fetchall())
        assert found or role != "app", query
    assert [(query, n) for query in queries if (n := pages(line, query)) > MOST] == []

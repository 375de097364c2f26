"""What must be true when accepted calls have run: everything ended, nothing died,
and the next job runs.
"""

from typing import Any

from psycopg import sql
from support import Database

from .calls import shortened

VIEWS_OF = "operator"


def run_all(database: Database, *, timeout: float = 90.0) -> None:
    """Run what is due; what waits for a later day is cancelled, as its owner would."""
    database.drain(sessions=2, timeout=timeout)
    database.run("select jobs.cancel(id) from jobs.job where finished_at is null")
    database.drain(timeout=timeout)


def assert_all_well(database: Database, *, internal_errors: tuple[str, ...] = ()) -> None:
    """Every job ended, by itself; no session was lost; every view can be read; a canary runs.

    internal_errors: messages of errors of class XX that jobs raised on purpose.
    """
    assert database.admin("select id, state from jobs_internal.job") == []
    sessions = database.admin("select * from jobs_internal.session")
    assert sessions == [], sessions
    suspects = database.admin(
        "select o.job_id, o.outcome, o.error, s.body, h.signature, f.settings, f.args from"
        " (select id as job_id, outcome, error from jobs_internal.finished"
        "  union all select job_id, outcome, error from jobs_internal.attempt"
        "  union all select job_id, outcome, error from jobs_internal.finished_attempt) as o"
        " left join jobs_internal.finished_statement as s using (job_id)"
        " left join jobs_internal.finished as f on f.id = o.job_id"
        " left join jobs_internal.call_template as h on h.id = f.call_template_id"
        " where (o.outcome in ('lost', 'interrupted', 'in_doubt', 'timed_out')"
        # A condition of the caller's own that cannot be asked leaves its statement in doubt,
        # and says so.
        " and not (o.outcome = 'in_doubt' and s.done_when not like '%%jobs_internal.is_done%%'"
        "  and o.error ->> 'detail' like '%%its post-condition could not be asked%%'))"
        " or o.error ->> 'sqlstate' ~ '^(XX|57P|PWL|PWC02|PWD)'"
        " and not o.error ->> 'message' = any (%s)",
        [list(internal_errors)],
    )
    assert suspects == [], "\n".join(shortened(row, 1_500) for row in suspects)
    _read_all_views(database)
    assert canary(database) == {"canary": [1, None, "ä"]}


def canary(database: Database) -> Any:
    """Run one more job, in a session of its own; gives its result."""
    job = database.value("""select jobs.enqueue('app.whole', '{"canary": [1, null, "ä"]}')""")
    database.drain()
    return database.result(job)


def _read_all_views(database: Database) -> None:
    """Read every column of every view: none chokes on what was stored."""
    views = database.admin(
        "select relname from pg_class where relnamespace = 'jobs'::regnamespace and relkind = 'v'"
        " order by relname"
    )
    for (view,) in views:
        database.line(VIEWS_OF).execute(
            sql.SQL("select count(v::text) from jobs.{} as v").format(sql.Identifier(view))
        )

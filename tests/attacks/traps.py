"""Traps under names that others look for, and whether one was sprung."""

from pathlib import Path

import psycopg

PLANTED = Path(__file__).parents[1] / "catalog" / "planted.sql"


TRAPPED = "trap, app, pg_catalog"


#: What other calls with the traps first on its path.
CALLS = (
    """select jobs.enqueue('other.work', '{"n": 1}', unique_key => 'k',
        settings => '{"work_mem": "1MB"}',
    note => '{"x": 1}')""",
    """select jobs.enqueue('other.work', '{"n": 1}', unique_key => 'k')""",
    """select jobs.enqueue_many('other.work', '{"{\\"n\\": 1}"}')""",
    (
        "select jobs.enqueue_sql('insert into other.ledger (n) values (2)', done_when => 'true',"
        " timeout => '1 minute')"
    ),
    "select jobs.publish('other.work', 'app', timeout => '1 s', per_minute => 100)",
    """select jobs.enqueue_published('app.note', '{"n": 1}', note => '{}', unique_key => 'k')""",
    "select jobs.unpublish(2)",
    "select jobs.cancel(1)",
    "select jobs.retry(1)",
    "select jobs.run_now(1)",
    "select jobs.set_priority(1, 'high')",
    "select jobs.wait(1, '1 ms')",
    "call jobs.await(1, '1 ms')",
    "select jobs.current_id()",
    "select jobs.progress(1, 2, 'x')",
    "select jobs.log('x', fields => '{}')",
    "select jobs.start()",
    *(
        f"select * from jobs.{view}"
        for view in (
            "job",
            "queued",
            "running",
            "failed",
            "finished",
            "attempts",
            "cost",
            "queues",
            "sessions",
        )
    ),
    *(
        f"select * from jobs.{view}"
        for view in ("health", "settings", "retry_rules", "quotas", "publications")
    ),
    *(f"select * from jobs.{view}" for view in ("admitted_roles", "log_lines", "supervisors")),
)


def traps_sprung(
    line: psycopg.Connection[tuple[object, ...]], calls: tuple[str, ...] = CALLS
) -> list[tuple[str, str]]:
    """Make the calls; gives those in which a trap was sprung, or that failed for another reason
    than one of ours.
    """
    found = []
    for call in calls:
        try:
            line.execute(call.encode())
        except psycopg.Error as error:
            if not (error.sqlstate or "").startswith("PW03"):
                found.append((call, str(error)))
    return found

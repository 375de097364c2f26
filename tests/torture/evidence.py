"""What is kept of a scenario that went wrong, beside its journal and its logs: the tables,
before the database goes.
"""

from tests.torture.world import World

__all__ = ["keep"]

_KEPT = {
    "jobs": "select to_jsonb(j)::text from jobs.job as j order by j.id",
    "attempts": "select to_jsonb(a)::text from jobs.attempts as a order by a.job_id, a.attempt",
    "ledger": "select to_jsonb(l)::text from stage.ledger as l order by l.at",
    "sessions": "select to_jsonb(s)::text from jobs_internal.session as s order by s.id",
}


def keep(world: World) -> None:
    """Write the server's log of this scenario, and each table as a file of JSON lines."""
    (world.directory / "server.log").write_text(world.log(), encoding="utf-8")
    for name, query in _KEPT.items():
        lines = "".join(f"{row[0]}\n" for row in world.rows(query))
        (world.directory / f"{name}.jsonl").write_text(lines, encoding="utf-8")

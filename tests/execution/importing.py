"""Jobs of other schedulers, and what an import says of them."""

from pathlib import Path
from typing import Any

from stage import state
from support import Database

SCHEDULERS = (Path(__file__).parent / "schedulers.sql").read_text(encoding="utf-8")


def _insert(database: Database, table: str, **row: Any) -> int:
    """Insert a row; gives its first column, the number."""
    ((number, *_),) = database.admin(
        f"insert into {table} ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})"
        " returning *",
        list(row.values()),
    )
    return int(number)


def make_chain(
    database: Database,
    name: str,
    *commands: str,
    tasks: dict[int, dict[str, Any]] | None = None,
    **more: Any,
) -> None:
    """Make a chain of pg_timetable, at 03:00; `tasks` are further columns of its tasks."""
    given = {"run_at": "0 3 * * *", "live": True, "max_instances": 1, **more}
    chain = _insert(database, "timetable.chain", chain_name=name, **given)
    for n, command in enumerate(commands):
        row = {"chain_id": chain, "task_order": n, "command": command, **(tasks or {}).get(n, {})}
        _insert(database, "timetable.task", **row)


def make_agent_job(
    database: Database,
    name: str,
    *codes: str,
    steps: dict[int, dict[str, Any]] | None = None,
    schedule: dict[str, Any] | None = None,
) -> None:
    """Make a job of pgAgent, at 03:00; `steps` are further columns of its steps, `schedule` of its
    schedule.
    """
    job = _insert(database, "pgagent.pga_job", jobname=name)
    for n, code in enumerate(codes):
        row = {"jstjobid": job, "jstname": f"step {n}", "jstcode": code, **(steps or {}).get(n, {})}
        _insert(database, "pgagent.pga_jobstep", **row)
    times = {
        "jscminutes": [n == 0 for n in range(60)],
        "jschours": [n == 3 for n in range(24)],
        **(schedule or {}),
    }
    _insert(database, "pgagent.pga_schedule", jscjobid=job, jscname="nightly", **times)


def import_all(database: Database, source: str, *, apply: bool = False) -> dict[str, Any]:
    """Give what an import says: name -> call, differences, outcome."""
    return {
        name: (call, differences, outcome)
        for name, call, differences, outcome in database.run(
            "select * from jobs.import_schedules(%s, %s)", [source, apply]
        )
    }


def run_once(database: Database, name: str) -> str:
    """Run a schedule's job, and what it enqueues; gives the state of the first."""
    job = database.value("select jobs.run_schedule(%s)", [name])
    database.drain()
    database.admin("select jobs_internal.follow()")
    database.drain()
    return state(database, job)


NOTE = "insert into app.ledger (n) values ({})"

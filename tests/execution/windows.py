"""Short ways to make windows, to open and close them, and to see who waits for one."""

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb
from support import Database, wait_until

#: A moment in the past from which tests play time.
START = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
#: Once a year: what opens it is the test.
NEVER = "0 0 1 1 *"
NIGHT = {"window": "night"}


def make_window(database: Database, name: str = "night", **options: Any) -> None:
    """Make a window that is closed, unless options say otherwise."""
    given = {"schedule": NEVER, "duration": "1 hour", **options}
    more = "".join(f", {key} => %({key})s" for key in given)
    database.run(
        f"select jobs.create_window(%(name)s{more})", {"name": name, **given}, role="operator"
    )
    if "schedule" not in options:
        close(database, name)


def open_for(database: Database, duration: str = "1 hour", name: str = "night") -> datetime:
    """Open a window by hand, and do what a round does then."""
    at: datetime = database.value(
        "select jobs.open_window(%s, %s)", [name, duration], role="operator"
    )
    move(database)
    return at


def close(database: Database, name: str = "night") -> None:
    database.run("select jobs.close_window(%s)", [name], role="operator")


def move(database: Database, at: datetime | None = None) -> int:
    """Play the part of a supervisor's round, now or at a moment."""
    return int(
        database.admin("select jobs_internal.move_windows(coalesce(%s, clock_timestamp()))", [at])[
            0
        ][0]
    )


def tick(database: Database) -> dict[str, Any]:
    """Do a whole round of a supervisor."""
    told: dict[str, Any] = database.admin("select jobs_internal.supervisor_tick(0)")[0][0]
    return told


def set_clock(database: Database, at: datetime, name: str = "night") -> None:
    """Say that a window was made at that moment, closed."""
    database.admin(
        "update jobs_internal.window_state as s set opened_at = null, closes_at = null,"
        " next_opens_at = jobs_internal.next_time(w.timetable, w.timezone, %s)"
        " from jobs_internal.run_window as w where w.name = s.name and s.name = %s",
        [at, name],
    )


def opening(database: Database, name: str = "night") -> tuple[datetime | None, ...]:
    """Give when a window was opened, when it closes, and when it opens next, as its row says."""
    row = database.admin(
        "select opened_at, closes_at, next_opens_at from jobs_internal.window_state"
        " where name = %s",
        [name],
    )[0]
    return tuple(row)


def waits(database: Database) -> list[int]:
    """List the jobs that wait for a window, outside of their lane."""
    return [
        row[0]
        for row in database.admin(
            "select w.job_id from jobs_internal.window_wait as w"
            " join jobs_internal.job as j on j.id = w.job_id"
            " where j.state = 'scheduled' and j.due_at = 'infinity' order by 1"
        )
    ]


def told(database: Database, job: int) -> str:
    """Give the code of jobs.explain."""
    return str(database.value("select code from jobs.explain(%s)", [job]))


def ran(database: Database, task: str, *milliseconds: float, owner: str = "app") -> None:
    """Have it known how long runs of a task took."""
    database.admin(
        "select jobs_internal.keep_runs(%s::regrole::oid, array_fill(%s::text, array[%s]), %s)",
        [owner, task, len(milliseconds), [float(ms) for ms in milliseconds]],
    )


def work(database: Database) -> None:
    """Have a session look for work once, with no supervisor, and leave."""
    ever = "select coalesce(pg_sequence_last_value('jobs_internal.session_id_seq'), 0)"
    before = database.admin(ever)[0][0]
    database.run("select jobs.start()")
    wait_until(lambda: database.admin(ever)[0][0] > before and not database.background())


def in_window(name: str = "night", **more: Any) -> Jsonb:
    return Jsonb({"window": name, **more})

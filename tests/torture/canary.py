"""Where a secret argument must not be seen: logs, statistics, and what others may look at."""

import psycopg

from tests.torture.world import World

__all__ = ["WORD", "look"]

WORD = "canary-"
_STATISTICS = {
    "pg_stat_activity": (
        "select query from pg_stat_activity where query like %s and pid <> pg_backend_pid() limit 1"
    ),
    "pg_stat_statements": "select query from pg_stat_statements where query like %s limit 1",
}
_VIEWS = (
    "select relname from pg_class where relnamespace = 'jobs'::regnamespace and relkind = 'v'"
    " order by 1"
)
#: Who looks, and at what: the second enqueuer is the one of the other owner,
#: whose arguments are its own.
_OTHERS = {"reader": WORD, "operator": WORD, "supervisor": WORD, "other": f"{WORD}e0_"}


def look(world: World) -> dict[str, str]:
    """Look everywhere; returns the places where one was seen, with what was seen there."""
    found: dict[str, str] = {}
    for name, text in [("the server's log", world.log()), *_supervisor_logs(world)]:
        at = text.find(WORD)
        if at >= 0:
            found[name] = text[max(0, at - 80) : at + 60].replace("\n", " ")
    pattern = f"%{WORD}%"
    for name, query in _STATISTICS.items():
        rows = world.rows(query, [pattern])
        if rows:
            found[name] = str(rows[0][0])[:120]
    views = [str(row[0]) for row in world.rows(_VIEWS)]
    for role, word in _OTHERS.items():
        with world.connect(role) as line:
            for view in views:
                query = f"select v::text from jobs.{view} as v where v::text like %s limit 1"
                try:
                    seen = line.execute(query.encode(), [f"%{word}%"]).fetchone()
                except psycopg.errors.InsufficientPrivilege:
                    continue
                if seen:
                    found[f"jobs.{view}, as {role}"] = str(seen[0])[:120]
    return found


def _supervisor_logs(world: World) -> list[tuple[str, str]]:
    return [
        (f"the log of supervisor {number}", one.log.read_text(encoding="utf-8", errors="replace"))
        for number, one in enumerate(world.supervisors.all)
    ]

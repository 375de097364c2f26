"""Which functions of ours no test calls.

PYWORKER_TESTS_FUNCTIONS names a directory (`make functions` does): the servers of the tests then
count calls (`track_functions = all`), and each database that is dropped leaves a list of what was
called in it. What is missing in all lists was not called, or it is one that the planner puts into
the statement that calls it: the server does not count those, so they are listed apart.
"""

import os
import sys
from pathlib import Path

from psycopg import Connection

DIRECTORY = "PYWORKER_TESTS_FUNCTIONS"
#: What a server that counts has in its configuration.
COUNTING = "track_functions = all\n"

_OURS = """
select p.oid::regprocedure::text,
  l.lanname = 'sql' and p.prokind = 'f' and not p.prosecdef and p.proconfig is null,
  coalesce(s.calls, 0) > 0
from pg_proc as p
join pg_namespace as n on n.oid = p.pronamespace
join pg_language as l on l.oid = p.prolang
left join pg_stat_user_functions as s on s.funcid = p.oid
where n.nspname in ('jobs', 'jobs_internal')
"""


def counting() -> bool:
    """Whether calls are counted in this run."""
    return bool(os.environ.get(DIRECTORY))


def note_calls(connection: Connection[tuple[object, ...]]) -> None:
    """Write down which functions were called in a database; its other sessions have ended."""
    rows = connection.execute(_OURS).fetchall()
    with (Path(os.environ[DIRECTORY]) / f"{os.getpid()}.txt").open("a", encoding="utf-8") as file:
        for name, inlined, called in rows:
            file.write(f"{'called' if called else 'inlined' if inlined else 'not'}\t{name}\n")


def report(directory: Path) -> int:
    """Print what was never called; returns how many those are that the server would have
    counted.
    """
    seen: dict[str, set[str]] = {"called": set(), "inlined": set(), "not": set()}
    for path in directory.glob("*.txt"):
        for line in set(path.read_text(encoding="utf-8").splitlines()):
            kind, _, name = line.partition("\t")
            seen[kind].add(name)
    missing = sorted(seen["not"] - seen["called"])
    uncounted = sorted(seen["inlined"] - seen["called"])
    print(f"{len(seen['called'])} functions were called")
    print("\n".join([f"{len(missing)} were not:", *missing]))
    print(
        "\n".join(
            [
                f"{len(uncounted)} may have been inlined, which the server does not count:",
                *uncounted,
            ]
        )
    )
    return len(missing)


if __name__ == "__main__":
    sys.exit(min(1, report(Path(sys.argv[1]))))

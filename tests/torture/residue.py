"""What is left on the server of the work that was done on it."""

import re
from dataclasses import dataclass

from tests.torture.world import World

_RESIDUE = """
select
  (select count(*) from pg_locks where locktype = 'advisory' and database =
    (select oid from pg_database where datname = current_database())),
  (select count(*) from pg_prepared_xacts where database = current_database()),
  (select count(*) from pg_stat_activity where datname = current_database()
    and backend_type not in ('client backend', 'autovacuum worker', 'parallel worker')),
  (select count(*) from jobs_internal.slot where session_id is not null),
  array(select format('%s %s', usename, application_name) from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend'
      and pid <> pg_backend_pid()
      and application_name not like 'torture%' order by 1)
"""
_QUEUES = (
    "select oid::regclass::text from pg_class where relkind = 'r'"
    " and oid::regclass::text like 'pgmq.q\\_pyworker\\_%'"
)
_SEGMENT = re.compile(r"mmap\.\d+$")


@dataclass(frozen=True, kw_only=True)
class Residue:
    """What is on the server while nobody is at work: it should be what was there before."""

    segments: int = 0
    advisory_locks: int = 0
    prepared: int = 0
    background: int = 0
    held_slots: int = 0
    messages: int = 0
    connections: tuple[str, ...] = ()


def segments_left(world: World) -> int:
    """Count the shared-memory segments that nobody has mapped; the torture server keeps them as
    files of its own.
    """
    data = world.server.dir / "data"
    there = {
        entry.name for entry in (data / "pg_dynshmem").iterdir() if _SEGMENT.search(entry.name)
    }
    mapped: set[str] = set()
    for pid in world.processes():
        try:
            maps = (world.proc / str(pid) / "maps").read_text()
        except OSError:
            continue
        mapped |= {name for name in there if name in maps}
    return len(there - mapped)


def measure_residue(world: World) -> Residue:
    """Look at what is on the server now."""
    locks, prepared, background, held, connections = world.rows(_RESIDUE)[0]
    messages = sum(
        world.rows(f"select count(*) from {row[0]}")[0][0] for row in world.rows(_QUEUES)
    )
    return Residue(
        segments=segments_left(world),
        messages=messages,
        advisory_locks=locks,
        prepared=prepared,
        background=background,
        held_slots=held,
        connections=tuple(connections),
    )

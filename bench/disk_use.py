"""What pyworker's tables take on disk."""

from bench.database import Database

__all__ = ["disk_bytes", "live_bytes", "vacuum"]

#: Tables of history, by the beginning of their names, partitions included; all others are live.
_HISTORY = "^(finished|attempt|log_line|cost)"
_TABLES = """
from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
where c.relkind = 'r'
  and (n.nspname = 'jobs_internal' or n.nspname = 'pgmq' and c.relname ~ '^[qa]_pyworker_')
"""
_SIZE = f"select coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint {_TABLES}"


def disk_bytes(database: Database) -> int:
    """Return the bytes of all tables and indexes."""
    return int(database.value(_SIZE))


def live_bytes(database: Database) -> int:
    """Return the bytes of all but the history."""
    return int(database.value(f"{_SIZE} and c.relname !~ '{_HISTORY}'"))


def vacuum(database: Database) -> None:
    """Vacuum them all."""
    for (name,) in database.rows(f"select c.oid::regclass::text {_TABLES}"):
        database.rows(f"vacuum (analyze) {name}")

"""The machine and the server of a run: without them no figure means anything."""

import os
import platform
import re
from pathlib import Path

from bench.database import Database

__all__ = ["Facts", "facts"]

Facts = dict[str, str]
_SETTINGS = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
    "checkpoint_timeout",
    "autovacuum",
    "work_mem",
    "jit",
    "track_io_timing",
    "shared_preload_libraries",
    "max_worker_processes",
)


def _first(path: str, pattern: str) -> str:
    try:
        found = re.search(pattern, Path(path).read_text(encoding="utf-8"), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else "unknown"


def facts(database: Database) -> dict[str, Facts]:
    """Collect what is known: of the machine, the server's settings, pyworker's."""
    memory = _first("/proc/meminfo", r"^MemTotal:\s+(\d+) kB")
    server = database.rows(
        "select name, current_setting(name) from pg_settings where name = any (%s)",
        (list(_SETTINGS),),
    )
    ours = database.rows("select name, value from jobs.settings order by name")
    return {
        "machine": {
            "processors": str(os.cpu_count()),
            "cpu": _first("/proc/cpuinfo", r"^model name\s*:\s*(.*)$"),
            "memory": f"{int(memory) / 1024**2:.1f} GB" if memory.isdecimal() else memory,
            "kernel": platform.release(),
            "load": f"{os.getloadavg()[0]:.1f}",
            "python": platform.python_version(),
        },
        "server": {str(name): str(value) for name, value in server},
        "pyworker": {str(name): str(value) for name, value in ours},
    }

"""What the kernel says of processes: processor time and memory."""

import os
import re
from pathlib import Path

from bench.database import Database
from pyworker.errors import WorkError

__all__ = [
    "children",
    "cpu_seconds",
    "private_megabytes",
    "resident_megabytes",
    "server_cpu_seconds",
    "tree_cpu_seconds",
]

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int, *, ended_children: bool = False) -> float:
    """Return utime + stime of a process; also of the children that it has waited for."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    fields = text.rpartition(")")[2].split()  # behind the name, which may have spaces
    return sum(int(field) for field in fields[11 : 15 if ended_children else 13]) / _TICK


def children(pid: int) -> list[int]:
    """List the child processes."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found.append(int(entry.name))
    return found


def server_cpu_seconds(postmaster: int) -> float:
    """Sum up the server's processes, those that have ended included."""
    return cpu_seconds(postmaster, ended_children=True) + sum(
        cpu_seconds(pid) for pid in children(postmaster)
    )


def tree_cpu_seconds(pid: int) -> float:
    """Sum up a process, its children and theirs, those that have ended included."""
    return cpu_seconds(pid, ended_children=True) + sum(map(tree_cpu_seconds, children(pid)))


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process of ours."""
    found = re.search(
        r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"), re.MULTILINE
    )
    if found is None:
        raise WorkError("the kernel does not tell a process's memory", detail=f"Process {pid}.")
    return int(found[1]) / 1024


def private_megabytes(database: Database, pid: int) -> float | None:
    """Return the private memory of a server process, None when it has ended.

    The mappings that are shared by nature are left out: a page of the shared buffers that only this
    process has touched so far is counted as private by the kernel, but costs nothing.
    """
    try:
        text = Path(f"/proc/{pid}/smaps").read_text(encoding="utf-8")
    except PermissionError:  # root in a container may lack the right; the process's own user has it
        done = database.server.run_as_server_user(["cat", f"/proc/{pid}/smaps"])
        text = done.stdout if done.returncode == 0 else ""
    except (FileNotFoundError, ProcessLookupError):
        text = ""
    kilobytes, private = 0, False
    for line in text.splitlines():
        mapping = re.match(r"[0-9a-f]+-[0-9a-f]+ ...(.) ", line)
        if mapping:
            private = mapping[1] == "p"
        elif private and line.startswith("Private_"):
            kilobytes += int(line.split()[1])
    return kilobytes / 1024 if kilobytes else None

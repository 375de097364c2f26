"""Whether what runs, or lies there, is what was asked for."""

from pathlib import Path

from pyworker.errors import ServerError
from pyworker.server.prefix import Prefix
from pyworker.server.process import Postmaster

__all__ = ["refuse_other_major", "refuse_other_port"]


def refuse_other_major(data: Path, prefix: Prefix) -> None:
    """Refuse programs of another major version than the cluster's."""
    try:
        of_data = (data / "PG_VERSION").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return
    if of_data != str(prefix.major):
        raise ServerError(
            f"the cluster is of PostgreSQL {of_data}, but the programs are of {prefix.major}",
            detail="The programs it was made with are gone, and the suite has newer ones.",
            hint="Destroy the server and start anew, or put the old programs back.",
        )


def refuse_other_port(running: Postmaster, port: int | None) -> None:
    """Refuse to call it started where it runs without the port that is asked for."""
    if port and not (running.listens and running.port == port):
        raise ServerError(
            f"the private server already runs without TCP port {port}",
            detail=f"It listens on port {running.port}."
            if running.listens
            else "It has no TCP port.",
            hint="Stop it, then start it with --port.",
        )

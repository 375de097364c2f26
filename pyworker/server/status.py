"""What `server status` tells."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["ServerStatus", "State"]

State = Literal["running", "stopped", "absent"]

#: The exit codes of `server status`, as init scripts use them.
EXIT_CODES: dict[State, int] = {"running": 0, "stopped": 3, "absent": 4}


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """The private server as it is now."""

    state: State
    dir: Path
    version: str | None = None
    suite: str | None = None
    pid: int | None = None
    uptime: float | None = None
    socket: Path | None = None
    port: int | None = None
    log: Path | None = None
    disk_bytes: int = 0

    @property
    def exit_code(self) -> int:
        """What `server status` exits with."""
        return EXIT_CODES[self.state]

    def as_json(self) -> dict[str, object]:
        """Render the facts for `--json`."""
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in asdict(self).items()
        }

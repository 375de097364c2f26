"""The private server's directory: what lies where, whose it is, and how it is claimed
and given up.
"""

import hashlib
import json
import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pyworker.config import Settings
from pyworker.errors import ConfigError, ServerError
from pyworker.server.files import make_directory, write_atomically
from pyworker.server.osuser import OsUser

__all__ = ["Layout", "default_directory"]

_MARKER = "pyworker-server.json"
_LONGEST_SOCKET = 107  # bytes, of the kernel's sockaddr_un
_SOCKET_NAME = "/.s.PGSQL.65535"
_OURS = {"lock", "lost+found"}  # may be there before the marker is


def default_directory(settings: Settings) -> Path:
    """Choose the directory: the setting, else the system's for root, else the user's own data
    directory.
    """
    if settings.server_dir:
        return settings.server_dir.expanduser()
    if os.geteuid() == 0:
        return Path("/var/lib/pyworker/server")
    data = os.environ.get("XDG_DATA_HOME")
    if not data:
        home = os.environ.get("HOME")
        if not home:
            raise ConfigError("HOME is not set", hint="Set HOME, PYWORKER_SERVER_DIR or --dir.")
        data = f"{home}/.local/share"
    return Path(data) / "pyworker" / "server"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Paths inside one private server's directory."""

    root: Path

    @property
    def lock(self) -> Path:
        """The lock that start, stop and destroy take."""
        return self.root / "lock"

    @property
    def marker(self) -> Path:
        """The file that says that this directory is ours."""
        return self.root / _MARKER

    @property
    def download(self) -> Path:
        """The packages, until they are unpacked."""
        return self.root / "download"

    @property
    def apt(self) -> Path:
        """apt's workplace during a download."""
        return self.root / "apt"

    @property
    def prefix(self) -> Path:
        """The programs."""
        return self.root / "prefix"

    @property
    def data(self) -> Path:
        """The database cluster."""
        return self.root / "data"

    @property
    def log_directory(self) -> Path:
        """Where the server writes its log."""
        return self.root / "log"

    @property
    def log_file(self) -> Path:
        """The server's log."""
        return self.log_directory / "postgresql.log"

    @property
    def drained(self) -> Path:
        """Where a drain notes the databases that it has paused."""
        return self.root / "drained.json"

    @property
    def passwords(self) -> Path:
        """The roles' passwords, for TCP connections only."""
        return self.root / "passwords.json"

    @property
    def exists(self) -> bool:
        """Tell whether the directory has been claimed."""
        return self.marker.is_file()

    def socket_directory(self, user: OsUser) -> Path:
        """Name the private directory of the socket; elsewhere, under a short name, when the path
        would be too long.
        """
        inside = self.root / "run"
        if len(os.fsencode(f"{inside}{_SOCKET_NAME}")) <= _LONGEST_SOCKET:
            return inside
        runtime = os.environ.get("XDG_RUNTIME_DIR")
        recorded = self._read().get("socket_directory")
        if recorded:
            return Path(str(recorded))
        ours = (
            runtime and os.geteuid() != 0 and Path(runtime).is_dir()
        )  # root's one is closed to the server's user
        base = Path(runtime) if runtime and ours else Path(tempfile.gettempdir())
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:12]
        return base / f"pyworker-{user.uid}-{digest}"

    def claim(self) -> list[str]:
        """Make the directory with the parents it needs, list what was made; refuse one that holds
        something else.
        """
        made: list[str] = []
        try:
            for folder in (*reversed(self.root.parents), self.root):
                if not folder.exists():
                    make_directory(folder, 0o755)
                    made.append(str(folder))
        except OSError as error:
            raise ServerError(
                f'directory "{self.root}" cannot be made',
                detail=str(error),
                hint="Choose another one with --dir or PYWORKER_SERVER_DIR.",
            ) from error
        self.refuse_foreign()
        return [*self._made_by_siblings(), *made]

    def _made_by_siblings(self) -> list[str]:
        """List the parents that another private server beside this one made: the last one to go
        removes them.
        """
        siblings = (Layout(root=marker.parent) for marker in self.root.parent.glob(f"*/{_MARKER}"))
        shared = (
            str(folder)
            for sibling in siblings
            for folder in sibling.made()
            if folder in self.root.parents
        )
        return sorted(set(shared), key=len)

    def refuse_foreign(self) -> None:
        """Stop before touching a directory that is not a private server's."""
        if self.exists:
            return
        if self.root.exists() and not self.root.is_dir():
            raise ServerError(
                f'"{self.root}" is not a directory',
                hint="Choose another one with --dir or PYWORKER_SERVER_DIR.",
            )
        names = sorted(entry.name for entry in self.root.iterdir()) if self.root.exists() else []
        foreign = [
            name for name in names if name not in _OURS and not name.startswith(f".{_MARKER}")
        ]
        if foreign:
            raise ServerError(
                f'directory "{self.root}" is not a private server\'s',
                detail=f"It holds {', '.join(foreign[:3])}"
                f"{' and more' if len(foreign) > 3 else ''}.",
                hint="Choose an empty or a new directory with --dir or PYWORKER_SERVER_DIR.",
            )

    def mark(self, **facts: object) -> None:
        """Record facts in the marker, beside those that are there."""
        write_atomically(self.marker, json.dumps({"made": [], **self._read(), **facts}))

    def made(self) -> list[Path]:
        """List the directories that were made for this server, the deepest first."""
        made = self._read().get("made")
        return [Path(str(name)) for name in reversed(made)] if isinstance(made, list) else []

    def _read(self) -> dict[str, object]:
        try:
            facts = json.loads(self.marker.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return facts if isinstance(facts, dict) else {}


def private_directory(path: Path, user: OsUser) -> None:
    """Make a directory that only the server's user may enter, or check that the one there is
    exactly that.
    """
    make_directory(path, 0o700)
    found = path.lstat()
    if found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode):
        user.own(path)
        path.chmod(0o700)
        return
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != user.uid
        or stat.S_IMODE(found.st_mode) & 0o077
    ):
        raise ServerError(
            f'directory "{path}" is not private to OS user "{user.name}"',
            detail=f"Its owner is {found.st_uid} and its mode is {stat.S_IMODE(found.st_mode):o}.",
            hint="Remove it, or choose another server directory with --dir or PYWORKER_SERVER_DIR.",
        )

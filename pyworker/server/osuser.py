"""The OS user that runs PostgreSQL, and how to run programs as that user."""

import os
import pwd
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, CompletedProcess, run
from typing import Any

from pyworker.config import Settings
from pyworker.errors import ConfigError, ServerError

__all__ = ["OsUser", "server_user"]


@dataclass(frozen=True, kw_only=True)
class OsUser:
    """An OS user; programs run as it with no more than its own groups and a clean environment."""

    name: str
    uid: int
    gid: int
    invoker: str = field(default="root")

    @property
    def _switch(self) -> dict[str, Any]:
        if os.geteuid() == self.uid:
            return {}
        return {
            "user": self.uid,
            "group": self.gid,
            "extra_groups": os.getgrouplist(self.name, self.gid),
        }

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give programs only what they need: no PG* variable, locale or library path of the
        caller's.
        """
        return {
            "PATH": os.defpath,
            "LC_ALL": "C",
            "HOME": "/",
            "USER": self.name,
            **(extra or {}),
        }

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        cwd: Path,
        text: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> CompletedProcess[str]:
        """Run a program to its end as this user; stdout and stderr come back as one text."""
        stdin: dict[str, Any] = {"stdin": DEVNULL} if text is None else {"input": text}
        return run(
            [str(part) for part in argv],
            cwd=cwd,
            env=self.environment(extra),
            stdout=PIPE,
            stderr=STDOUT,
            encoding="utf-8",
            errors="replace",
            umask=0o077,
            check=False,
            **stdin,
            **self._switch,
        )

    def own(self, path: Path) -> None:
        """Give a file or directory to this user."""
        if os.geteuid() == 0:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_enter(self, path: Path) -> bool:
        """Tell whether this user can reach and read a directory."""
        if os.geteuid() == self.uid:
            return os.access(path, os.R_OK | os.X_OK)
        asked = run(
            ["test", "-x", str(path)],
            check=False,
            cwd="/",
            env={"PATH": os.defpath},
            **self._switch,
        )
        return asked.returncode == 0


def _lookup(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _myself() -> OsUser:
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError as error:
        raise ConfigError(
            f"OS user {uid} has no name on this machine",
            detail="PostgreSQL and its peer authentication need a user name.",
            hint="Add the user to the system's user database, or run as another user.",
        ) from error
    return OsUser(name=name, uid=uid, gid=os.getegid(), invoker=name)


def _owner(path: Path) -> OsUser | None:
    """Name the user that owns what is already there: the cluster stays with the user
    that made it.
    """
    try:
        entry = pwd.getpwuid(path.stat().st_uid)
    except (FileNotFoundError, KeyError):
        return None
    if os.geteuid() not in (0, entry.pw_uid):
        raise ServerError(
            f'the private server in "{path.parent}" belongs to OS user "{entry.pw_name}"',
            hint="Work as that user, or choose another one with --dir or PYWORKER_SERVER_DIR.",
        )
    invoker = (os.environ.get("SUDO_USER") if os.geteuid() == 0 else None) or "root"
    return OsUser(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, invoker=invoker)


def server_user(settings: Settings, *, owned: Path) -> OsUser:
    """Choose who runs the server: the owner of the cluster that is there, else oneself.

    For root: PYWORKER_SERVER_USER, else SUDO_USER, else "postgres", else "nobody".
    """
    owner = _owner(owned)
    if owner:
        return owner
    if os.geteuid() != 0:
        return _myself()
    sudo = os.environ.get("SUDO_USER")
    chosen = settings.server_user
    for name in [chosen] if chosen else [sudo, "postgres", "nobody"]:
        entry = _lookup(name) if name else None
        if entry and entry.pw_uid != 0:
            return OsUser(
                name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid, invoker=sudo or "root"
            )
    raise ConfigError(
        f'OS user "{chosen}" cannot run the server'
        if chosen
        else "no ordinary OS user was found to run the server",
        detail="PostgreSQL refuses to run as root, and the user must exist.",
        hint="Set PYWORKER_SERVER_USER to an ordinary user of this machine.",
    )

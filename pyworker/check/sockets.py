"""What `check` looks at in the socket directories: whether another process could listen there in
the server's place.
"""

import re
import shlex
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pyworker.check.finding import Finding, Target

__all__ = ["is_open_socket", "sockets"]

_SHARED = ("/tmp", "/var/tmp")  # noqa: S108  looked for, not used  # nosec B108


def is_open_socket(target: Target) -> bool:
    """Tell whether other OS users may reach the socket, as far as that can be seen."""
    if int(target.setting("unix_socket_permissions") or "0777", 8) & 0o007 == 0:
        return False
    if not target.is_here:
        return True
    modes = [_mode(folder) for folder in _directories(target)]
    return any(mode is None or mode & 0o001 for mode in modes)


def _directories(target: Target) -> list[str]:
    said = target.setting("unix_socket_directories") or ""
    return [
        name.strip().strip('"')
        for name in re.findall(r'"(?:[^"]|"")*"|[^,]+', said)
        if name.strip()
    ]


def _mode(folder: str) -> int | None:
    try:
        return stat.S_IMODE(Path(folder).stat().st_mode)
    except OSError:
        return None


def _unsafe_parent(folder: str) -> str | None:
    """Name the directory, this one or one above, in which anybody may put another in its place."""
    for place in (Path(folder), *Path(folder).parents):
        mode = _mode(str(place))
        if mode is not None and mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return str(place)
    return None


def sockets(target: Target) -> Iterator[Finding]:
    """Look for a socket whose place another user could take."""
    check = "socket"
    folders = _directories(target)
    look: Callable[[str], str | None] = _unsafe_parent if target.is_here else lambda _folder: None
    found = False
    for folder in folders:
        open_to_all = look(folder)
        mode = _mode(folder) if target.is_here else None
        if open_to_all:
            found = True
            detail = (
                f"{folder}: everybody may put another socket in its place, because {open_to_all} "
                f"is open to all"
            )
            yield Finding(
                check=check,
                status="critical",
                detail=detail,
                remedy=f"`chmod +t {shlex.quote(open_to_all)}`",
            )
        elif folder.startswith("@") or folder in _SHARED or (mode or 0) & stat.S_IWOTH:
            found = True
            detail = (
                f"{folder}: while the server is down, anybody may listen there and be taken for it"
            )
            remedy = (
                "alter system set unix_socket_directories = '/run/postgresql';  --"
                " then restart the server"
            )
            yield Finding(check=check, status="warning", detail=detail, remedy=remedy)
    if not found:
        rest = (
            ""
            if target.is_here
            else "; not on this machine, so who may write there was not looked at"
        )
        detail = (
            f"{', '.join(folders) or 'none'}, mode "
            f"{target.setting('unix_socket_permissions')}{rest}"
        )
        yield Finding(check=check, status="ok", detail=detail)

"""The database cluster: made once, beside its final place, with its roles, database, access rules
and settings.
"""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

from pyworker.errors import ServerError
from pyworker.server.files import discard, write_atomically
from pyworker.server.layout import Layout
from pyworker.server.osuser import OsUser
from pyworker.server.prefix import Prefix
from pyworker.server.progress import Progress
from pyworker.server.tools import disk_full, require_space, says_disk_full

__all__ = ["ADMINISTRATOR", "DATABASE", "ROLES", "configure", "create_cluster", "read_passwords"]

ADMINISTRATOR = "postgres"
#: Login roles without special rights: `app` is everybody's, `supervisor` the daemon's.
ORDINARY_ROLES = ("app", "supervisor")
ROLES = (ADMINISTRATOR, *ORDINARY_ROLES)
DATABASE = "pyworker"

_MEGABYTES = 150
_RUNTIME = "pyworker.conf"  # written anew at each start

_HBA = """\
# Written by pyworker. The socket's directory is private; who gets there and is in the map may be
# any role.
local all all peer map=pyworker
host all all 127.0.0.1/32 scram-sha-256
local replication all peer map=pyworker
"""


def _settings(prefix: Prefix) -> str:
    lines = [
        "max_connections = 100",
        "max_worker_processes = 128",
        "shared_buffers = 128MB",
        "max_wal_size = 2GB",
        "track_io_timing = on",
        "log_line_prefix = '%m [%p] %q%u@%d %a '",
        "log_lock_waits = on",
        "lc_messages = 'C'",
    ]
    if prefix.has_library("pg_stat_statements"):
        lines.append("shared_preload_libraries = 'pg_stat_statements'")
    return "".join(f"{line}\n" for line in [*lines, f"include_if_exists = '{_RUNTIME}'"])


def _bootstrap_sql(passwords: dict[str, str]) -> str:
    """Statements for single-user mode: one to a line. Passwords serve TCP only; the socket trusts
    the OS user.
    """
    roles = [f"create role {role} login password '{passwords[role]}'" for role in ORDINARY_ROLES]
    administrator = f"alter role {ADMINISTRATOR} password '{passwords[ADMINISTRATOR]}'"
    return "".join(f"{line};\n" for line in [*roles, administrator, f"create database {DATABASE}"])


def _step(
    user: OsUser, argv: Sequence[str | Path], *, cwd: Path, doing: str, text: str | None = None
) -> None:
    done = user.run(argv, cwd=cwd, text=text)
    complaints = [
        line
        for line in done.stdout.splitlines()
        if "ERROR:" in line or "FATAL:" in line or "error:" in line
    ]
    if done.returncode == 0 and not complaints:
        return
    if says_disk_full(done.stdout):
        raise disk_full(cwd, what=doing)
    raise ServerError(f"{doing} failed", detail="; ".join(complaints) or done.stdout.strip()[-600:])


def create_cluster(layout: Layout, prefix: Prefix, user: OsUser, progress: Progress) -> None:
    """Make the cluster in a staging directory and rename it: it is there whole, or not there."""
    require_space(layout.root, _MEGABYTES, what="the database cluster")
    progress.phase("creating the database cluster")
    staging = layout.root / "data.tmp"
    if staging.exists():
        discard(staging)
    staging.mkdir(mode=0o700)
    user.own(staging)
    initdb: list[str | Path] = [
        prefix.program("initdb"),
        "--pgdata",
        staging,
        "--username",
        ADMINISTRATOR,
    ]
    initdb += ["-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    initdb += ["--auth=peer", "--no-instructions"]
    _step(user, initdb, cwd=layout.root, doing="creating the database cluster")
    with (staging / "postgresql.conf").open("a", encoding="utf-8") as file:
        file.write(_settings(prefix))
    _write(staging / "pg_hba.conf", _HBA, user)
    passwords = {role: secrets.token_urlsafe(18) for role in ROLES}
    write_atomically(layout.passwords, json.dumps(passwords), mode=0o600)
    single: list[str | Path] = [
        prefix.program("postgres"),
        "--single",
        "-D",
        staging,
        "-c",
        "exit_on_error=on",
    ]
    single += ["-c", "log_min_messages=error", "-c", "shared_preload_libraries=", "postgres"]
    _step(
        user,
        single,
        cwd=layout.root,
        doing="creating the roles and the database",
        text=_bootstrap_sql(passwords),
    )
    staging.rename(layout.data)


def _write(path: Path, text: str, user: OsUser) -> None:
    write_atomically(path, text, mode=0o600)
    user.own(path)


def configure(layout: Layout, user: OsUser, *, socket_directory: Path, port: int | None) -> None:
    """Write what may differ from start to start: the socket, the port, and which OS users may
    connect.
    """
    listen = (
        f"listen_addresses = '127.0.0.1'\nport = {port}\n" if port else "listen_addresses = ''\n"
    )
    _write(
        layout.data / _RUNTIME,
        f"unix_socket_directories = '{_quoted(socket_directory)}'\n{listen}",
        user,
    )
    users = dict.fromkeys(("root", user.name, user.invoker))
    _write(
        layout.data / "pg_ident.conf", "".join(f'pyworker "{name}" all\n' for name in users), user
    )


def _quoted(path: Path) -> str:
    # A list of directories: each name in double quotes, within the single-quoted value.
    return '"' + str(path).replace('"', '""').replace("\\", "\\\\").replace("'", "''") + '"'


def read_passwords(layout: Layout) -> dict[str, str]:
    """Read the roles' passwords for TCP connections."""
    try:
        known = json.loads(layout.passwords.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ServerError(f'cannot read "{layout.passwords}"', detail=str(error)) from error
    return {str(role): str(password) for role, password in known.items()}

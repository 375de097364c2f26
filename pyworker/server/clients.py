"""How clients reach the private server: connection strings, and the environment of its programs."""

import os
import shutil
from urllib.parse import quote

from pyworker.errors import ServerError
from pyworker.server.cluster import read_passwords
from pyworker.server.layout import Layout
from pyworker.server.prefix import Prefix
from pyworker.server.process import Postmaster

__all__ = ["client_dsn", "client_environment"]

_LIBPQ_PORT = 5432


def client_dsn(layout: Layout, running: Postmaster, role: str, dbname: str, *, tcp: bool) -> str:
    """Render a libpq URI: over the socket, or with the role's password over TCP."""
    login, path = quote(role, safe=""), quote(dbname, safe="")
    if not tcp:
        port = "" if running.port == _LIBPQ_PORT else f"&port={running.port}"
        return f"postgresql://{login}@/{path}?host={quote(running.socket_directory)}{port}"
    if not running.listens:
        raise ServerError(
            "the private server has no TCP port", hint="Stop it, then start it with --port."
        )
    password = read_passwords(layout).get(role)
    secret = f":{quote(password, safe='')}" if password else ""
    return f"postgresql://{login}{secret}@127.0.0.1:{running.port}/{path}"


def client_environment(
    prefix: Prefix, running: Postmaster, role: str, dbname: str
) -> dict[str, str]:
    """Give PG* variables, and the server's programs on the PATH."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LD_"))}
    if not {"PSQL_PAGER", "PAGER"} & set(kept):
        kept["PSQL_PAGER"] = shutil.which("less") or shutil.which("more") or "cat"
        kept.setdefault("LESS", "-FRSX")
    return {
        **kept,
        "PATH": f"{prefix.program('psql').parent}:{os.environ.get('PATH', os.defpath)}",
        "PGHOST": running.socket_directory,
        "PGPORT": str(running.port),
        "PGUSER": role,
        "PGDATABASE": dbname,
    }

"""Which database a command is about."""

from pyworker.config import Settings
from pyworker.errors import ConfigError

__all__ = ["resolve_dsn"]

_NO_DATABASE = (
    "Run `pyworker server start` for a private server, or set PYWORKER_DSN to one that has "
    "pg_background."
)


def resolve_dsn(settings: Settings, role: str = "postgres") -> str:
    """Name the database to use: the setting, else the private server where it runs (as `role`),
    else an error.
    """
    if settings.dsn is not None:
        return settings.dsn.get_secret_value()
    # most commands have a DSN and need none of the server
    from pyworker.server import PrivateServer  # noqa: PLC0415

    server = PrivateServer(settings=settings)
    state = server.status().state
    if state == "running":
        return server.dsn(role)
    detail = f"The private server in {server.dir} is {state}."
    raise ConfigError("no database is configured", detail=detail, hint=_NO_DATABASE)

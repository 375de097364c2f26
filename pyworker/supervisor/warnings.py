"""What could be misused in how a supervisor was started: said once, when it has started."""

import ipaddress
from collections.abc import Iterator
from typing import Any

import psycopg

__all__ = ["described", "is_on_this_host", "warnings_of"]

_VERIFIED = "verify-full"


def is_on_this_host(host: str, address: str) -> bool:
    """Tell whether a connection stays on this machine: a Unix socket, or a loopback address."""
    if not host or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address((address or host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def described(privileges: str) -> str:
    """Say what the privileges of a login make of it."""
    return "is a superuser" if privileges.partition(",")[0] == "SUPERUSER" else f"has {privileges}"


def _parameters(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """Give what the connection was opened with, wherever it came from: the DSN, the environment, a
    service file.
    """
    return {
        option.keyword.decode(): option.val.decode(errors="replace")
        for option in connection.pgconn.info
        if option.val is not None
    }


def warnings_of(
    connection: psycopg.Connection[Any], *, privileges: str | None
) -> Iterator[dict[str, object]]:
    """List what could be misused, in the fields of the event `risk`; `privileges`: what the login
    has for no need.
    """
    if privileges:
        superuser = "SUPERUSER" in privileges
        yield {
            "problem": "superuser" if superuser else "privileged_login",
            "detail": (
                f"the login {connection.info.user} {described(privileges)}: who gets hold of "
                f"this daemon has "
            )
            + ("the server" if superuser else "that, too"),
            "hint": (
                "Use a role with LOGIN that is a member of jobs_supervisor, without "
                "--allow-superuser."
            ),
        }
    host, address = connection.info.host, connection.info.hostaddr
    given = _parameters(connection)
    mode = given.get("sslmode") or "prefer"
    if is_on_this_host(host, address) or mode == _VERIFIED or given.get("sslrootcert") == "system":
        return
    how = (
        "encrypted, but the other end is not checked"
        if connection.pgconn.ssl_in_use
        else "not encrypted"
    )
    yield {
        "problem": "unverified_server",
        "detail": f"the connection to {host} is {how} (sslmode={mode}): who is between here and "
        f"there can pose as the server, read what passes, and get the passwords of all owners",
        "hint": "Add sslmode=verify-full and sslrootcert=FILE (or sslrootcert=system) to the DSN.",
    }

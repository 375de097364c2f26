"""What could be misused in how a supervisor was started: said once, when it has started."""

import ipaddress
from collections.abc import Iterator
from typing import Any

import psycopg

__all__ = ["is_on_this_host", "risks_of", "said_of"]

_VERIFIED = "verify-full"


def is_on_this_host(host: str, address: str) -> bool:
    """Tell whether a connection stays on this machine: a Unix socket, or a loopback address."""
    if not host or host.startswith(("/", "@")):
        return True
    try:
        return ipaddress.ip_address((address or host).partition("%")[0]).is_loopback
    except ValueError:
        return False


def said_of(powers: str) -> str:
    """Say what the powers of a login make of it."""
    return "is a superuser" if powers.partition(",")[0] == "SUPERUSER" else f"has {powers}"


def _parameters(line: psycopg.Connection[Any]) -> dict[str, str]:
    """Give what the connection was opened with, wherever it came from: the DSN, the environment, a service file."""
    return {
        option.keyword.decode(): option.val.decode(errors="replace")
        for option in line.pgconn.info
        if option.val is not None
    }


def risks_of(line: psycopg.Connection[Any], *, powers: str | None) -> Iterator[dict[str, object]]:
    """List what somebody could misuse, in the fields of the event `risk`; `powers`: what the login has for no need."""
    if powers:
        superuser = "SUPERUSER" in powers
        yield {
            "problem": "superuser" if superuser else "powerful_login",
            "detail": f"the login {line.info.user} {said_of(powers)}: whoever gets hold of this daemon has "
            + ("the server" if superuser else "that, too"),
            "hint": "Use a role with LOGIN that is a member of jobs_supervisor, without --allow-superuser.",
        }
    host, address = line.info.host, line.info.hostaddr
    given = _parameters(line)
    mode = given.get("sslmode") or "prefer"
    if is_on_this_host(host, address) or mode == _VERIFIED or given.get("sslrootcert") == "system":
        return
    how = "encrypted, but with whom is not checked" if line.pgconn.ssl_in_use else "not encrypted"
    yield {
        "problem": "unverified_server",
        "detail": f"the connection to {host} is {how} (sslmode={mode}): who is between here and there can pose as the "
        "server, read what passes, and get the passwords of all owners",
        "hint": "Add sslmode=verify-full and sslrootcert=FILE (or sslrootcert=system) to the DSN.",
    }

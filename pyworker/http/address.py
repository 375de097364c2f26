"""Where HTTP listens, and with which token: everything that can be refused before anything runs."""

import errno
import ipaddress
import os
import socket
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pyworker.errors import ConfigError

__all__ = ["BACKLOG", "Address", "listen", "parse_address", "read_token", "url_of"]

_SHORTEST = 16  # characters of a token
_LONGEST = 4096  # bytes of its file
BACKLOG = 64  #: connections that are accepted in one turn at most, so that none takes long


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where to listen, and who may ask."""

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()  # under which it is reached, beside IP addresses and localhost

    @property
    def is_local(self) -> bool:
        """Tell whether this machine alone can reach it."""
        return _is_local(self.host)


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def url_of(host: str, port: int) -> str:
    """Render the address as people type it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def parse_address(
    text: str, token_file: Path | None, names: tuple[str, ...] = (), source: str = "--http"
) -> Address:
    """Read HOST:PORT, and the token where there is one; an address that others can reach needs
    it.
    """
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or port is None or parts.path or parts.query or parts.username is not None:
        raise ConfigError(
            f'"{text}" is no address to listen at (from {source})',
            detail="Expected is HOST:PORT, such as 127.0.0.1:8470 or [::1]:8470.",
            hint=f"Correct {source}.",
        )
    token = read_token(token_file) if token_file else None
    if token is None and not _is_local(host):
        raise ConfigError(
            f'"{host}" can be reached from other machines, and there is no token (from {source})',
            detail="Without a token only a loopback address is served: 127.0.0.1, ::1, localhost.",
            hint="Name a file that holds one with --http-token-file, or listen at 127.0.0.1.",
        )
    return Address(host=host, port=port, token=token, names=tuple(map(str.lower, names)))


def read_token(path: Path) -> str:
    """Read the token; a file that others can read, or could have written, is refused."""
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            content = file.read(_LONGEST + 1) if stat.S_ISREG(facts.st_mode) else b""
    except OSError as error:
        raise ConfigError(
            f'cannot read the token file "{path}"',
            detail=f"{error.strerror}.",
            hint="Correct --http-token-file.",
        ) from error
    if facts.st_uid not in (0, os.geteuid()) or facts.st_mode & 0o077:
        raise ConfigError(
            f'others can read the token file "{path}"',
            detail=f"Its mode is {stat.S_IMODE(facts.st_mode):04o}, its owner has uid "
            f"{facts.st_uid}; it must be ours (or root's) alone.",
            hint=f"chmod 600 {path}",
        )
    token = content.decode("ascii", "ignore").strip()
    whole = content.isascii() and token.isprintable() and " " not in token
    if not whole or not _SHORTEST <= len(token) <= _LONGEST:
        raise ConfigError(
            f'there is no token in "{path}"',
            detail=f"Expected is one line of {_SHORTEST} ASCII characters or more, without spaces.",
            hint=f"Make one: (umask 077; openssl rand -hex 32 > {path})",
        )
    return token


def listen(address: Address) -> socket.socket:
    """Take the port, so that one that is in use is told at the start."""
    place = f"port {address.port} of {address.host}"
    try:
        family, _type, _protocol, _name, where = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if address.token is None and not _is_local(str(where[0])):
            raise ConfigError(
                f'"{address.host}" is {where[0]} here, and there is no token',
                hint="Listen at 127.0.0.1 or ::1.",
            )
        return socket.create_server(where[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        used = error.errno == errno.EADDRINUSE
        raise ConfigError(
            f"{place} is in use" if used else f"cannot listen at {place}",
            detail="Another program listens there, perhaps another supervisor of this machine."
            if used
            else f"{error.strerror or error}.",
            hint="Give each supervisor a port of its own, or leave --http out."
            if used
            else "Correct --http.",
        ) from error

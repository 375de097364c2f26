"""Connection strings: read before they are used, and rendered without what is secret in them.

libpq quotes what it cannot read, and that may be a piece of a password. So a string that it cannot
read is refused here, in words of ours, before anything connects with it.
"""

import re
from urllib.parse import quote, unquote

__all__ = ["complaint_about", "has_secret", "mask_dsn", "scrub"]

_HIDDEN = "***"
_SCHEME = re.compile(r"postgres(?:ql)?://")
#: libpq's options whose value is a secret.
_SECRET = {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
_PORT = r"(?:\[[^\]]*\]|[^:,\[\]]*)(?::\d*)?"
_PLACES = re.compile(rf"{_PORT}(?:,{_PORT})*")
_PAIR = re.compile(
    r"(\s*)([^\s=]+)(\s*=\s*)('(?:[^'\\]|\\.)*'|(?!')(?:[^\s\\]|\\.)*)(?=\s|$)", re.DOTALL
)
#: In free text, and in `options`: a word that ends like the name of a secret, and its value.
_NAMED = re.compile(
    r"((?:password|passwd|secret|scram_client_key|scram_server_key)\s*=\s*)"
    r"(?!\s)('(?:[^'\\]|\\.)*'|\"[^\"]*\"|(?:[^\s\\'\"&;,)]|\\.)+)",
    re.IGNORECASE,
)
_IN_TEXT = re.compile(r"postgres(?:ql)?://[^\s'\"<>]+")


def mask_dsn(dsn: str) -> str:
    """Render a DSN for people and logs: the same, without its secrets. What cannot be read is
    hidden as a whole.
    """
    return _mask_uri(dsn) if _SCHEME.match(dsn) else _mask_pairs(dsn)


def has_secret(dsn: str) -> bool:
    """Tell whether a DSN holds a password, or something like it."""
    return mask_dsn(dsn) != dsn


def scrub(text: str) -> str:
    """Hide the secrets of every DSN, and of every `password=...`, in a text that others wrote."""
    if "://" in text:
        text = _IN_TEXT.sub(lambda found: _mask_uri(found.group()), text)
    return _NAMED.sub(rf"\g<1>{_HIDDEN}", text) if "=" in text else text


def _login_end(rest: str) -> int:
    """Find the "@" that ends the login; -1: there is no login.

    libpq ends it at the first one before a "/". A password that holds one of the two as it is
    breaks that: the last one that could be meant is taken, because too much hidden does no harm.
    """
    path = rest.partition("?")[0]
    if "@" in path:
        return path.rfind("@")
    place = rest.partition("/")[0]
    if "@" in place or not _PLACES.fullmatch(path.partition("/")[0]):
        return rest.rfind("@")
    return -1


def _mask_uri(uri: str) -> str:
    scheme, rest = uri[: uri.index("://") + 3], uri[uri.index("://") + 3 :]
    end = _login_end(rest)
    login = ""
    if end >= 0:
        user, colon, _password = rest[:end].partition(":")
        login, rest = f"{user}{colon and f':{_HIDDEN}'}@", rest[end + 1 :]
    place, mark, query = rest.partition("?")
    return (
        scheme + login + place + mark + "&".join(_mask_parameter(one) for one in query.split("&"))
    )


def _mask_parameter(parameter: str) -> str:
    name, sign, value = parameter.partition("=")
    key = unquote(name).strip().lower()
    if key in _SECRET and value:
        return f"{name}{sign}{_HIDDEN}"
    if key == "options" and scrub(unquote(value)) != unquote(value):
        return f"{name}{sign}{quote(scrub(unquote(value)), safe='*')}"
    return parameter


def _mask_pairs(text: str) -> str:
    done: list[str] = []
    place = 0
    while text[place:].strip():
        found = _PAIR.match(text, place)
        if found is None:
            # A value with an unquoted space in it, an open quote: the rest may be a piece of a
            # password.
            return "".join(done) + (" " if done else "") + _HIDDEN
        space, name, sign, value = found.groups()
        if name.lower() in _SECRET and value:
            value = _HIDDEN
        elif name.lower() == "options":
            value = scrub(value)
        done.append(space + name + sign + value)
        place = found.end()
    return "".join(done)


def complaint_about(dsn: str) -> str | None:
    """Say why libpq could not use a DSN, without quoting any of it; None: it could."""
    from psycopg import ProgrammingError  # noqa: PLC0415  the driver takes 0.1 s to load
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        given = conninfo_to_dict(dsn)
    except ProgrammingError as error:
        if not _SCHEME.match(dsn) and str(error).startswith('missing "=" after'):
            return "it is neither a URI (postgresql://...) nor a list of name=value pairs"
        # What it quotes is a piece of the string: from the first quote to the last.
        said = re.sub(r'".*"', '"..."', str(error).strip(), flags=re.DOTALL)
        return f"libpq says: {said}"
    if _SCHEME.match(dsn):
        path = dsn.partition("://")[2].partition("?")[0]
        if path.count("@") > 1 or "@" in path.partition("/")[2]:
            return 'it has an "@" too many: in a password it is written as %40, and "/" as %2F'
    if any("@" in host[1:] for host in str(given.get("host") or "").split(",")):
        return 'its host has an "@" in it: in a password that is written as %40'
    if not re.fullmatch(r"[\d,\s]*", str(given.get("port") or "")):
        return (
            'its port is no number; in a password "/" is written as %2F, "?" as %3F and ":" as %3A'
        )
    return None

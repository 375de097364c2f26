"""`pyworker healthcheck`: ask a supervisor of this machine how it is, for Docker and scripts."""

import json
import sys
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import SplitResult, urlsplit

import click

from pyworker.config import Settings, load_settings
from pyworker.errors import ConfigError, PyworkerError
from pyworker.http.address import parse_address, read_token, url_of
from pyworker.log import clean

__all__ = ["healthcheck"]

_SECONDS = 15.0  # that the answer may take, as the supervisor itself gives up before
_LARGEST = 1_000_000  # bytes of an answer
_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  where all addresses are served  # nosec B104


class NotWell(PyworkerError):
    """the supervisor is not well"""


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option(
    "--url",
    metavar="URL",
    help="What to ask; default: /ready of the address in PYWORKER_HTTP. A path is asked as it is, "
    "/health?strict for example.",
)
def healthcheck(url: str | None) -> None:
    """Ask a supervisor that runs with --http whether it is well.

    Where PYWORKER_HTTP_TOKEN_FILE is set, the token in it is sent along.

    \b
    Exit codes: 0 it is; 1 it is not, or gives no answer; 2 wrong usage or setting.
    """
    settings = load_settings()
    parts = _place(settings, url)
    status, said = _ask(parts, settings)
    if status != 200:
        raise NotWell(
            f"{parts.path} says {status}: {_reason(said)}",
            detail="; ".join(_troubles(said)) or None,
        )
    click.echo("ready" if said.get("ready") else str(said.get("status", "ok")))
    sys.exit(0)


def _place(settings: Settings, url: str | None) -> SplitResult:
    if url is None:
        if settings.http is None:
            raise ConfigError(
                "there is no address to ask",
                hint="Name it with --url, or set PYWORKER_HTTP to that of the supervisor.",
            )
        address = parse_address(settings.http, settings.http_token_file)
        url = url_of(_HERE.get(address.host, address.host), address.port)
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
    except ValueError:
        known = False
    if not known:
        raise ConfigError(f'"{url}" is no URL', detail="Expected is http://HOST:PORT[/PATH].")
    return parts if parts.path.strip("/") else parts._replace(path="/ready")


def _ask(parts: SplitResult, settings: Settings) -> tuple[int, dict[str, Any]]:
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    headers = {}
    if settings.http_token_file is not None:
        headers["Authorization"] = f"Bearer {read_token(settings.http_token_file)}"
    line = kind(parts.hostname or "", parts.port, timeout=_SECONDS)
    try:
        line.request("GET", parts.path + (f"?{parts.query}" if parts.query else ""), None, headers)
        got = line.getresponse()
        said = json.loads(got.read(_LARGEST))
    except (OSError, HTTPException, ValueError) as error:
        raise NotWell(
            f"no answer from {parts.netloc}",
            detail=clean(str(error) or type(error).__name__),
            hint="Does the supervisor run, with --http at this address?",
        ) from error
    finally:
        line.close()
    return got.status, said if isinstance(said, dict) else {}


def _reason(said: dict[str, Any]) -> str:
    return clean(str(said.get("error") or said.get("status") or "no reason"))


def _troubles(said: dict[str, Any]) -> list[str]:
    """List the checks of /health that are not ok."""
    return [
        clean(f"{check.get('check')}: {check.get('detail')}")
        for check in said.get("checks") or ()
        if check.get("status") != "ok"
    ]

"""HTTP served in this process, as the supervisor serves it, from a database that a module
shares.
"""

import io
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.client import HTTPConnection
from typing import Any

import pytest
from support import Database

from pyworker.http.address import Address, listen
from pyworker.http.server import HttpThread
from pyworker.log import open_log
from pyworker.supervisor.life import Life


class Site:
    """One thread that serves, and a client of it."""

    def __init__(self, dsn: str, *, token: str | None = None, names: tuple[str, ...] = ()) -> None:
        self.asked = 0  #: ticks that were asked for
        self.life = Life(self._poke)
        self.log = io.StringIO()
        address = Address(host="127.0.0.1", port=0, token=token, names=names)
        listener = listen(address)
        self.port = int(listener.getsockname()[1])
        self.thread = HttpThread(address, listener, dsn, self.life, open_log(self.log, "json"))
        self.thread.start()

    def _poke(self) -> None:
        self.asked += 1

    def answer(
        self, path: str, *, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, Any, dict[str, str]]:
        """Give status, content and headers."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=30)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        client.request(method, path, body=body, headers=named)
        got = client.getresponse()
        text = got.read().decode()
        client.close()
        kind = got.headers.get_content_type()
        heads = {name.lower(): value for name, value in got.headers.items()}
        return got.status, json.loads(text) if text and kind == "application/json" else text, heads

    def get(self, path: str) -> tuple[int, Any]:
        status, content, _headers = self.answer(path)
        return status, content

    def ticked_before(self, seconds: float) -> None:
        """Let the last tick be so long ago."""
        self.life._ticked_at = time.monotonic() - seconds


Serve = Callable[..., Site]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve databases, until the end of the test."""
    with ExitStack() as stack:

        def begin(dsn: str, **options: Any) -> Site:
            site = Site(dsn, **options)
            stack.callback(site.thread.stop)
            return site

        yield begin


@pytest.fixture
def site(serve: Serve, shared: Database) -> Site:
    """The module's database, as the supervisor's login sees it."""
    return serve(shared.dsn("supervisor"))

"""The thread that serves HTTP. The supervisor starts it, and never waits for it."""

import asyncio
import logging
import socket
import threading
from contextlib import suppress
from time import monotonic

from starlette.types import ASGIApp
from uvicorn import Config

from pyworker.database.connection import reason_of
from pyworker.database.readings import Readings
from pyworker.http.address import BACKLOG, Address, url_of
from pyworker.http.app import build
from pyworker.http.connections import OneRequest, QuietServer
from pyworker.http.guard import Guard
from pyworker.log import EventLog
from pyworker.supervisor.life import Life
from pyworker.supervisor.rate import Throttle

__all__ = ["HttpThread"]

_HEADERS_LIMIT = 16 * 1024  # bytes of a request's head
_SAY_EVERY = 30.0  # seconds between two lines of the log about mistakes of ours
_LAST = 0.5  # seconds that the end of the process waits for it at most


class HttpThread:
    """Serves one address until it is stopped; when it fails, the log says so and the supervisor
    goes on.
    """

    def __init__(
        self, address: Address, listener: socket.socket, dsn: str, life: Life, log: EventLog
    ) -> None:
        """Nothing runs yet; the port is taken already."""
        self._listener = listener
        self._log = log
        self._address = address
        self._dsn = dsn
        self._life = life
        self._throttle = Throttle(_SAY_EVERY)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: QuietServer | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    def start(self) -> None:
        """Begin to serve, and say where."""
        host, port = self._listener.getsockname()[:2]
        self._log.emit(
            "http_started",
            url=url_of(host, port),
            access="token" if self._address.token else "open",
        )
        self._thread.start()

    def stop(self) -> None:
        """End it; it is not waited for long."""
        loop, server = self._loop, self._server
        if loop is not None and server is not None:
            with suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(server.end)
        self._thread.join(_LAST)

    def _run(self) -> None:
        # What clients do wrong is their own affair, and what we do wrong goes into the log.
        for name in ("uvicorn.error", "uvicorn.access", "psycopg"):
            logging.getLogger(name).addHandler(logging.NullHandler())
        logging.getLogger("uvicorn.error").propagate = False
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001  it is told, and the supervisor goes on
            self._log.emit("http_failed", reason=f"it serves no more: {reason_of(error)}")
        finally:
            self._listener.close()

    async def _serve(self) -> None:
        readings = Readings(self._dsn)
        app: ASGIApp = Guard(
            build(readings, self._life),
            token=self._address.token,
            names=(*self._address.names, self._address.host),
            failed=self._failed,
        )
        config = Config(
            app,
            http=OneRequest,
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            backlog=BACKLOG,
            proxy_headers=False,
            h11_max_incomplete_event_size=_HEADERS_LIMIT,
        )
        self._server = QuietServer(config)
        self._loop = asyncio.get_running_loop()
        try:
            await self._server.serve([self._listener])
        finally:
            readings.close()

    def _failed(self, error: BaseException) -> None:
        reason = f"{type(error).__name__}: {reason_of(error)}"
        if self._throttle.allow(reason, monotonic()) is not None:
            self._log.emit("http_failed", reason=reason)

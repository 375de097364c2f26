"""Connections of clients: how many, and how long each may last."""

import asyncio
import socket
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from pyworker.http.guard import ANSWER_SECONDS

__all__ = ["OneRequest", "QuietServer"]

_MOST = 100  # connections at once
_LIFE = ANSWER_SECONDS + 3.0  # seconds that one lasts at most, whatever its client does or not


class OneRequest(H11Protocol):
    """A connection for one request, which ends by itself: a client that sends or reads slowly holds
    it for so long and no longer. When all are taken, the oldest without a request goes first.
    """

    _end: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for it, and set its end."""
        if len(self.connections) >= _MOST:
            held = [one for one in self.connections if isinstance(one, OneRequest)]
            waiting = [one for one in held if one.cycle is None] or held
            oldest = min(waiting, key=lambda one: one.ends_at)
            self.connections.discard(oldest)  # at once: many come in one turn of the loop
            oldest.transport.abort()
        super().connection_made(transport)
        self._end = self.loop.call_later(_LIFE, transport.abort)

    @property
    def ends_at(self) -> float:
        """When it is ended, by the loop's clock."""
        return self._end.when() if self._end else 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        """Take its end back."""
        if self._end is not None:
            self._end.cancel()
        super().connection_lost(exc)


class QuietServer(Server):
    """uvicorn's server, without a wake-up ten times a second, and with an end that waits for no
    client.
    """

    def __init__(self, config: Config) -> None:
        """Nothing runs yet."""
        super().__init__(config)
        self._over = asyncio.Event()

    def end(self) -> None:
        """Ask it to end; to be called in its own thread."""
        self._over.set()

    async def main_loop(self) -> None:
        """Wait for the end."""
        await self.on_tick(0)
        await self._over.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close everything at once."""
        for server in self.servers:
            server.close()
        for one in sockets or []:
            one.close()
        connections: list[Any] = list(self.server_state.connections)
        for connection in connections:
            connection.transport.abort()
        await asyncio.sleep(0)  # a turn in which they are closed

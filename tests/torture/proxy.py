"""A proxy between a client and the server, which breaks connections at a chosen byte or request,
and stalls them.

It listens on a TCP port of its own and speaks with the server over its Unix socket,
as whoever runs the driver.
"""

import itertools
import socket
import struct
import threading
from contextlib import suppress

from tests.torture.requests import ByteCut, Direction, RequestCut, Requests, matching

__all__ = ["Proxy"]

_CHUNK = 65536
_PENDING = 64


class _Pair:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.requests = Requests()
        self.mute: RequestCut | None = None  # the answer to this one is thrown away

    def sockets(self, direction: Direction) -> tuple[socket.socket, socket.socket]:
        """Name where bytes come from, and where they go."""
        return (
            (self.client, self.server) if direction == "to_server" else (self.server, self.client)
        )

    def close(self, *, hard: bool = False) -> None:
        for end in (self.client, self.server):
            with suppress(OSError):
                if hard:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                # wakes the thread that reads it
                end.shutdown(socket.SHUT_RD if hard else socket.SHUT_RDWR)
            with suppress(OSError):
                end.close()


class Proxy:
    """The proxy: everything flows, until a cut is armed or a stall is asked for."""

    def __init__(self, target: str) -> None:
        """Listen; `target` is the path of the server's socket."""
        self._target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._armed: list[ByteCut | RequestCut] = []
        self._pairs: list[_Pair] = []
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_PENDING)
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0  #: connections that a cut has broken
        threading.Thread(target=self._accept, daemon=True, name=f"proxy {self.port}").start()

    # What is done to the connections

    def arm(self, cut: ByteCut | RequestCut) -> None:
        """Have one connection broken; `cut.done` is set when that has happened."""
        with self._lock:
            self._armed.append(cut)

    def disarm(self) -> None:
        """Forget the cuts that have not happened."""
        with self._lock:
            self._armed.clear()

    def stall(self) -> None:
        """Let nothing through, in neither direction: no byte, no end, no new connection."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let everything through again, beginning with what was held back."""
        self._flowing.set()

    def half_close(self, direction: Direction) -> int:
        """Tell the receivers of one direction that nothing more comes, while the other goes on;
        returns how many.
        """
        pairs = self.pairs()
        for pair in pairs:
            with suppress(OSError):
                pair.sockets(direction)[1].shutdown(socket.SHUT_WR)
        return len(pairs)

    def cut_all(self, *, hard: bool = False) -> int:
        """Break every connection now; returns how many there were."""
        pairs = self.pairs()
        for pair in pairs:
            self._end(pair, hard=hard)
        return len(pairs)

    def pairs(self) -> list[_Pair]:
        """List the connections."""
        with self._lock:
            return list(self._pairs)

    def close(self) -> None:
        """Break everything, and listen no more."""
        self._closed = True
        self._flowing.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut_all()

    # How the bytes flow

    def _accept(self) -> None:
        for number in itertools.count():
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(
                target=self._serve,
                args=(_Pair(client),),
                daemon=True,
                name=f"proxy {self.port}/{number}",
            ).start()

    def _serve(self, pair: _Pair) -> None:
        self._flowing.wait()
        try:
            pair.server.connect(self._target)
        except OSError:  # the server is down: the client finds out as it would without us
            pair.close()
            return
        with self._lock:
            if not self._closed:
                self._pairs.append(pair)
        if self._closed:
            pair.close()
            return
        threading.Thread(target=self._pump, args=(pair, "to_client"), daemon=True).start()
        self._pump(pair, "to_server")

    def _pump(self, pair: _Pair, direction: Direction) -> None:
        source, sink = pair.sockets(direction)
        try:
            while data := source.recv(_CHUNK):
                self._flowing.wait()
                passed, cut = self._judge(pair, direction, data)
                self._flowing.wait()  # it may have stalled with these bytes
                sink.sendall(data[:passed])
                if cut:
                    self._end(pair, hard=cut.hard)
                    with self._lock:
                        self.cuts += not cut.done.is_set()  # both directions may end with one cut
                        cut.done.set()
                    return
            self._flowing.wait()
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            self._flowing.wait()  # the other end hears of it when something gets through again
            self._end(pair)
            return
        if direction == "to_client":  # the server never ends only one of its two directions
            self._end(pair)

    def _end(self, pair: _Pair, *, hard: bool = False) -> None:
        with self._lock:
            if pair in self._pairs:
                self._pairs.remove(pair)
        pair.close(hard=hard)

    def _judge(
        self, pair: _Pair, direction: Direction, data: bytes
    ) -> tuple[int, ByteCut | RequestCut | None]:
        """Decide how many of these bytes get through, and which cut follows them."""
        requests = pair.requests.feed(data) if direction == "to_server" else []
        with self._lock:
            if direction == "to_client" and pair.mute:
                return 0, pair.mute
            for cut in list(self._armed):
                if isinstance(cut, ByteCut):
                    if cut.direction != direction:
                        continue
                    if cut.after <= len(data):
                        self._armed.remove(cut)
                        return cut.after, cut
                    cut.after -= len(data)
                elif found := matching(cut, requests):
                    self._armed.remove(cut)
                    if cut.moment == "stalled":
                        self._flowing.clear()
                        cut.done.set()
                        return len(data), None
                    if cut.moment == "swallowed":
                        return max(0, found.begin), cut
                    pair.mute = cut
                    return (found.end, cut) if cut.moment == "at_once" else (len(data), None)
        return len(data), None

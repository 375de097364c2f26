"""The torture proxy: what it forwards, and where exactly it breaks a connection."""

import socket
import struct
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.torture.proxy import Proxy
from tests.torture.requests import ByteCut, RequestCut, Requests

STARTUP = struct.pack("!II", 8 + 9, 3 << 16) + b"user\0app\0"
ENCRYPTION = struct.pack("!II", 8, 80877103)


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


QUERY = message(b"Q", b"select 1\0")
COMMIT = message(b"Q", b"COMMIT\0")
EXTENDED = (
    message(b"P", b"\0select 2\0\0\0")
    + message(b"B", b"x" * 300)
    + message(b"E", b"\0\0\0\0\0")
    + message(b"S")
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_requests_are_found_however_the_bytes_are_cut_up(size: int) -> None:
    stream = ENCRYPTION + STARTUP + QUERY + EXTENDED + COMMIT + message(b"X")
    requests, found = Requests(), []
    for at in range(0, len(stream), size):
        ended = requests.feed(stream[at : at + size])
        found += [(at + one.begin, at + one.end, one.text.rstrip(b"\0")) for one in ended]
    begin = len(ENCRYPTION + STARTUP)
    first, second, third = (
        begin + len(QUERY),
        begin + len(QUERY + EXTENDED),
        begin + len(QUERY + EXTENDED + COMMIT),
    )
    assert found == [
        (begin, first, b"select 1"),
        (first, second, b"select 2"),
        (second, third, b"COMMIT"),
    ]


class Echo:
    """A server that sends back what it gets, and keeps it."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory()
        self.path = str(Path(self._directory.name) / "socket")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.path)
        self._listener.listen()
        self.got: list[bytearray] = []
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.got.append(bytearray())
            threading.Thread(target=self._serve, args=(client, self.got[-1]), daemon=True).start()

    def _serve(self, client: socket.socket, got: bytearray) -> None:
        with closing(client):
            with suppress(OSError):
                while data := client.recv(100):
                    got += data
                    with suppress(OSError):  # the client is gone, and what it sent is still there
                        client.sendall(data)
            self.ended.release()

    def close(self) -> None:
        self._listener.close()
        self._directory.cleanup()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with closing(Echo()) as server:
        yield server


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with closing(Proxy(echo.path)) as one:
        yield one


def connect(proxy: Proxy) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", proxy.port))
    client.settimeout(5)
    return client


def read(client: socket.socket, size: int) -> bytes:
    """Read that much, or what comes before the end."""
    got = b""
    try:
        while len(got) < size and (data := client.recv(size - len(got))):
            got += data
    except ConnectionError:
        pass
    return got


def test_everything_flows(proxy: Proxy) -> None:
    with connect(proxy) as client:
        client.sendall(STARTUP + QUERY)
        assert read(client, len(STARTUP + QUERY)) == STARTUP + QUERY
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""


@pytest.mark.parametrize("hard", [False, True])
def test_a_connection_breaks_after_a_byte_to_the_client(proxy: Proxy, *, hard: bool) -> None:
    cut = ByteCut("to_client", len(STARTUP) + 3, hard=hard)
    proxy.arm(cut)
    with connect(proxy) as client, connect(proxy):
        client.sendall(STARTUP)
        assert read(client, len(STARTUP)) == STARTUP
        client.sendall(QUERY)
        assert cut.done.wait(5)
        # A reset may overtake the last bytes.
        assert QUERY[:3].startswith(read(client, 100)) if hard else read(client, 100) == QUERY[:3]
        assert proxy.cuts == 1
    with connect(proxy) as client:
        client.sendall(QUERY)
        assert read(client, len(QUERY)) == QUERY


def test_a_connection_breaks_after_a_byte_to_the_server(proxy: Proxy, echo: Echo) -> None:
    proxy.arm(ByteCut("to_server", len(STARTUP) + 3))
    with connect(proxy) as client:
        client.sendall(STARTUP + QUERY)
        read(client, 1000)
        assert echo.ended.acquire(timeout=5)
    assert bytes(echo.got[0]) == STARTUP + QUERY[:3]


@pytest.mark.parametrize(
    ("moment", "seen"),
    [("swallowed", STARTUP + QUERY), ("at_once", STARTUP + QUERY + COMMIT), ("answered", None)],
)
def test_a_commit_is_lost_on_its_way(
    proxy: Proxy, echo: Echo, moment: str, seen: bytes | None
) -> None:
    cut = RequestCut(moment, text=b"commit")  # type: ignore[arg-type]  # mypy sees a str
    proxy.arm(cut)
    with connect(proxy) as client:
        client.sendall(STARTUP + QUERY)
        assert read(client, len(STARTUP + QUERY)) == STARTUP + QUERY
        client.sendall(COMMIT + message(b"X"))
        assert read(client, 1) == b"", "no answer came"
        assert cut.done.wait(5)
        assert echo.ended.acquire(timeout=5)
    assert bytes(echo.got[0]) == (
        seen if seen is not None else STARTUP + QUERY + COMMIT + message(b"X")
    )


def test_requests_are_counted_until_the_cut(proxy: Proxy, echo: Echo) -> None:
    cut = RequestCut("swallowed", skip=2)
    proxy.arm(cut)
    with connect(proxy) as client:
        client.sendall(STARTUP)
        for one in (QUERY, EXTENDED, QUERY):
            client.sendall(one)
        assert cut.done.wait(5)
        assert echo.ended.acquire(timeout=5)
    assert bytes(echo.got[0]) == STARTUP + QUERY + EXTENDED


def test_a_stall_lets_nothing_through_and_ends_nothing(proxy: Proxy, echo: Echo) -> None:
    with connect(proxy) as client, connect(proxy) as leaver:
        for one in (client, leaver):
            one.sendall(STARTUP)
            assert read(one, len(STARTUP)) == STARTUP
        proxy.stall()
        client.sendall(QUERY)
        leaver.close()
        with connect(proxy) as late:
            late.sendall(STARTUP)
            client.settimeout(0.3)
            with pytest.raises(TimeoutError):
                client.recv(1)
            assert len(echo.got) == 2, "the late one is not through"
            assert not echo.ended.acquire(timeout=0), "the server does not know that one has left"
            proxy.resume()
            client.settimeout(5)
            assert read(client, len(QUERY)) == QUERY
            assert read(late, len(STARTUP)) == STARTUP
            assert echo.ended.acquire(timeout=5)


def test_a_stall_begins_with_a_request(proxy: Proxy) -> None:
    cut = RequestCut("stalled", text=b"commit")
    proxy.arm(cut)
    with connect(proxy) as client:
        client.sendall(STARTUP + QUERY)
        assert read(client, len(STARTUP + QUERY)) == STARTUP + QUERY
        client.sendall(COMMIT)
        assert cut.done.wait(5)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.resume()
        client.settimeout(5)
        assert read(client, len(COMMIT)) == COMMIT


def test_one_direction_ends_and_the_other_goes_on(proxy: Proxy, echo: Echo) -> None:
    with connect(proxy) as client:
        client.sendall(STARTUP)
        assert read(client, len(STARTUP)) == STARTUP
        assert proxy.half_close("to_client") == 1
        assert client.recv(1) == b""
        client.sendall(QUERY)
        client.shutdown(socket.SHUT_WR)
        assert echo.ended.acquire(timeout=5)
    assert bytes(echo.got[0]) == STARTUP + QUERY


def test_a_server_that_is_down_refuses(proxy: Proxy, echo: Echo) -> None:
    echo.close()
    with connect(proxy) as client:
        assert read(client, 1) == b""


def test_all_connections_break_at_once(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as two:
        for client in (one, two):
            client.sendall(STARTUP)
            assert read(client, len(STARTUP)) == STARTUP
        assert proxy.cut_all() == 2
        assert read(one, 1) == read(two, 1) == b""

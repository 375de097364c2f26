"""What clients may do, and what they cannot do to anything else."""

import logging
import socket
from contextlib import ExitStack, suppress

import pytest
from support import Database, wait_until

from pyworker.http import connections, guard

from .conftest import Serve, Site

TOKEN = "0123456789abcdef0123456789abcdef"


def test_every_answer_has_the_headers(site: Site) -> None:
    for path in ("/live", "/nowhere", "/health"):
        headers = site.answer(path)[2]
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "server" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:8470", 200),
        ("localhost:1", 200),
        ("[::1]:8470", 200),
        ("10.1.2.3", 200),
        ("PYWORKER.example:8470", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost.evil.example", 421),
        ("[evil.example]", 421),
        ("[::1", 421),
        ("::1]", 421),
        ("[::1]evil", 421),
        ("a@127.0.0.1", 421),
        ("", 421),
    ],
)
def test_which_host_was_meant(serve: Serve, shared: Database, host: str, status: int) -> None:
    site = serve(shared.dsn("supervisor"), names=("pyworker.example",))
    assert site.answer("/live", Host=host)[0] == status


def test_the_token(serve: Serve, shared: Database) -> None:
    site = serve(shared.dsn("supervisor"), token=TOKEN)
    site.life.ticked()
    assert site.get("/live")[0] == 200
    assert site.get("/ready")[0] == 200
    for given in (
        "",
        "Bearer",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
    ):
        status, said, headers = site.answer("/health", Authorization=given)
        assert (status, "checks" in said) == (401, False), given
        assert headers["www-authenticate"] == "Bearer"
    assert site.get("/nowhere")[0] == 401  # what there is, is told nobody without it
    assert site.answer("/health", Authorization=f"bearer {TOKEN}")[0] == 200
    assert TOKEN not in site.log.getvalue()


def test_nothing_is_written(site: Site) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        status, said, _ = site.answer("/health", method=method)
        assert (status, "can only be read" in said["error"]) == (405, True), method
    status, content, _ = site.answer("/live", method="HEAD")
    assert (status, content) == (200, "")


def test_a_large_body_is_answered_while_it_is_sent(site: Site) -> None:
    status, said, _ = site.answer("/live", method="POST", body=bytes(20_000_000))
    assert (status, said["error"]) == (413, "a request may have 65536 bytes")


@pytest.mark.parametrize("length", ["100000000000000000000000", "-1", "1e3", "65537"])
def test_a_length_that_cannot_be(site: Site, length: str) -> None:
    with socket.create_connection(("127.0.0.1", site.port), 30) as client:
        head = f"GET /live HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n"
        client.sendall(head.encode())
        assert client.recv(100).startswith((b"HTTP/1.1 413", b"HTTP/1.1 400"))


def test_a_body_without_a_length(site: Site) -> None:
    with socket.create_connection(("127.0.0.1", site.port), 30) as client:
        client.sendall(
            b"POST /live HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert client.recv(100).startswith(b"HTTP/1.1 411")


@pytest.mark.parametrize(
    "text",
    [b"\x16\x03\x01\x02\x00\x01", b"GET /live HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n"],
    ids=["TLS", "a large head"],
)
def test_what_is_no_request(site: Site, text: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_connection(("127.0.0.1", site.port), 30) as client:
        client.sendall(text)
        assert client.recv(100).startswith(b"HTTP/1.1 4") or not client.recv(100)
    assert site.get("/live")[0] == 200
    assert "Invalid" not in capfd.readouterr().err  # a client fills no log
    assert "invalid" not in site.log.getvalue().lower()


def test_clients_that_say_nothing_hold_up_no_other(site: Site) -> None:
    """More than there is room for; each of the oldest gives way."""
    with ExitStack() as held:
        for _ in range(3 * connections._MOST):
            client = held.enter_context(socket.create_connection(("127.0.0.1", site.port), 30))
            client.sendall(b"GET /live HT")
        for _ in range(3):
            assert site.get("/live")[0] == 200
        assert len(site.thread._server.server_state.connections) <= connections._MOST


def test_a_slow_client_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "_LIFE", 0.3)
    with socket.create_connection(("127.0.0.1", site.port), 30) as client:
        client.sendall(b"GET /live HTTP/1.1\r\n")
        with suppress(ConnectionResetError):
            assert client.recv(100) == b""


def test_an_answer_that_takes_too_long(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "ANSWER_SECONDS", 0.2)
    monkeypatch.setattr("pyworker.http.app._TICK_PATIENCE", 25)
    site.ticked_before(60)
    status, said, headers = site.answer("/ready")
    assert (status, "no answer within" in said["error"]) == (503, True)
    assert "content-security-policy" in headers


def test_a_mistake_of_ours_is_logged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site.life, "since_tick", lambda: 1 / 0)
    status, said = site.get("/ready")
    assert (status, said["error"]) == (
        500,
        "the supervisor could not answer this; its log says why",
    )
    wait_until(lambda: "ZeroDivisionError" in site.log.getvalue())
    assert logging.getLogger("uvicorn.error").propagate is False


def test_a_thread_that_dies_says_so(
    serve: Serve, shared: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(self: object, sockets: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(connections.QuietServer, "serve", dies)
    site = serve(shared.dsn("supervisor"))
    wait_until(lambda: "it serves no more: planted" in site.log.getvalue())

"""Where HTTP listens, and who may ask: each mistake is told before anything runs."""

import os
import socket
import sys
from pathlib import Path

import pytest

from pyworker.cli.run import _http
from pyworker.config import load_settings
from pyworker.errors import ConfigError
from pyworker.http.address import listen, parse_address, read_token


def token_in(path: Path, text: str = "0123456789abcdef\n", mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8470", "127.0.0.1", 8470),
        ("[::1]:0", "::1", 0),
        ("localhost:80", "localhost", 80),
    ],
)
def test_a_local_address_needs_no_token(text: str, host: str, port: int) -> None:
    address = parse_address(text, None)
    assert (address.host, address.port, address.token, address.is_local) == (host, port, None, True)


@pytest.mark.parametrize(
    "text",
    ["", "8470", ":8470", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "http://a:1", "a@b:1"],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ConfigError, match="is no address to listen at") as caught:
        parse_address(text, None, source="PYWORKER_HTTP")
    assert "PYWORKER_HTTP" in caught.value.message


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "example.org", "localhost.evil"])
def test_an_address_of_others_needs_a_token(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigError, match="can be reached from other machines") as caught:
        parse_address(f"{host}:8470", None)
    assert "--http-token-file" in str(caught.value)
    address = parse_address(f"{host}:8470", token_in(tmp_path / "token"))
    assert (address.token, address.is_local) == ("0123456789abcdef", False)
    assert "0123456789abcdef" not in repr(address)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_token_file_that_others_can_read(tmp_path: Path, mode: int) -> None:
    path = token_in(tmp_path / "token", mode=mode)
    with pytest.raises(ConfigError, match="others can read the token file") as caught:
        parse_address("127.0.0.1:8470", path)
    assert f"chmod 600 {path}" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_token_file_of_another_user(tmp_path: Path) -> None:
    path = token_in(tmp_path / "token")
    os.chown(path, 65534, 65534)
    with pytest.raises(ConfigError, match="others can read"):
        read_token(path)


@pytest.mark.parametrize("text", ["", "short\n", "two words and more\n", "ümlaut-0123456789\n"])
def test_what_is_no_token(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="there is no token in"):
        read_token(token_in(tmp_path / "token", text))


def test_a_token_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the token file"):
        read_token(tmp_path / "absent")
    with pytest.raises(ConfigError, match="cannot read the token file"):
        read_token(tmp_path)


def test_a_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is in use"):
            listen(parse_address(f"127.0.0.1:{port}", None))


def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot listen at"):
        listen(parse_address("192.0.2.1:8470", token_in(tmp_path / "token")))


def test_the_extra_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("pyworker.http.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    settings = load_settings(http="127.0.0.1:0")
    with (
        pytest.raises(ConfigError, match='needs the package "uvicorn"') as caught,
        _http(settings, "", None, None),  # type: ignore[arg-type]
    ):
        pass
    assert "pip install 'pyworker[http]'" in str(caught.value)

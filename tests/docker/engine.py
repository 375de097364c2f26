"""An engine of the test's own: its data, socket and containers in one directory,
which goes with it.

It writes no packet filter rules and makes no bridge of its own, so that it meets no other engine
and leaves nothing in the kernel; images are built in the machine's network, and containers meet on
the bridge that compose makes.
"""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired

import pytest
from support import wait_until

from .tools import PATH, call

_OPTIONS = (
    "--bridge=none",
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
    "--live-restore=false",
)
#: What an engine makes outside its directory, whatever it is told.
_OUTSIDE = (Path("/etc/docker/key.json"), Path("/run/docker"))


class Engine:
    """A running engine."""

    def __init__(self, home: Path, process: "Popen[bytes]") -> None:
        """Speak to the engine whose directory is `home`."""
        self.home, self.process = home, process
        self.environment = {
            "DOCKER_HOST": f"unix://{home}/docker.sock",
            "DOCKER_CONFIG": str(home / "config"),
            "DOCKER_BUILDKIT": "1",
            "COMPOSE_DOCKER_CLI_BUILD": "1",
            "BUILDKIT_PROGRESS": "plain",
        }

    def docker(self, *arguments: str | Path) -> str:
        """Run the client."""
        return call("docker", *arguments, env=self.environment)

    def answers(self) -> bool:
        """Tell whether it takes requests; skips the tests, with the reason, where it cannot start
        at all.
        """
        if self.process.poll() is not None:
            said = (self.home / "log").read_text(errors="replace").strip().splitlines()
            pytest.skip(f"no engine can start here: {said[-1] if said else 'it said nothing'}")
        with suppress(AssertionError):
            return bool(self.docker("version", "--format", "{{.Server.Version}}"))
        return False


def _mounts(home: Path) -> list[str]:
    places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return sorted((place for place in places if place.startswith(f"{home}/")), reverse=True)


def _end(engine: Engine) -> None:
    engine.process.terminate()
    try:
        engine.process.wait(30)
    except TimeoutExpired:
        # the session that we started: the engine and its helpers
        os.killpg(engine.process.pid, signal.SIGKILL)
        engine.process.wait(10)
    for place in _mounts(engine.home):
        call("umount", "--lazy", place)
    shutil.rmtree(engine.home)


def _remains() -> set[str]:
    """List what an engine could leave: network interfaces, and files outside its directory."""
    return {
        *map(str, Path("/sys/class/net").iterdir()),
        *(str(path) for path in _OUTSIDE if path.exists()),
    }


@contextmanager
def started() -> Iterator[Engine]:
    """Start an engine; at the end it is gone, with all that it held."""
    before = _remains()
    home = Path(tempfile.mkdtemp(prefix="pyworker-docker-", dir="/var/tmp"))
    (home / "config").mkdir()
    argv = [
        "dockerd",
        "--data-root",
        home / "data",
        "--exec-root",
        home / "exec",
        "--pidfile",
        home / "pid",
    ]
    with (home / "log").open("wb") as log:
        process = Popen(
            [*map(str, argv), "--host", f"unix://{home}/docker.sock", *_OPTIONS],
            env={**os.environ, "PATH": PATH},
            stdin=DEVNULL,
            stdout=log,
            stderr=STDOUT,
            start_new_session=True,
        )
    engine = Engine(home, process)
    try:
        wait_until(engine.answers, 60, 0.2)
        yield engine
    finally:
        _end(engine)
        for path in _OUTSIDE:
            if str(path) not in before and path.exists():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert not home.exists()
    assert _remains() <= before

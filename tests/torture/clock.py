"""A clock of ours, put before the server's own: it can be set an hour forward or back."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

from pyworker.server import PrivateServer

__all__ = ["Clock"]

_SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """The wall clock of one private server, from its next start on."""

    def __init__(self, server: PrivateServer) -> None:
        """Nothing is made yet."""
        self._server = server
        self._place = server.dir / "clock"
        self._offset = self._place / "offset"

    @staticmethod
    def impossible() -> str | None:
        """Say why it cannot be made on this machine, if so: it needs a compiler,
        and nothing is installed for it.
        """
        if not sys.platform.startswith("linux"):
            return "the clock that is put before the server's own is for Linux"
        if shutil.which("cc") is None:
            return "there is no C compiler (cc) for the clock that is put before the server's own"
        return None

    def make(self) -> None:
        """Compile it, and have the server use it when it starts."""
        self._place.mkdir()
        library = self._place / "clock.so"
        argv = ["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE)]
        subprocess.run(argv, check=True, capture_output=True, text=True)
        self._offset.write_bytes(bytes(8))
        for path, mode in ((self._place, 0o755), (library, 0o755), (self._offset, 0o644)):
            path.chmod(mode)
        self._server.environment_of_server = {
            "LD_PRELOAD": str(library),
            "PYWORKER_CLOCK_OFFSET": str(self._offset),
        }

    def set(self, seconds: float) -> None:
        """Have it so many seconds off from now on."""
        with self._offset.open("r+b") as file:  # in place: the server's processes have it mapped
            file.write(struct.pack("=q", int(seconds * 1_000_000)))
            file.flush()
            os.fsync(file.fileno())

    def remove(self) -> None:
        """Start the server with its own clock, where it has this one."""
        if self._server.environment_of_server:
            self._server.environment_of_server = {}
            self._server.restart("fast")
        shutil.rmtree(self._place, ignore_errors=True)

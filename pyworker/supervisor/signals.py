"""Signals and waiting: one pipe wakes every wait of the main thread, from any thread."""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

__all__ = ["Stopped", "WakeupPipe"]

T = TypeVar("T")
_STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Stopped(Exception):
    """The process was told to stop while it waited for something else than work."""


class WakeupPipe:
    """Counts requests to stop, and waits until something happens."""

    def __init__(self) -> None:
        """Open the pipe; nothing is installed yet."""
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        self.stops = 0
        self.drain = (
            False  # true: the first request to stop waits for jobs, only the second is at once
        )
        self.reason = ""

    def install(self) -> None:
        """Take over the signals that stop a process."""
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _STOPS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.stop(signal.Signals(number).name)

    def stop(self, reason: str) -> None:
        """Ask to stop; a second time means at once."""
        self.stops += 1
        self.reason = self.reason or reason
        self.poke()

    @property
    def at_once(self) -> bool:
        """Tell whether to stop without waiting for anything."""
        return self.stops > (1 if self.drain else 0)

    def poke(self) -> None:
        """End the current wait, or the next one. Any thread may call this."""
        with contextlib.suppress(BlockingIOError):  # full: the wait ends anyway
            os.write(self._writer, b".")

    def wait(self, seconds: float, socket: int | None = None) -> bool:
        """Wait for a poke, a signal, or input at the socket; true: the socket has something."""
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        if socket is not None:
            poller.register(socket, select.POLLIN)
        ready = {number for number, _mask in poller.poll(max(0.0, seconds) * 1000)}
        if self._reader in ready:
            self._drain()
        return socket in ready

    def _drain(self) -> None:
        try:
            while os.read(self._reader, 4096):
                pass
        except BlockingIOError:
            return

    def pause(self, seconds: float) -> None:
        """Wait that long; a stop raises `Stopped`, and so does one that came before."""
        if not self.at_once:
            self.wait(seconds)
        if self.at_once:
            raise Stopped

    def call(self, work: Callable[[], T]) -> T:
        """Do in a thread what cannot be interrupted, and wait for it; a stop raises `Stopped` and
        leaves it behind.
        """
        done: list[T] = []
        failed: list[BaseException] = []

        def run() -> None:
            try:
                done.append(work())
            except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
                failed.append(error)
            self.poke()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        while not done and not failed:
            self.pause(1.0)
        thread.join()
        self._drain()  # its poke, where no wait took it: it would cut the next pause short
        if failed:
            raise failed[0]
        return done[0]

"""What the enqueuers know: one line for each enqueue, on disk before the next one is sent."""

import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Entry", "Journal", "Outcome"]

#: ok: the commit was confirmed; failed: the server refused it; unknown: the connection went away
#: before an answer; rolled_back: we undid it ourselves.
Outcome = Literal["ok", "failed", "unknown", "rolled_back"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One enqueue: of `count` jobs that carry `tag` in their notes; or one cancel,
    of the job in `ids`.
    """

    tag: str
    kind: str
    owner: str
    outcome: Outcome
    count: int = 1
    ids: tuple[int, ...] = ()
    sqlstate: str | None = None
    message: str | None = None  #: of an error; of a cancel what it answered
    #: when this was known, by the clock of this machine, which is the server's, too
    at: float = 0.0


class Journal:
    """The file, and its entries in memory. Any thread may write."""

    def __init__(self, path: Path) -> None:
        """Begin a new file."""
        self._file = path.open("w", encoding="utf-8")
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self._cancels: set[int] = set()

    def write(self, entry: Entry) -> None:
        """Keep an entry; it is on disk when this returns."""
        with self._lock:
            self._entries.append(entry)
            self._line({**asdict(entry), "ids": list(entry.ids)})

    def cancel(self, job: int) -> None:
        """Keep that a cancel of this job is about to be sent."""
        with self._lock:
            self._cancels.add(job)
            self._line({"cancel": job})

    def _line(self, facts: dict[str, object]) -> None:
        self._file.write(json.dumps(facts) + "\n")
        self._file.flush()
        os.fdatasync(self._file.fileno())

    def entries(self) -> Sequence[Entry]:
        """List the entries so far."""
        with self._lock:
            return list(self._entries)

    def cancels(self) -> set[int]:
        """List the jobs whose cancel was asked for."""
        with self._lock:
            return set(self._cancels)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

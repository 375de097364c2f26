"""Clients that commit one after another: pgbench, and loops inside the server."""

import math
import re
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench.database import Database
from pyworker.errors import WorkError

__all__ = ["CLIENTS", "beside_each_other", "pgbench"]

CLIENTS = 2


def pgbench(database: Database, script: str, seconds: float) -> float:
    """Return the transactions per second of pgbench's clients, over that many seconds,
    rounded up.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script + "\n")
        file.flush()
        Path(file.name).chmod(0o644)
        argv = [
            str(database.server.bin("pgbench")), "-n", "-M", "prepared", "-c", str(CLIENTS),
            "-T", str(math.ceil(seconds)), "-f", file.name,
        ]  # fmt: skip
        environment = database.server.environment("app", database.name)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)
    found = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    if (
        done.returncode
        or not found
        or re.search(r"number of failed transactions: [1-9]", done.stdout)
    ):
        raise WorkError("pgbench did not run", detail=(done.stderr or done.stdout).strip()[-500:])
    return float(found[1])


def beside_each_other(
    database: Database, statement: str, arguments: Sequence[Sequence[Any]]
) -> float:
    """Run a statement in as many sessions as there are arguments, at once; return the seconds until
    all have ended.
    """
    ready = threading.Barrier(len(arguments) + 1)

    def run(values: Sequence[Any]) -> None:
        with database.connect() as app:
            ready.wait(60)
            app.execute(statement.encode(), values)

    with ThreadPoolExecutor(len(arguments)) as pool:
        running = [pool.submit(run, values) for values in arguments]
        ready.wait(60)
        begun = time.monotonic()
        for one in running:
            one.result()
        return time.monotonic() - begun

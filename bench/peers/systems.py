"""The systems that are compared: where their programs are, how fast they are set, and how their
database tells that all jobs are done.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyworker import __version__

__all__ = ["BATCH", "PEERS", "SHIPPED", "SYSTEMS", "System", "find"]

BATCH = 10_000  #: jobs to a call, where many are enqueued at once
_HERE = Path(__file__).parent
PEERS = _HERE.parents[1] / ".peers"  #: where `make bench PEERS=1` installs them
_PYTHON = PEERS / "python"
_NODE = PEERS / "node"


@dataclass(frozen=True, kw_only=True)
class System:
    """A job system at one setting."""

    name: str
    title: str
    program: str  #: module of this package, or a file of it that Node.js runs
    settings: str
    finished: str  #: query: whether all jobs are done
    check: str = ""  #: query: how many jobs its history holds
    package: str = ""  #: what is installed for it; ours has none
    last: str = ""  #: query: whether the last job is done, where the program does not say so itself
    starts: str = ""  #: query: enqueue and start of each job, in seconds, for the same case
    runs: bool = True  #: it runs a handler
    keeps_rows: bool = False  #: a job is a row with its state, not a message only
    keeps_history: bool = False
    variant: str = ""

    @property
    def ours(self) -> bool:
        """Tell whether it is pyworker."""
        return not self.package

    @property
    def version(self) -> str | None:
        """Look up which version is installed, None where none is."""
        if self.ours:
            return __version__
        if self._javascript:
            file = _NODE / "node_modules" / self.package / "package.json"
            return str(json.loads(file.read_text("utf-8"))["version"]) if file.exists() else None
        pattern = f"lib/python*/site-packages/{self.package}-*.dist-info"
        found = [path.name.split("-")[1].removesuffix(".dist") for path in _PYTHON.glob(pattern)]
        return found[0] if found else None

    @property
    def _javascript(self) -> bool:
        return self.program.endswith(".mjs")

    def command(self) -> list[str]:
        """Give the program, which takes a command of the protocol."""
        if self.ours:
            return [sys.executable, "-m", f"bench.peers.{self.program}"]
        if not self._javascript:
            return [str(_PYTHON / "bin/python"), "-m", f"bench.peers.{self.program}"]
        # A program in JavaScript finds its packages beside itself, or above.
        for file in _HERE.glob("*.mjs"):
            shutil.copy(file, _NODE)
        return [str(_node()), str(_NODE / self.program)]


def _node() -> Path | None:
    """Find the Node.js that was installed with the peers, else the machine's own."""
    own = sorted(_NODE.glob("node_modules/node-linux-*/bin/node"))
    machine = shutil.which("node")
    return own[0] if own else Path(machine) if machine else None


def _ours(name: str, title: str, settings: str, variant: str = "") -> System:
    return System(
        name=name,
        title=title,
        settings=settings,
        variant=variant,
        program="shipped",
        last="select not exists (select from jobs_internal.job where id ="
        " (select last_value from jobs_internal.job_id_seq))",
        finished="select not exists (select from jobs_internal.job)",
        check="select case when count(*) = count(distinct id) then count(*) end from jobs.job"
        " where task = 'peer.noop' and state = 'succeeded' and (args ->> 'i')::bigint >= 0",
        starts="select (args ->> 't')::float8, (result #>> '{}')::float8"
        " from jobs.job where task = 'peer.started' and state = 'succeeded'"
        " and (args ->> 'i')::bigint >= 0",
        keeps_rows=True,
        keeps_history=True,
    )


SHIPPED = _ours(
    "shipped", "pyworker as shipped", "`pyworker run --owner app`, defaults; history kept"
)
SYSTEMS: dict[str, System] = {
    one.name: one
    for one in (
        SHIPPED,
        _ours(
            "start", "pyworker, jobs.start", "a session to each processor, no supervisor", "start"
        ),
        _ours(
            "first", "pyworker, first backlog", "as shipped, an owner without jobs before", "first"
        ),
        _ours(
            "unserved",
            "pyworker, backlog before its supervisor",
            "as shipped, an owner that no supervisor has seen before",
            "unserved",
        ),
        System(
            name="graphile",
            title="graphile-worker",
            package="graphile-worker",
            program="graphile.mjs",
            settings="its performance settings: local queue of 500, 24 jobs at once, completions in"
            " batches; deletes jobs",
            finished="select not exists (select from graphile_worker._private_jobs)",
            keeps_rows=True,
        ),
        System(
            name="pgboss",
            title="pg-boss",
            package="pg-boss",
            program="pgboss.mjs",
            settings="batchSize 1,000, burstWhenBatchFull, localConcurrency 2, LISTEN/NOTIFY;"
            " history kept",
            finished="select not exists (select from pgboss.job where name = 'jobs'"
            " and state in ('created', 'retry', 'active'))",
            check="select count(*) from pgboss.job where name = 'jobs' and state = 'completed'",
            keeps_rows=True,
            keeps_history=True,
        ),
        System(
            name="pgmq",
            title="pgmq client",
            package="pgmq",
            program="pgmq_client",
            settings="read_batch and archive_batch of 100, polls each 10 ms inside the server;"
            " archive kept",
            finished="select not exists (select from pgmq.q_jobs)",
            check="select count(*) from pgmq.a_jobs",
            keeps_history=True,
        ),
        System(
            name="pgqueuer",
            title="PgQueuer",
            package="pgqueuer",
            program="pgqueuer_batch",
            settings="asyncpg, uvloop, batch_size 1,000; log kept",
            finished="select not exists (select from pgqueuer)",
            keeps_rows=True,
            keeps_history=True,
        ),
        System(
            name="floor",
            title="pgmq in PL/pgSQL",
            package="pgmq",
            program="pgmq_plpgsql",
            settings="the floor: 100 messages to a commit; nothing is run or kept",
            finished="select not exists (select from pgmq.q_jobs)",
            runs=False,
        ),
    )
}


def find(names: Sequence[str]) -> tuple[list[System], list[System]]:
    """List the systems that can be measured, pyworker first, and those that are not installed.
    `names`: the peers wanted, none: all.
    """
    wanted = [one for one in SYSTEMS.values() if one.ours or not names or one.name in names]
    return [one for one in wanted if one.version], [one for one in wanted if not one.version]

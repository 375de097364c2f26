"""Processor time and WAL between two moments."""

from dataclasses import dataclass
from time import monotonic

import psycopg

from bench.process import server_cpu_seconds, tree_cpu_seconds
from pyworker.errors import WorkError
from pyworker.server import PrivateServer

__all__ = ["Meter", "Moment", "Wal"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What the clocks say."""

    at: float
    cpu: float  #: seconds of the server, and of a worker's processes
    lsn: str  #: how far the WAL is on disk


@dataclass(frozen=True, kw_only=True)
class Wal:
    """WAL between two moments, kB."""

    records: float
    images: float  #: full pages, which depend on when the last checkpoint was

    def __add__(self, other: "Wal") -> "Wal":
        """Put two parts together."""
        return Wal(records=self.records + other.records, images=self.images + other.images)


class Meter:
    """The clocks of a server."""

    def __init__(self, server: PrivateServer) -> None:
        """Connect to a database that is not measured."""
        postmaster = server.status().pid
        if postmaster is None:
            raise WorkError("the server of the comparison is gone")
        self._postmaster = postmaster
        self._connection = psycopg.connect(server.dsn(dbname="postgres"), autocommit=True)
        self._connection.execute("create extension if not exists pg_walinspect")

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def checkpoint(self) -> None:
        """Write all that is dirty: the next measurement does not pay for the one before."""
        self._connection.execute("checkpoint")

    def moment(self, worker: int = 0) -> Moment:
        """Read the clocks. `worker`: the process whose tree does the work beside the server."""
        at = monotonic()
        row = self._connection.execute("select pg_current_wal_flush_lsn()").fetchone()
        cpu = server_cpu_seconds(self._postmaster) + (tree_cpu_seconds(worker) if worker else 0.0)
        return Moment(at=at, cpu=cpu, lsn=str(row[0] if row else ""))

    def wal(self, begin: Moment, end: Moment) -> Wal:
        """Read the WAL that was written between them, before a checkpoint may remove it."""
        query = (
            "select coalesce(sum(record_size), 0)::float8 / 1000,"
            " coalesce(sum(fpi_size), 0)::float8 / 1000 from pg_get_wal_stats(%s, %s)"
        )
        row = self._connection.execute(query.encode(), (begin.lsn, end.lsn)).fetchone()
        assert row is not None  # noqa: S101  an aggregate returns a row
        return Wal(records=float(row[0]), images=float(row[1]))

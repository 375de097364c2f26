"""PgQueuer over asyncpg and uvloop, a thousand jobs to a batch, as its own benchmark advises."""

import json
import logging
from collections.abc import Sequence
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.queries import Queries

from bench.peers.protocol import DSN, Args, handled, ready, speak

_BATCH = 1_000


async def _driver() -> AsyncpgDriver:
    return AsyncpgDriver(await asyncpg.connect(DSN))


async def _noop(job: Any) -> None:
    handled(json.loads(job.payload))


class Batches:
    """Its queries and its worker."""

    async def setup(self) -> None:
        """Install its tables."""
        await Queries(await _driver()).install()

    async def open(self) -> None:
        """Connect."""
        self.queries = Queries(await _driver())

    async def one(self, args: Args) -> object:
        """Enqueue one job."""
        return await self.queries.enqueue("noop", json.dumps(args).encode())

    async def many(self, args: Sequence[Args]) -> object:
        """Enqueue many."""
        payloads: list[bytes | None] = [json.dumps(one).encode() for one in args]
        return await self.queries.enqueue(["noop"] * len(args), payloads, [0] * len(args))

    async def work(self) -> None:
        """Run its own worker."""
        ready()
        worker = PgQueuer(await _driver())
        worker.entrypoint("noop")(_noop)
        await worker.run(batch_size=_BATCH)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    speak(Batches(), uvloop.run)

"""pgmq by its own Python client: the loop that its documentation shows, with batches and the
archive, which is its history.
"""

import logging
from collections.abc import Sequence

import psycopg
from pgmq import PGMQueue, get_embedded_install_sql
from psycopg.conninfo import conninfo_to_dict

from bench.peers.protocol import DSN, Args, handled, ready, speak

_QUEUE = "jobs"
_BATCH = 100
_LEASE = 30  # seconds


def _client() -> PGMQueue:
    parts = conninfo_to_dict(DSN)
    return PGMQueue(
        host=str(parts["host"]), port=str(parts.get("port", 5432)), database=str(parts["dbname"]),
        username=str(parts["user"]), password=str(parts.get("password", "")),
        init_extension=False, pool_size=1,
    )  # fmt: skip


class Client:
    """The client, and a worker loop around it."""

    async def setup(self) -> None:
        """Install the SQL that the client carries, and make the queue."""
        with psycopg.connect(DSN, autocommit=True) as connection:
            connection.execute(get_embedded_install_sql().encode())
            connection.execute("select pgmq.create(%s)", (_QUEUE,))

    async def open(self) -> None:
        """Connect."""
        self.client = _client()

    async def one(self, args: Args) -> object:
        """Send one message."""
        return self.client.send(_QUEUE, args)

    async def many(self, args: Sequence[Args]) -> object:
        """Send many."""
        return self.client.send_batch(_QUEUE, list(args))

    async def work(self) -> None:
        """Read, handle and archive, a batch at a time; wait inside the server for more."""
        ready()
        client = _client()
        while True:
            messages = client.read_batch(_QUEUE, vt=_LEASE, batch_size=_BATCH)
            if not messages:
                messages = client.read_with_poll(
                    _QUEUE, vt=_LEASE, qty=_BATCH, max_poll_seconds=5, poll_interval_ms=10
                )
            for message in messages or ():
                handled(message.message)
            if messages:
                client.archive_batch(_QUEUE, [message.msg_id for message in messages])


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    speak(Client())

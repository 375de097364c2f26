"""The floor: pgmq called inside the server, one hundred messages to a commit. Nothing is run, and
nothing is kept.
"""

import os
from collections.abc import Sequence

import psycopg
from pgmq import get_embedded_install_sql
from psycopg.types.json import Jsonb

from bench.peers.protocol import DSN, Args, ready, speak

_DRAIN = """
create procedure drain() language plpgsql as $$
declare
  v_messages bigint[];
begin
  loop
    select array_agg(m.msg_id) into v_messages from pgmq.read('jobs', 30, 100) as m;
    exit when v_messages is null;
    perform pgmq.delete('jobs', v_messages);
    commit;
  end loop;
end
$$
"""


class Floor:
    """Plain SQL over one psycopg connection."""

    async def setup(self) -> None:
        """Install pgmq's SQL, make the queue, and the loop that empties it."""
        with psycopg.connect(DSN, autocommit=True) as connection:
            connection.execute(get_embedded_install_sql().encode())
            connection.execute("select pgmq.create('jobs')")
            connection.execute(_DRAIN)

    async def open(self) -> None:
        """Connect."""
        self.connection = psycopg.connect(DSN, autocommit=True)

    async def one(self, args: Args) -> object:
        """Send one message."""
        return self.connection.execute("select pgmq.send('jobs', %s)", (Jsonb(args),))

    async def many(self, args: Sequence[Args]) -> object:
        """Send many."""
        messages = [Jsonb(one) for one in args]
        return self.connection.execute(
            "select count(*) from pgmq.send_batch('jobs', %s)", (messages,)
        )

    async def work(self) -> None:
        """Empty the queue."""
        ready()
        with psycopg.connect(DSN, autocommit=True) as connection:
            connection.execute("call drain()")
        os.write(1, b"done\n")


if __name__ == "__main__":
    speak(Floor())

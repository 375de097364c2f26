"""A worker session by hand: the steps of jobs_internal.work one by one,
on an ordinary connection.
"""

from dataclasses import dataclass, field
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb
from support import Database, Row, wait_until


@dataclass(kw_only=True)
class Worker:
    """A worker session, of app where no other role is given. Each method is one call; transactions
    are the test's own affair.
    """

    database: Database
    role: str = "app"
    line: Connection[Row] = field(init=False)
    number: int = field(init=False)
    lane: int | None = None
    messages: list[int] = field(default_factory=list)
    lease: str | None = None

    def __post_init__(self) -> None:
        """Open the session."""
        self.line = self.database.connect(self.role)
        self.number = self.ask("select jobs_internal.open_session(jobs_internal.schema_version())")

    @property
    def pid(self) -> int:
        """The process."""
        return self.line.info.backend_pid

    def ask(self, query: str, arguments: dict[str, Any] | None = None) -> Any:
        """Give the one value of a query."""
        row = self.line.execute(query.encode(), arguments).fetchone()
        return row[0] if row else None

    def begin(self) -> None:
        """Begin a transaction that stays open."""
        self.line.execute("begin")

    def commit(self) -> None:
        """Commit it."""
        self.line.execute("commit")

    def rollback(self) -> None:
        """Undo it."""
        self.line.execute("rollback")

    def claim(self, limit: int = 10) -> list[int]:
        """Claim messages; gives them."""
        row = self.line.execute(
            "select c.lane_id, c.msg_ids, c.lease::text from jobs_internal.claim(%s, 0, null,"
            " false, %s) as c",
            [self.number, limit],
        ).fetchone()
        assert row is not None
        self.lane, self.messages, self.lease = row[0], row[1] or [], row[2]
        return self.messages

    def open(self, *, short_ms: float = 10.0) -> list[str]:
        """Open a chunk of what was claimed; gives its items as composite values.
        With short_ms -1 none is short.
        """
        rows = self.line.execute(
            "select i::text from unnest(jobs_internal.open_chunk(%s, %s, %s::timestamptz,"
            " %s)) as i",
            [self.lane, self.messages, self.lease, short_ms],
        ).fetchall()
        return [row[0] for row in rows]

    def start(self, item: str) -> str:
        """Begin a job alone; gives the mode: alone, held, gone."""
        return str(
            self.ask(
                "select (jobs_internal.begin_alone(%(me)s, %(lane)s,"
                " %(item)s::jobs_internal.work_item)).mode",
                {"me": self.number, "lane": self.lane, "item": item},
            )
        )

    def start_first(self) -> int:
        """Claim one message, begin its job alone, or as one for a child, commit; gives the job."""
        self.begin()
        assert self.claim(1)
        (item,) = self.open(short_ms=-1)
        assert self.start(item) in ("alone", "child")
        self.commit()
        return int(self.ask("select (%(item)s::jobs_internal.work_item).job_id", {"item": item}))

    def finish(self, job: int, outcome: str = "succeeded", attempt: int = 1) -> None:
        """Write down how a job that ran alone ended."""
        self.ask(
            "select jobs_internal.finish_alone(%(me)s, %(lane)s, %(ending)s)",
            {"me": self.number, "lane": self.lane, "ending": self.ending(job, outcome, attempt)},
        )

    def finish_chunk(self, jobs: list[int], outcome: str = "succeeded") -> bool:
        """Write down how the jobs of a chunk ended; false when one of them is not what it was."""
        endings = [self.ending(job, outcome, 1) for job in jobs]
        return bool(
            self.ask(
                "select jobs_internal.finish_chunk("
                "%(me)s, %(lane)s, %(messages)s, %(endings)s::jobs_internal.attempt_result[])",
                {
                    "me": self.number,
                    "lane": self.lane,
                    "messages": self.messages,
                    "endings": endings,
                },
            )
        )

    def ending(self, job: int, outcome: str, attempt: int) -> str:
        """Make the composite value of an ending."""
        error = None if outcome == "succeeded" else {"sqlstate": "40001", "message": outcome}
        result = {"pause": 5} if outcome == "snoozed" else {}
        told = {"job_id": job, "attempt": attempt, "outcome": outcome, "error": error}
        told["result"] = result
        query = (
            "select jsonb_populate_record(null::jobs_internal.attempt_result,"
            " %(told)s || jsonb_build_object("
            "'started_at', clock_timestamp(), 'finished_at', clock_timestamp()))::text"
        )
        return str(self.ask(query, {"told": Jsonb(told)}))

    def effect(self, n: int) -> None:
        """Do what a job does."""
        self.line.execute("insert into app.ledger (n) values (%s)", [n])

    def show(self, job: int, attempt: int = 1) -> None:
        """Show which job of a chunk runs, as the worker does."""
        self.line.execute(
            "select set_config('application_name', %s, false)",
            [f"pw {job}/{attempt} 1767225600000"],
        )

    def die(self) -> None:
        """End without a word; return when the server knows."""
        pid = self.pid
        self.line.close()
        wait_until(
            lambda: not self.database.admin("select 1 from pg_stat_activity where pid = %s", [pid])
        )

    def leave(self) -> None:
        """Close the session as a worker does."""
        self.ask("select jobs_internal.close_session(%(me)s, null)", {"me": self.number})
        self.line.close()

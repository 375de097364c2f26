"""The kinds of jobs of the load: how each is enqueued, and what may become of it when nothing is
to blame.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from psycopg import Connection

from tests.torture import enqueues
from tests.torture.enqueues import Call

__all__ = ["KINDS", "RESULTS", "Kind"]

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of job.

    once: its effect is there exactly once if it succeeded, and not at all otherwise.
    A kind at top level runs at least once, so it is asked for its effect only when it claims
    success.
    """

    name: str
    send: Callable[[Connection[Row], Call], list[int]]
    weight: int = 0  #: how often it comes in the common load
    count: int = 1  #: jobs that one enqueue makes
    states: frozenset[str] = frozenset({"succeeded"})  #: in which it may end by itself
    #: SQLSTATEs with which its attempts may fail by themselves
    errors: frozenset[str] = frozenset()
    effects: Literal["once", "top_level", "none"] = "once"
    rows: int = 1  #: effects that a success has at least
    cancel: bool = False  #: it is cancelled after a moment
    #: it has a unique key: its enqueue may give the id of a job that is there already
    shared: bool = False
    ordered: bool = False  #: its transaction writes a row of stage.orders as well
    verified: bool = False  #: it has a post-condition: once that is true, it does not run again
    lines: int = 0  #: that each failing attempt writes with jobs.log: its tag and a number
    #: its jobs, in their order, wait for one another: the one at a place, for the one at another,
    #: in a state
    after: tuple[tuple[int, int, str], ...] = ()
    calls_back: bool = False  #: its jobs are a batch
    keyed: bool = False  #: one of the jobs of its owner with its key, its secret, runs at a time
    relation: str | None = None  #: index that a success made, with {tag} in its name
    way: Literal["commit", "rollback"] = field(default="commit")


_LOCKS = frozenset({"40P01", "55P03"})  # two builds on one table may wait for each other
_LOCKED = frozenset({"succeeded", "failed"})

#: What a function returns, of its tag, its other arguments, and its id; compared with the job's
#: result.
RESULTS: dict[str, Callable[[str, Mapping[str, Any], int], Any]] = {
    "stage.effect": lambda tag, _args, number: f"{tag}/{number}",
    "stage.work": lambda _tag, args, _number: args["ms"],
    "stage.stumble": lambda _tag, _args, _number: 2,
    "stage.setting": lambda _tag, args, _number: args["wanted"],
}

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(name="short", send=enqueues.short, weight=45),
        Kind(name="work", send=enqueues.work, weight=4),
        Kind(name="long", send=enqueues.long),
        Kind(name="narrow", send=enqueues.narrow, weight=1, count=6),
        Kind(name="many", send=enqueues.many, weight=3, count=20),
        Kind(name="wave", send=enqueues.wave, count=2000),
        Kind(name="burst", send=enqueues.burst, count=500),
        Kind(name="transaction", send=enqueues.transaction, weight=5, count=2, ordered=True),
        Kind(
            name="phantom",
            send=enqueues.transaction,
            weight=5,
            count=2,
            ordered=True,
            way="rollback",
        ),
        Kind(
            name="chain",
            send=enqueues.chain,
            weight=2,
            count=3,
            after=((1, 0, "succeeded"), (2, 1, "finished")),
        ),
        Kind(
            name="followed",
            send=enqueues.followed,
            weight=2,
            count=3,
            states=frozenset({"succeeded", "failed"}),
            errors=frozenset({"P0001"}),
            after=((1, 0, "succeeded"), (2, 0, "failed")),
        ),
        Kind(name="batch", send=enqueues.batch, weight=1, count=4, calls_back=True),
        Kind(name="keyed", send=enqueues.keyed, weight=1, count=4, keyed=True),
        Kind(name="unique", send=enqueues.unique, weight=5, shared=True),
        Kind(name="scheduled", send=enqueues.scheduled, weight=5),
        Kind(
            name="timed_out",
            send=enqueues.timed_out,
            weight=1,
            states=frozenset({"failed"}),
            errors=frozenset({"PWT01"}),
        ),
        Kind(
            name="cancelled",
            send=enqueues.cancelled,
            weight=3,
            states=frozenset({"cancelled", "succeeded"}),
            cancel=True,
        ),
        Kind(
            name="fails",
            send=enqueues.fails,
            weight=4,
            states=frozenset({"failed"}),
            errors=frozenset({"P0001"}),
        ),
        Kind(
            name="refused",
            send=enqueues.refused,
            weight=3,
            states=frozenset({"failed"}),
            errors=frozenset({"23514"}),
        ),
        Kind(name="stumbles", send=enqueues.stumbles, weight=4, errors=frozenset({"40001"})),
        Kind(name="statement", send=enqueues.statement, weight=6),
        Kind(name="procedure", send=enqueues.procedure, weight=2, effects="top_level", rows=2),
        Kind(name="call", send=enqueues.call, weight=1, effects="top_level", rows=2),
        Kind(
            name="call_checked",
            send=enqueues.call_checked,
            weight=1,
            effects="top_level",
            rows=2,
            verified=True,
        ),
        Kind(name="burn", send=enqueues.burn),
        Kind(name="urgent", send=enqueues.urgent),
        Kind(name="long_call", send=enqueues.long_call, effects="top_level", rows=2),
        Kind(
            name="long_call_checked",
            send=enqueues.long_call_checked,
            effects="top_level",
            rows=2,
            verified=True,
        ),
        Kind(
            name="dies",
            send=enqueues.dies,
            weight=1,
            effects="top_level",
            rows=2,
            states=frozenset({"failed"}),
            errors=frozenset({"PWL01"}),
        ),
        Kind(name="low", send=enqueues.low, count=4),
        Kind(name="high", send=enqueues.high, count=4),
        Kind(name="setting", send=enqueues.setting, weight=2),
        Kind(
            name="tells",
            send=enqueues.tells,
            weight=2,
            states=frozenset({"failed"}),
            errors=frozenset({"P0001"}),
            lines=3,
        ),
        Kind(
            name="vacuum",
            send=enqueues.vacuum,
            weight=1,
            effects="none",
            states=_LOCKED,
            errors=_LOCKS,
        ),
        Kind(name="reindex", send=enqueues.reindex, effects="none", states=_LOCKED, errors=_LOCKS),
        Kind(
            name="index",
            send=enqueues.index,
            weight=1,
            effects="none",
            states=_LOCKED,
            errors=_LOCKS,
            relation="i_{tag}",
        ),
    )
}

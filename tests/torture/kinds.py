"""The kinds of jobs of the load: how each is enqueued, and what may become of it when nothing is to blame."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from psycopg import Connection
from psycopg.types.json import Jsonb

__all__ = ["KINDS", "RESULTS", "Call", "Kind", "call_enqueue", "call_enqueue_sql"]

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One enqueue, ready to be sent."""

    tag: str
    secret: str
    rng: random.Random


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of job.

    once: its effect is there exactly once if it succeeded, and not at all otherwise. A kind at top level runs at least
    once, so it is asked for its effect only when it claims success.
    """

    name: str
    send: Callable[[Connection[Row], Call], list[int]]
    weight: int = 0  #: how often it comes in the common load
    count: int = 1  #: jobs that one enqueue makes
    states: frozenset[str] = frozenset({"succeeded"})  #: in which it may end by itself
    errors: frozenset[str] = frozenset()  #: SQLSTATEs with which its attempts may fail by themselves
    effects: Literal["once", "top_level", "none"] = "once"
    rows: int = 1  #: effects that a success has at least
    cancel: bool = False  #: it is cancelled after a moment
    shared: bool = False  #: it has a unique key: its enqueue may give the id of a job that is there already
    ordered: bool = False  #: its transaction writes a row of stage.orders as well
    verified: bool = False  #: it has a post-condition: once that is true, it does not run again
    lines: int = 0  #: that each failing attempt writes with jobs.log: its tag and a number
    relation: str | None = None  #: index that a success made, with {tag} in its name
    way: Literal["commit", "rollback"] = field(default="commit")


def _send(line: Connection[Row], function: str, given: Mapping[str, Any]) -> list[int]:
    names = ", ".join(f"{name} => %({name})s" for name in given)
    ready = {name: Jsonb(value) if isinstance(value, dict) else value for name, value in given.items()}
    return [int(row[0]) for row in line.execute(f"select {function}({names})".encode(), ready).fetchall()]


def call_enqueue(line: Connection[Row], call: Call, task: str, args: dict[str, Any], **options: Any) -> list[int]:
    """Enqueue a call of a function; its tag goes with its arguments and its note."""
    given = {"task": task, "args": {"tag": call.tag, **args}, "note": {"tag": call.tag}, **options}
    return _send(line, "jobs.enqueue", given)


def call_enqueue_sql(line: Connection[Row], call: Call, statement: str, **options: Any) -> list[int]:
    """Enqueue a statement; its tag goes with its note."""
    return _send(line, "jobs.enqueue_sql", {"statement": statement, "note": {"tag": call.tag}, **options})


def _short(line: Connection[Row], call: Call) -> list[int]:
    priority = call.rng.choice(("high", "normal", "normal", "normal", "low"))
    return call_enqueue(line, call, "stage.effect", {"secret": call.secret}, priority=priority)


def _work(line: Connection[Row], call: Call) -> list[int]:
    args = {"ms": call.rng.randrange(50, 300), "secret": call.secret}
    return call_enqueue(line, call, "stage.work", args, timeout="60 s")


def _long(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.work", {"ms": call.rng.randrange(2500, 4500)})


def _burn(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.burn", {"ms": call.rng.randrange(1500, 2500)}, priority="high")


def _urgent(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.work", {"ms": 2000}, priority="high")


def _long_call(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(line, call, f"call stage.slow_commits('{call.tag}', 3000)", priority="high")


def _long_call_checked(line: Connection[Row], call: Call) -> list[int]:
    done_when = f"(select count(*) >= 2 from stage.ledger where tag = '{call.tag}')"
    statement = f"call stage.slow_commits('{call.tag}', 3000)"
    return call_enqueue_sql(line, call, statement, done_when=done_when, priority="high")


def _ordered(line: Connection[Row], call: Call, priority: str) -> list[int]:
    given = {"args": [Jsonb({"tag": call.tag, "ms": 5})] * 4, "note": Jsonb({"tag": call.tag}), "priority": priority}
    names = "args => %(args)s::jsonb[], note => %(note)s, priority => %(priority)s"
    query = f"select jobs.enqueue_many('stage.work', {names}, queue => 'ordered')"
    return [int(row[0]) for row in line.execute(query.encode(), given).fetchall()]


def _low(line: Connection[Row], call: Call) -> list[int]:
    return _ordered(line, call, "low")


def _high(line: Connection[Row], call: Call) -> list[int]:
    return _ordered(line, call, "high")


def _setting(line: Connection[Row], call: Call) -> list[int]:
    wanted = call.rng.choice(("5MB", "6MB", "7MB"))
    return call_enqueue(line, call, "stage.setting", {"wanted": wanted}, settings={"work_mem": wanted})


def _tells(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.tell", {"lines": 3}, max_attempts=2)


def _reindex(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(line, call, f"reindex index concurrently stage.i_rebuilt_{line.info.user}", priority="high")


def _narrow(line: Connection[Row], call: Call) -> list[int]:
    rows = line.execute(
        "select jobs.enqueue_many('stage.work', array_fill(%s::jsonb, array[6]), queue => 'narrow', note => %s)",
        [Jsonb({"tag": call.tag, "ms": 200}), Jsonb({"tag": call.tag})],
    ).fetchall()
    return [int(row[0]) for row in rows]


def _many(line: Connection[Row], call: Call) -> list[int]:
    given = {
        "task": "stage.effect",
        "args": [Jsonb({"tag": call.tag, "secret": call.secret}) for _ in range(20)],
        "note": {"tag": call.tag},
    }
    names = "task => %(task)s, args => %(args)s::jsonb[], note => %(note)s"
    rows = line.execute(
        f"select jobs.enqueue_many({names})".encode(), {**given, "note": Jsonb(given["note"])}
    ).fetchall()
    return [int(row[0]) for row in rows]


def _wave(line: Connection[Row], call: Call, count: int = 2000) -> list[int]:
    rows = line.execute(
        "select jobs.enqueue_many('stage.effect', array_fill(%s::jsonb, array[%s]), note => %s)",
        [Jsonb({"tag": call.tag}), count, Jsonb({"tag": call.tag})],
    ).fetchall()
    return [int(row[0]) for row in rows]


def _burst(line: Connection[Row], call: Call) -> list[int]:
    return _wave(line, call, 500)


def _transaction(line: Connection[Row], call: Call) -> list[int]:
    with line.transaction():
        line.execute("insert into stage.orders (tag) values (%s)", [call.tag])
        ids = call_enqueue(line, call, "stage.effect", {})
        return ids + call_enqueue(line, call, "stage.work", {"ms": 3})


def _unique(line: Connection[Row], call: Call) -> list[int]:
    # Some of them are there for a while, so that others meet them.
    pause = call.rng.choice((0, 1000))
    with line.transaction():
        row = line.execute("select now() + %s * interval '1 ms'", [pause]).fetchone()
        assert row is not None
        key = f"key {call.rng.randrange(5)}"
        return call_enqueue(line, call, "stage.work", {"ms": 10}, unique_key=key, run_at=row[0])


def _scheduled(line: Connection[Row], call: Call) -> list[int]:
    with line.transaction():
        row = line.execute("select now() + %s * interval '1 ms'", [call.rng.randrange(200, 2500)]).fetchone()
        assert row is not None
        return call_enqueue(line, call, "stage.effect", {}, run_at=row[0])


def _timed_out(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.work", {"ms": 60_000}, timeout="300 ms", max_attempts=call.rng.randint(1, 2))


def _cancelled(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.work", {"ms": call.rng.choice((5, 500, 20_000))})


def _fails(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.fail", {}, max_attempts=2)


def _refused(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.fail", {"state": "23514"})


def _stumbles(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.stumble", {})


def _statement(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(line, call, f"insert into stage.ledger (tag) values ('{call.tag}')")


def _procedure(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.two_commits", {"secret": call.secret})


def _call(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(line, call, f"call stage.slow_commits('{call.tag}', {call.rng.randrange(20, 400)})")


def _call_checked(line: Connection[Row], call: Call) -> list[int]:
    done_when = f"(select count(*) >= 2 from stage.ledger where tag = '{call.tag}')"
    return call_enqueue_sql(line, call, f"call stage.slow_commits('{call.tag}', 50)", done_when=done_when)


def _dies(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.dies", {}, max_attempts=2)


def _vacuum(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(line, call, f"vacuum (analyze) stage.dusty_{line.info.user}")


def _index(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(
        line, call, f"create index concurrently i_{call.tag} on stage.indexed_{line.info.user} (id)"
    )


_LOCKS = frozenset({"40P01", "55P03"})  # two builds on one table may wait for each other
_LOCKED = frozenset({"succeeded", "failed"})

#: What a function returns, of its tag, its other arguments, and its id; compared with the job's result.
RESULTS: dict[str, Callable[[str, Mapping[str, Any], int], Any]] = {
    "stage.effect": lambda tag, _args, number: f"{tag}/{number}",
    "stage.work": lambda _tag, args, _number: args["ms"],
    "stage.stumble": lambda _tag, _args, _number: 2,
    "stage.setting": lambda _tag, args, _number: args["wanted"],
}

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(name="short", send=_short, weight=45),
        Kind(name="work", send=_work, weight=4),
        Kind(name="long", send=_long),
        Kind(name="narrow", send=_narrow, weight=1, count=6),
        Kind(name="many", send=_many, weight=3, count=20),
        Kind(name="wave", send=_wave, count=2000),
        Kind(name="burst", send=_burst, count=500),
        Kind(name="transaction", send=_transaction, weight=5, count=2, ordered=True),
        Kind(name="phantom", send=_transaction, weight=5, count=2, ordered=True, way="rollback"),
        Kind(name="unique", send=_unique, weight=5, shared=True),
        Kind(name="scheduled", send=_scheduled, weight=5),
        Kind(
            name="timed_out", send=_timed_out, weight=1, states=frozenset({"failed"}),
            errors=frozenset({"PWT01"}),
        ),
        Kind(name="cancelled", send=_cancelled, weight=3, states=frozenset({"cancelled", "succeeded"}), cancel=True),
        Kind(name="fails", send=_fails, weight=4, states=frozenset({"failed"}), errors=frozenset({"P0001"})),
        Kind(name="refused", send=_refused, weight=3, states=frozenset({"failed"}), errors=frozenset({"23514"})),
        Kind(name="stumbles", send=_stumbles, weight=4, errors=frozenset({"40001"})),
        Kind(name="statement", send=_statement, weight=6),
        Kind(name="procedure", send=_procedure, weight=2, effects="top_level", rows=2),
        Kind(name="call", send=_call, weight=1, effects="top_level", rows=2),
        Kind(name="call_checked", send=_call_checked, weight=1, effects="top_level", rows=2, verified=True),
        Kind(name="burn", send=_burn),
        Kind(name="urgent", send=_urgent),
        Kind(name="long_call", send=_long_call, effects="top_level", rows=2),
        Kind(name="long_call_checked", send=_long_call_checked, effects="top_level", rows=2, verified=True),
        Kind(
            name="dies", send=_dies, weight=1, effects="top_level", rows=2, states=frozenset({"failed"}),
            errors=frozenset({"PWL01"}),
        ),
        Kind(name="low", send=_low, count=4),
        Kind(name="high", send=_high, count=4),
        Kind(name="setting", send=_setting, weight=2),
        Kind(
            name="tells", send=_tells, weight=2, states=frozenset({"failed"}), errors=frozenset({"P0001"}), lines=3,
        ),
        Kind(name="vacuum", send=_vacuum, weight=1, effects="none", states=_LOCKED, errors=_LOCKS),
        Kind(name="reindex", send=_reindex, effects="none", states=_LOCKED, errors=_LOCKS),
        Kind(
            name="index", send=_index, weight=1, effects="none", states=_LOCKED, errors=_LOCKS, relation="i_{tag}",
        ),
    )
}  # fmt: skip

"""The enqueues of the load: one function for each kind of job, named after it.

Each sends what it enqueues over the line that it is given, and returns the ids of the jobs.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Call:
    """One enqueue, ready to be sent."""

    tag: str
    secret: str
    rng: random.Random


def _send(line: Connection[Row], function: str, given: Mapping[str, Any]) -> list[int]:
    names = ", ".join(f"{name} => %({name})s" for name in given)
    ready = {
        name: Jsonb(value) if isinstance(value, dict) else value for name, value in given.items()
    }
    return [
        int(row[0])
        for row in line.execute(f"select {function}({names})".encode(), ready).fetchall()
    ]


def call_enqueue(
    line: Connection[Row], call: Call, task: str, args: dict[str, Any], **options: Any
) -> list[int]:
    """Enqueue a call of a function; its tag goes with its arguments and its note."""
    given = {"task": task, "args": {"tag": call.tag, **args}, "note": {"tag": call.tag}, **options}
    return _send(line, "jobs.enqueue", given)


def call_enqueue_sql(
    line: Connection[Row], call: Call, statement: str, **options: Any
) -> list[int]:
    """Enqueue a statement; its tag goes with its note."""
    return _send(
        line, "jobs.enqueue_sql", {"statement": statement, "note": {"tag": call.tag}, **options}
    )


def short(line: Connection[Row], call: Call) -> list[int]:
    priority = call.rng.choice(("high", "normal", "normal", "normal", "low"))
    return call_enqueue(line, call, "stage.effect", {"secret": call.secret}, priority=priority)


def work(line: Connection[Row], call: Call) -> list[int]:
    args = {"ms": call.rng.randrange(50, 300), "secret": call.secret}
    return call_enqueue(line, call, "stage.work", args, timeout="60 s")


def long(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.work", {"ms": call.rng.randrange(2500, 4500)})


def burn(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(
        line, call, "stage.burn", {"ms": call.rng.randrange(1500, 2500)}, priority="high"
    )


def urgent(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.work", {"ms": 2000}, priority="high")


def long_call(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(
        line, call, f"call stage.slow_commits('{call.tag}', 3000)", priority="high"
    )


def long_call_checked(line: Connection[Row], call: Call) -> list[int]:
    done_when = f"(select count(*) >= 2 from stage.ledger where tag = '{call.tag}')"
    statement = f"call stage.slow_commits('{call.tag}', 3000)"
    return call_enqueue_sql(line, call, statement, done_when=done_when, priority="high")


def ordered(line: Connection[Row], call: Call, priority: str) -> list[int]:
    given = {
        "args": [Jsonb({"tag": call.tag, "ms": 5})] * 4,
        "note": Jsonb({"tag": call.tag}),
        "priority": priority,
    }
    names = "args => %(args)s::jsonb[], note => %(note)s, priority => %(priority)s"
    query = f"select jobs.enqueue_many('stage.work', {names}, queue => 'ordered')"
    return [int(row[0]) for row in line.execute(query.encode(), given).fetchall()]


def low(line: Connection[Row], call: Call) -> list[int]:
    return ordered(line, call, "low")


def high(line: Connection[Row], call: Call) -> list[int]:
    return ordered(line, call, "high")


def setting(line: Connection[Row], call: Call) -> list[int]:
    wanted = call.rng.choice(("5MB", "6MB", "7MB"))
    return call_enqueue(
        line, call, "stage.setting", {"wanted": wanted}, settings={"work_mem": wanted}
    )


def tells(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.tell", {"lines": 3}, max_attempts=2)


def reindex(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(
        line, call, f"reindex index concurrently stage.i_rebuilt_{line.info.user}", priority="high"
    )


def narrow(line: Connection[Row], call: Call) -> list[int]:
    rows = line.execute(
        "select jobs.enqueue_many('stage.work', array_fill(%s::jsonb, array[6]),"
        " queue => 'narrow', note => %s)",
        [Jsonb({"tag": call.tag, "ms": 200}), Jsonb({"tag": call.tag})],
    ).fetchall()
    return [int(row[0]) for row in rows]


def many(line: Connection[Row], call: Call) -> list[int]:
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


def wave(line: Connection[Row], call: Call, count: int = 2000) -> list[int]:
    rows = line.execute(
        "select jobs.enqueue_many('stage.effect', array_fill(%s::jsonb, array[%s]), note => %s)",
        [Jsonb({"tag": call.tag}), count, Jsonb({"tag": call.tag})],
    ).fetchall()
    return [int(row[0]) for row in rows]


def burst(line: Connection[Row], call: Call) -> list[int]:
    return wave(line, call, 500)


def transaction(line: Connection[Row], call: Call) -> list[int]:
    with line.transaction():
        line.execute("insert into stage.orders (tag) values (%s)", [call.tag])
        ids = call_enqueue(line, call, "stage.effect", {})
        return ids + call_enqueue(line, call, "stage.work", {"ms": 3})


def _after(line: Connection[Row], call: Call, parent: int, state: str, ms: int) -> int:
    options = {"after": [parent], "after_state": state}
    (job,) = call_enqueue(line, call, "stage.work", {"ms": ms}, options=options)
    return job


def chain(line: Connection[Row], call: Call) -> list[int]:
    """One that takes a while, one that waits for its success, one that waits for that to end."""
    with line.transaction():
        (first,) = call_enqueue(line, call, "stage.work", {"ms": call.rng.randrange(50, 300)})
        second = _after(line, call, first, "succeeded", 3)
        return [first, second, _after(line, call, second, "finished", 3)]


def followed(line: Connection[Row], call: Call) -> list[int]:
    """One that fails, one that waits for its success, one that waits for its failure."""
    with line.transaction():
        (first,) = call_enqueue(line, call, "stage.fail", {}, max_attempts=2)
        second = _after(line, call, first, "succeeded", 3)
        return [first, second, _after(line, call, first, "failed", 3)]


def batch(line: Connection[Row], call: Call) -> list[int]:
    """Four jobs of a batch, which calls back when all of them have ended."""
    with line.transaction():
        row = line.execute(
            "select jobs.create_batch('torture', on_finish => 'stage.effect', args => %s)",
            [Jsonb({"tag": f"{call.tag} called"})],
        ).fetchone()
        assert row is not None
        ids = [
            job
            for ms in (1, 20, 50, call.rng.randrange(50, 500))
            for job in call_enqueue(
                line, call, "stage.work", {"ms": ms}, options={"batch": int(row[0])}
            )
        ]
        line.execute("select jobs.close_batch(%s)", [row[0]])
        return ids


def keyed(line: Connection[Row], call: Call) -> list[int]:
    """Jobs of which one of a key runs at a time; the key is an argument too, for the checker."""
    key = f"key {call.rng.randrange(3)}"
    args = {"tag": call.tag, "ms": call.rng.randrange(1, 30), "secret": key}
    rows = line.execute(
        "select jobs.enqueue_many('stage.work', array_fill(%s::jsonb, array[4]), note => %s,"
        " options => %s)",
        [Jsonb(args), Jsonb({"tag": call.tag}), Jsonb({"concurrency_key": key})],
    ).fetchall()
    return [int(row[0]) for row in rows]


def unique(line: Connection[Row], call: Call) -> list[int]:
    # Some of them are there for a while, so that others meet them.
    pause = call.rng.choice((0, 1000))
    with line.transaction():
        row = line.execute("select now() + %s * interval '1 ms'", [pause]).fetchone()
        assert row is not None
        key = f"key {call.rng.randrange(5)}"
        return call_enqueue(line, call, "stage.work", {"ms": 10}, unique_key=key, run_at=row[0])


def scheduled(line: Connection[Row], call: Call) -> list[int]:
    with line.transaction():
        row = line.execute(
            "select now() + %s * interval '1 ms'", [call.rng.randrange(200, 2500)]
        ).fetchone()
        assert row is not None
        return call_enqueue(line, call, "stage.effect", {}, run_at=row[0])


def timed_out(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(
        line,
        call,
        "stage.work",
        {"ms": 60_000},
        timeout="300 ms",
        max_attempts=call.rng.randint(1, 2),
    )


def cancelled(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.work", {"ms": call.rng.choice((5, 500, 20_000))})


def fails(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.fail", {}, max_attempts=2)


def refused(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.fail", {"state": "23514"})


def stumbles(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.stumble", {})


def statement(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(line, call, f"insert into stage.ledger (tag) values ('{call.tag}')")


def procedure(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.two_commits", {"secret": call.secret})


def call(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(
        line, call, f"call stage.slow_commits('{call.tag}', {call.rng.randrange(20, 400)})"
    )


def call_checked(line: Connection[Row], call: Call) -> list[int]:
    done_when = f"(select count(*) >= 2 from stage.ledger where tag = '{call.tag}')"
    return call_enqueue_sql(
        line, call, f"call stage.slow_commits('{call.tag}', 50)", done_when=done_when
    )


def dies(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue(line, call, "stage.dies", {}, max_attempts=2)


def vacuum(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(line, call, f"vacuum (analyze) stage.dusty_{line.info.user}")


def index(line: Connection[Row], call: Call) -> list[int]:
    return call_enqueue_sql(
        line, call, f"create index concurrently i_{call.tag} on stage.indexed_{line.info.user} (id)"
    )

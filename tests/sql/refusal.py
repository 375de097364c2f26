"""One way to do something wrong, and short ways to write it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One way to do something wrong."""

    name: str
    query: str
    code: str
    says: tuple[str, ...] = ()  #: parts of message and detail
    role: str = "app"
    prepare: tuple[str, ...] = ()  #: run before, in the same transaction, as that role


def no(
    name: str, code: str, query: str, *says: str, role: str = "app", prepare: tuple[str, ...] = ()
) -> Refusal:
    return Refusal(name=name, code=code, query=query, says=says, role=role, prepare=prepare)


def call(task: str, args: str = "{}", **options: str) -> str:
    more = "".join(f", {name} => {value}" for name, value in options.items())
    quoted = task.replace("'", "''")
    return f"select jobs.enqueue('{quoted}', '{args}'{more})"


def text(size: int) -> str:
    return f"jsonb_build_object('x', repeat('x', {size}))"


LONG = "n" * 64


#: A short value whose text is long.
NUMBERS = "jsonb_build_object('x', (select jsonb_agg(1e131000) from generate_series(1, 1030)))"

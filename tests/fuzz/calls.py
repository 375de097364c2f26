"""A call of a public function with any arguments, and the one property that all of them share."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from psycopg import Connection
from support import Row

from .values import Value, Values

#: How many times the examples of CI; with more than one of them they are chosen at random.
FACTOR = int(os.environ.get("PYWORKER_FUZZ", "1"))

#: What an error says stays readable, however large the value that it is about.
MOST_SAID = 12_000

#: Errors that are not ours, and why. Nothing else is.
EXCEPTIONS: dict[str, str] = {
    "42501": (
        "the role may not execute the function at all: PostgreSQL refuses before it is entered"
    ),
}


@dataclass(frozen=True)
class Fuzzed:
    """A function of schema jobs: the role that calls it here, and what each parameter may
    be given.
    """

    role: str
    parameters: Mapping[str, Values]
    required: tuple[str, ...]
    procedure: bool = False

    def arguments(self, **instead: Values) -> st.SearchStrategy[dict[str, Value]]:
        """Draw arguments: all that are required, some of the others."""
        given = {**self.parameters, **instead}
        return st.fixed_dictionaries(
            {name: given[name] for name in self.required},
            optional={name: values for name, values in given.items() if name not in self.required},
        )


@dataclass(frozen=True)
class Answer:
    """What the call did: a value, or a refusal by us, or one by the server before we were
    called.
    """

    rows: list[Row] = field(default_factory=list)
    refused: str | None = None

    @property
    def accepted(self) -> bool:
        """The call succeeded."""
        return self.refused is None


def fuzz(examples: int) -> settings:
    """Give the settings of a fuzz test: the same examples in every run,
    unless more are asked for.
    """
    return settings(
        max_examples=examples * FACTOR,
        derandomize=FACTOR == 1,
        database=None,
        print_blob=True,
        deadline=None,
        # explaining takes longer than looking
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


def types_of(connection: Connection[Row], function: str) -> dict[str, str]:
    """Give the parameters of a function with their types."""
    rows = connection.execute(
        "select a.name, format_type(a.type, null) from pg_proc as p,"
        " unnest(p.proargnames, p.proargtypes::oid[]) with ordinality as a(name, type, n)"
        " where p.pronamespace = 'jobs'::regnamespace and p.proname = %s and a.n <= p.pronargs"
        " order by a.n",
        [function],
    ).fetchall()
    return dict(rows)


@dataclass
class Caller:
    """Calls one function on one connection, and judges every answer."""

    connect: Callable[[], Connection[Row]]
    function: str
    fuzzed: Fuzzed
    prefix: str = ""  #: run before each call, on its own
    _line: Connection[Row] | None = None
    _types: dict[str, str] = field(default_factory=dict)
    _codes: set[str] = field(default_factory=set)

    def __call__(self, arguments: Mapping[str, Value]) -> Answer:
        """Call it: it succeeds, or refuses with an error of ours that says what,
        why and what to do.
        """
        if self._line is None:
            self._line = self.connect()
            self._types = types_of(self._line, self.function)
            self._codes = {row[0] for row in self._line.execute("select sqlstate from jobs.errors")}
        listed = ", ".join(f"{name} => %s::{self._types[name]}" for name in arguments)
        query = f"{'call' if self.fuzzed.procedure else 'select'} jobs.{self.function}({listed})"
        try:
            cursor = self._line.execute(query.encode(), list(arguments.values()))
            return Answer(rows=cursor.fetchall() if cursor.description else [])
        except psycopg.Error as error:
            self._judge(error, arguments)
            return Answer(refused=error.sqlstate)

    def _judge(self, error: psycopg.Error, arguments: Mapping[str, Value]) -> None:
        assert self._line is not None
        assert not self._line.closed, f"the session died of it: {error}"
        said = error.diag
        if error.sqlstate in self._codes:
            assert said.message_primary, error
            assert said.message_detail, error
            assert said.message_hint, error
            size = len(said.message_primary) + len(said.message_detail) + len(said.message_hint)
            assert size <= MOST_SAID, f"{error.sqlstate} says {size} characters"
            return
        if error.sqlstate in EXCEPTIONS or self._refused_before_us(error, arguments):
            return
        raise AssertionError(
            f"{error.sqlstate} is no error of ours: {str(error)[:2000]} {said.context}"
        ) from error

    def _refused_before_us(self, error: psycopg.Error, arguments: Mapping[str, Value]) -> bool:
        """Whether the server refuses the values themselves: then our function was never entered."""
        assert self._line is not None
        casts = ", ".join(f"%s::{self._types[name]}" for name in arguments)
        try:
            self._line.execute(f"select {casts}".encode(), list(arguments.values()))
        except psycopg.Error as alone:
            return alone.sqlstate == error.sqlstate
        return False


def ids_of(answer: Answer) -> list[int]:
    """Give the jobs that a call enqueued."""
    return [row[0] for row in answer.rows]


def shortened(value: Any, most: int = 300) -> str:
    """Give a value for a message."""
    text = repr(value)
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"

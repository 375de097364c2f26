"""Functions that change between the enqueue and the run of their jobs, while these run."""

import random
from dataclasses import dataclass
from typing import Any

from tests.torture.scenario import Fault, Scenario, Violation, register
from tests.torture.scenarios.hostile import stage
from tests.torture.watched import Ending, Job, Watched
from tests.torture.world import World

__all__ = ["ChangingFunctions"]

_JOBS = 30
_GRACE = 1.0  # seconds: a chunk that began before the change ends after it


def _body(name: str, version: str, *, extra: str = "", kind: str = "function") -> str:
    """Write one version of a function; its effect says which."""
    returns = "" if kind == "procedure" else "returns void "
    head = f"create or replace {kind} hostile.{name}(n integer{extra}) {returns}language plpgsql"
    return f"{head} as $$ begin perform hostile.note_effect('{name} {version}'); end $$"


_DONE = Ending(state="succeeded")
_GONE = Ending(state="failed", code="PW042", attempts=("failed",), says="does not exist any more")
_ANOTHERS = Ending(state="failed", code="PW042", attempts=("failed",), says="has another owner")
_UNFIT = Ending(state="failed", code="PW042", attempts=("failed",))
#: In a chunk that had begun before the change; the server's own words.
_UNKNOWN = Ending(state="failed", code="42883", attempts=("failed",), says="does not exist")
_REFUSED = Ending(state="failed", code="42501", attempts=("failed",))


@dataclass(frozen=True, kw_only=True)
class Change:
    """What happens to a function, in one transaction, and what may then become of its jobs."""

    statements: tuple[str, ...]  #: {name}: the function
    may: tuple[Ending, ...]  #: what may become of a job
    after: tuple[str, ...]  #: versions whose effects may come after it, once what had begun is over
    owner: str = "app"


CHANGES: dict[str, Change] = {
    "replaced": Change(statements=("{v2}",), may=(_DONE,), after=("v2",)),
    "dropped": Change(
        statements=("drop function hostile.{name}(integer)",),
        may=(_DONE, _GONE, _UNKNOWN),
        after=(),
    ),
    "dropped and made anew": Change(
        statements=("drop function hostile.{name}(integer)", "{v2}", "{own}"),
        may=(_DONE,),
        after=("v2",),
    ),
    "dropped and made anew by another": Change(
        statements=(
            "drop function hostile.{name}(integer)",
            "{v2}",
            "alter function hostile.{name}(integer) owner to other",
            "grant execute on function hostile.{name}(integer) to app",
        ),
        may=(_DONE, _ANOTHERS),
        after=(),
    ),
    "renamed": Change(
        statements=("alter function hostile.{name}(integer) rename to {name}_renamed",),
        may=(_DONE,),
        after=("v1",),
    ),
    "moved to another schema": Change(
        statements=("alter function hostile.{name}(integer) set schema stage_of_other",),
        may=(_DONE,),
        after=("v1",),
    ),
    "re-owned": Change(
        statements=(
            "alter function hostile.{name}(integer) owner to other",
            "grant execute on function hostile.{name}(integer) to app",
        ),
        may=(_DONE, _ANOTHERS),
        after=(),
    ),
    "given another parameter": Change(
        statements=("drop function hostile.{name}(integer)", "{two}", "{own_two}"),
        may=(_DONE, _GONE, _UNKNOWN),
        after=(),
    ),
    "turned into a procedure": Change(
        statements=("drop function hostile.{name}(integer)", "{procedure}"),
        may=(_DONE, _GONE, _UNFIT, Ending(state="failed", code="42809", attempts=("failed",))),
        after=("v2",),
    ),
    "forbidden": Change(
        statements=("revoke execute on function hostile.{name}(integer) from public, app",),
        may=(_DONE, _REFUSED, _UNFIT),
        after=(),
        owner="other",
    ),
    # A second function that the same call would fit: PostgreSQL itself refuses to choose.
    "overloaded": Change(
        statements=("{overload}", "{own_overload}"),
        may=(
            _DONE,
            Ending(state="failed", code="42725", attempts=("failed",), says="is not unique"),
        ),
        after=("v1",),
    ),
    "made strict and immutable": Change(
        statements=("alter function hostile.{name}(integer) strict cost 7",),
        may=(_DONE,),
        after=("v1",),
    ),
}


@register
class ChangingFunctions(Scenario):
    """A job calls the function that was enqueued: as it is now, or not at all."""

    name = "changing_functions"
    summary = (
        "functions replaced, dropped, renamed, re-owned, forbidden between the enqueue"
        " and the run of their jobs"
    )
    minimum = 8.0

    def plan(self, rng: random.Random, seconds: float) -> list[Fault]:
        """Every change in random order, so many milliseconds after its jobs were enqueued."""
        faults: list[Fault] = []
        order: list[str] = []
        at = 0.3
        while at < seconds - 1.5:
            order = order or rng.sample(list(CHANGES), len(CHANGES))
            facts = {
                "number": len(faults),
                "pause": round(rng.uniform(0, 0.3), 3),
                "spread": round(rng.uniform(0, 1.2), 3),
            }
            faults.append(Fault(at=round(at, 3), kind=order.pop(), facts=facts))
            at += rng.uniform(0.2, 0.6)
        return faults

    def prepare(self, world: World) -> None:
        """Make a schema to move functions to."""
        self._watched = Watched(self.name)
        self._line = stage(world)
        world.admin().execute(
            "create schema stage_of_other; grant usage on schema stage_of_other to app"
        )
        self._changed: list[tuple[str, Change, Any, Any]] = []

    def inject(self, world: World, fault: Fault) -> None:
        """Enqueue its jobs: some at once, some for later; and change it under them."""
        change = CHANGES[fault.kind]
        name = f"f_{fault.facts['number']}"
        admin = world.admin()
        admin.execute(_body(name, "v1").encode())
        admin.execute(f"alter function hostile.{name}(integer) owner to {change.owner}".encode())
        for place in range(_JOBS):
            now = f"clock_timestamp() + {fault.facts['spread'] * place / _JOBS} * interval '1 s'"
            due = self._line.execute(f"select {now}".encode()).fetchone()
            options = {"run_at": due[0]} if due and place % 2 else {}
            job = Job(
                label=f"{name} {fault.kind}",
                call=f"hostile.{name}",
                args={"n": place},
                options=options,
                may=change.may,
            )
            self._watched.enqueue(self._line, [job])
        self._line.execute("select pg_sleep(%s)", [fault.facts["pause"]])
        texts = {
            "name": name,
            "v2": _body(name, "v2"),
            "own": f"alter function hostile.{name}(integer) owner to app",
            "two": _body(name, "v2", extra=", m integer"),
            "own_two": f"alter function hostile.{name}(integer, integer) owner to app",
            "overload": _body(name, "v2", extra=", m text default 'x'"),
            "own_overload": f"alter function hostile.{name}(integer, text) owner to app",
            "procedure": _body(name, "v2", kind="procedure"),
        }
        clock = "select clock_timestamp()"
        before = admin.execute(clock).fetchone()
        with admin.transaction():
            for statement in change.statements:
                admin.execute(statement.format_map(texts).encode())
        after = admin.execute(clock).fetchone()
        self._changed.append((name, change, before and before[0], after and after[0]))

    def mend(self, world: World) -> None:
        """Leave."""
        self._line.close()

    def check(self, world: World) -> list[Violation]:
        """Nobody ran what was not there yet, or was not there any more."""
        violations = self._watched.check(world.admin())
        for name, change, before, after in self._changed:
            early = "select count(*) from hostile.effect where what = %s and at < %s"
            late = (
                "select count(*), min(at - %s) from hostile.effect where what like %s"
                " and not what = any (%s)"
                " and at > %s + %s * interval '1 s'"
            )
            row = world.admin().execute(early.encode(), [f"{name} v2", before]).fetchone()
            if row and row[0]:
                violations.append(
                    self.violation("functions", f"{row[0]} effects of {name} before its change")
                )
            allowed = [f"{name} {version}" for version in change.after]
            row = (
                world.admin()
                .execute(late.encode(), [after, f"{name} %", allowed, after, _GRACE])
                .fetchone()
            )
            if row and row[0]:
                text = (
                    f"{row[0]} effects of {name} that its change forbids, {row[1]} after it:"
                    f" {change.statements[0]}"
                )
                violations.append(self.violation("functions", text))
        return violations

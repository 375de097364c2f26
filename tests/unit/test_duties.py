"""What the database is told of owners that cannot be reached: each change once,
as it stands then.
"""

from typing import cast

import pytest

from pyworker.database.gateway import Gateway
from pyworker.database.records import Demand, Tick
from pyworker.supervisor.duties.sessions import note_owners
from pyworker.supervisor.launcher import Launched, Trouble
from pyworker.supervisor.state import State
from pyworker.supervisor.stuck_watch import StuckWatch


class Told:
    """Stands for the database, and remembers what it is told."""

    def __init__(self) -> None:
        self.reasons: list[dict[str, str]] = []

    def note_unreached(self, _supervisor: int, reasons: dict[str, str]) -> None:
        self.reasons.append(dict(reasons))


class Rounds:
    """Rounds of one supervisor."""

    def __init__(self) -> None:
        self.told = Told()
        self._state = State(stuck=StuckWatch(30))

    def round(
        self, *results: Launched, due: tuple[str, ...] = ("app", "shop")
    ) -> list[dict[str, str]]:
        """Settle results while jobs of these owners are due; gives all that was told so far."""
        tick = Tick(
            owners=tuple(Demand(owner=owner, session_demand=3, active_sessions=0) for owner in due)
        )
        note_owners(cast("Gateway", self.told), 1, results, tick, self._state)
        return self.told.reasons


def result(owner: str, trouble: Trouble | None, message: str | None = None) -> Launched:
    return Launched(owner=owner, asked=2, trouble=trouble, message=message)


def test_a_reason_is_told_once_and_again_when_it_changes() -> None:
    rounds = Rounds()
    assert rounds.round(result("shop", "unreachable", "no")) == [{"shop": "no"}]
    assert rounds.round(result("shop", "unreachable", "no"), result("app", None)) == [
        {"shop": "no"}
    ]
    assert rounds.round(result("shop", "unreachable", "never")) == [
        {"shop": "no"},
        {"shop": "never"},
    ]


@pytest.mark.parametrize(
    ("trouble", "reached"), [(None, True), ("no_slot", True), ("refused", True), ("lost", False)]
)
def test_it_ends_with_the_first_connection(trouble: Trouble | None, reached: bool) -> None:
    """Whatever the launch comes to, and while more of its jobs are due."""
    rounds = Rounds()
    rounds.round(result("shop", "unreachable", "no"))
    assert rounds.round(result("shop", trouble)) == [{"shop": "no"}, *([{}] if reached else [])]


def test_a_launch_that_the_database_refuses_is_told_too() -> None:
    rounds = Rounds()
    assert rounds.round(result("shop", "refused", "no right")) == [
        {"shop": "launch refused: no right"}
    ]
    assert rounds.round(result("shop", None)) == [{"shop": "launch refused: no right"}, {}]


def test_it_ends_when_nothing_is_due() -> None:
    rounds = Rounds()
    rounds.round(result("shop", "unreachable", "no"), result("app", "unreachable", "no"))
    assert rounds.round(due=("app",))[1:] == [{"app": "no"}]

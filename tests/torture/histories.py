"""Histories by hand, to try the invariants with: a right one, and what makes it wrong."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.torture.history import Attempt, Effect, History, Job, Told
from tests.torture.journal import Entry
from tests.torture.scenario import Scenario
from tests.torture.scenarios.supervisors import Calm

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ON = timedelta(seconds=1)
LATER = NOW + ON * 10
KEY = "key 1"


def job(number: int, kind: str, state: str = "succeeded", **facts: Any) -> Job:
    tag = f"{kind}_{number}"
    given: dict[str, Any] = {
        "id": number, "tag": tag, "queue": "default", "owner": "app", "state": state, "attempt": 1,
        "max_attempts": 3, "run_at": NOW, "started_at": NOW, "finished_at": NOW + ON,
        "timeout": None, "sqlstate": None, "message": None,
    }  # fmt: skip
    if kind == "short":
        given |= {"task": "stage.effect", "args": {"tag": tag}, "result": f"{tag}/{number}"}
    return Job(**{**given, **facts})


def attempt(number: int, at: int = 1, outcome: str | None = "succeeded", **facts: Any) -> Attempt:
    given: dict[str, Any] = {
        "job_id": number, "attempt": at, "outcome": outcome, "started_at": NOW,
        "finished_at": NOW + ON, "sqlstate": None,
    }  # fmt: skip
    return Attempt(**{**given, **facts})


def again(number: int) -> Attempt:
    """The second attempt, after the first."""
    return attempt(number, 2, started_at=NOW + ON * 2, finished_at=NOW + ON * 3)


def entry(number: int, kind: str, outcome: Any = "ok", **facts: Any) -> Entry:
    given: dict[str, Any] = {
        "tag": f"{kind}_{number}",
        "kind": kind,
        "owner": "app",
        "outcome": outcome,
    }
    return Entry(**{**given, "ids": (number,) if outcome == "ok" else (), **facts})


def effect(number: int, kind: str, **facts: Any) -> Effect:
    given = {
        "tag": f"{kind}_{number}",
        "job_id": number,
        "attempt": 1,
        "by_current": "app",
        "by_session": "app",
    }
    return Effect(**{**given, **facts})


def right(scenario: type[Scenario] = Calm) -> History:
    """One job of several kinds, all as they should be."""
    return History(
        scenario=scenario(),
        entries=[
            entry(1, "short"), entry(2, "fails"), entry(3, "call"), entry(4, "index"),
            entry(5, "cancelled"), entry(6, "timed_out"), entry(7, "phantom", "rolled_back"),
            entry(8, "short", "unknown"), entry(9, "short", "unknown"), entry(10, "stumbles"),
            entry(11, "refused"), entry(12, "tells"), entry(13, "unique", at=LATER.timestamp()),
            entry(14, "unique", at=(LATER + ON).timestamp()), entry(15, "call_checked"),
            entry(16, "high"), entry(17, "low"), entry(5, "cancel", message="cancelled"),
            entry(18, "followed", ids=(18, 19, 20), count=3),
            entry(21, "batch", ids=(21, 22, 23, 24), count=4),
            entry(31, "keyed", ids=(31, 32), count=2),
        ],
        cancels=frozenset({5}),
        jobs={
            1: job(1, "short"),
            2: job(2, "fails", "failed", attempt=2, max_attempts=2, sqlstate="P0001"),
            3: job(3, "call"),
            4: job(4, "index"),
            5: job(5, "cancelled", "cancelled"),
            6: job(6, "timed_out", "failed", timeout=ON, max_attempts=1, sqlstate="PWT01"),
            8: job(8, "short"),
            10: job(10, "stumbles", attempt=2, result=2),
            11: job(11, "refused", "failed", sqlstate="23514"),
            12: job(12, "tells", "failed", max_attempts=1, sqlstate="P0001"),
            13: job(13, "unique", unique_key="k", started_at=LATER, finished_at=LATER + ON * 0.5),
            14: job(14, "unique", unique_key="k", started_at=LATER + ON,
                finished_at=LATER + ON * 2),
            15: job(15, "call_checked"),
            16: job(16, "high", queue="ordered", priority="high"),
            17: job(17, "low", queue="ordered", priority="low", started_at=NOW + ON,
                finished_at=NOW + ON * 2),
            18: job(18, "followed", "failed", max_attempts=1, sqlstate="P0001"),
            19: job(19, "followed", "cancelled", tag="followed_18", attempt=0, started_at=None,
                sqlstate="PW105"),
            20: job(20, "followed", tag="followed_18", started_at=NOW + ON * 2,
                finished_at=NOW + ON * 3),
            **{number: job(number, "batch", tag="batch_21") for number in (21, 22, 23, 24)},
            25: job(25, "callback", tag=None, args={"tag": "batch_21 called"},
                started_at=NOW + ON * 2, finished_at=NOW + ON * 3),
            **{number: job(number, "keyed", tag="keyed_31", args={"secret": KEY})
               for number in (31, 32)},
        },
        attempts={
            1: [attempt(1)],
            2: [attempt(2, 1, "failed", sqlstate="P0001"),
                attempt(2, 2, "failed", sqlstate="P0001")],
            3: [attempt(3)],
            4: [attempt(4)],
            5: [attempt(5, 1, "cancelled", sqlstate="PWC01")],
            6: [attempt(6, 1, "timed_out", sqlstate="PWT01", finished_at=NOW + ON * 1.2)],
            8: [attempt(8)],
            10: [attempt(10, 1, "failed", sqlstate="40001"), again(10)],
            11: [attempt(11, 1, "failed", sqlstate="23514")],
            12: [attempt(12, 1, "failed", sqlstate="P0001")],
            13: [attempt(13, started_at=LATER, finished_at=LATER + ON * 0.5)],
            14: [attempt(14, started_at=LATER + ON, finished_at=LATER + ON * 2)],
            15: [attempt(15)],
            16: [attempt(16)],
            17: [attempt(17, started_at=NOW + ON, finished_at=NOW + ON * 2)],
            18: [attempt(18, 1, "failed", sqlstate="P0001")],
            20: [attempt(20, started_at=NOW + ON * 2, finished_at=NOW + ON * 3)],
            **{number: [attempt(number)] for number in (21, 22, 23, 24)},
            25: [attempt(25, started_at=NOW + ON * 2, finished_at=NOW + ON * 3)],
            31: [attempt(31)],
            32: [attempt(32, started_at=NOW + ON, finished_at=NOW + ON * 2)],
        },
        effects=[
            effect(1, "short"), effect(3, "call"), effect(3, "call"), effect(8, "short"),
            effect(10, "stumbles"), effect(13, "unique"), effect(14, "unique"),
            effect(15, "call_checked"), effect(15, "call_checked"), effect(16, "high"),
            effect(17, "low"), effect(20, "followed"),
            *(effect(number, "batch") for number in (21, 22, 23, 24)),
            effect(25, "callback"), effect(31, "keyed"), effect(32, "keyed"),
        ],
        queues={"default": 20, "narrow": 1},
        indexes={"i_index_4": True},
        lines={(12, 1): [f"tells_12 {number}" for number in (1, 2, 3)]},
        told=Told(
            ends=frozenset({
                (2, 1, "failed"), (2, 2, "failed"), (5, 1, "cancelled"), (6, 1, "timed_out"),
                (10, 1, "failed"), (11, 1, "failed"), (12, 1, "failed"), (18, 1, "failed"),
            }),
            last=frozenset({(2, "failed"), (5, "cancelled"), (6, "failed"), (11, "failed"),
                (12, "failed"), (18, "failed"), (19, "cancelled")}),
            succeeded=18,
        ),
        log=(
            "2026-01-01 00:00:00.000 UTC [1] 00000 LOG:  database system is ready to accept"
            " connections\n"
        ),
    )  # fmt: skip


def change(history: History, **facts: Any) -> History:
    return replace(history, **facts)


def with_job(history: History, number: int, **facts: Any) -> History:
    return replace(history, jobs={**history.jobs, number: replace(history.jobs[number], **facts)})


def with_attempts(history: History, number: int, *attempts: Attempt) -> History:
    return replace(history, attempts={**history.attempts, number: list(attempts)})


def told(history: History, **facts: Any) -> History:
    assert history.told is not None
    return replace(history, told=replace(history.told, **facts))


def said(history: History, number: int, **facts: Any) -> History:
    """Change what the journal says of the first entry with this job."""
    found = next(one for one in history.entries if one.ids == (number,))
    return replace(
        history, entries=[replace(one, **facts) if one is found else one for one in history.entries]
    )


def cancel(history: History, number: int, answer: str) -> History:
    given = entry(number, "cancel", message=answer, at=NOW.timestamp())
    return replace(history, entries=[*history.entries, given])


def log(history: History, *lines: str) -> History:
    return replace(
        history,
        log=history.log + "".join(f"2026-01-01 00:00:10.000 UTC {line}\n" for line in lines),
    )

"""Each invariant sees the wrong history that is planted for it, and nothing in a right one."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pyworker.torture.history import Attempt, Effect, History, Job, Residue
from pyworker.torture.invariants import check
from pyworker.torture.journal import Entry
from pyworker.torture.probes import Since
from pyworker.torture.scenario import SCENARIOS, Scenario
from pyworker.torture.scenarios.resources import SlotsExhausted
from pyworker.torture.scenarios.sessions import WorkerKilled
from pyworker.torture.scenarios.supervisors import Calm

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ON = timedelta(seconds=1)


def job(number: int, kind: str, state: str = "succeeded", **facts: Any) -> Job:
    given: dict[str, Any] = {
        "id": number, "tag": f"{kind}_{number}", "queue": "default", "owner": "app", "state": state, "attempt": 1,
        "max_attempts": 3, "run_at": NOW, "started_at": NOW, "finished_at": NOW + ON, "timeout": None,
        "sqlstate": None, "message": None,
    }  # fmt: skip
    return Job(**{**given, **facts})


def attempt(number: int, at: int = 1, outcome: str | None = "succeeded", **facts: Any) -> Attempt:
    given: dict[str, Any] = {
        "job_id": number, "attempt": at, "outcome": outcome, "started_at": NOW, "finished_at": NOW + ON,
        "sqlstate": None,
    }  # fmt: skip
    return Attempt(**{**given, **facts})


def again(number: int) -> Attempt:
    """The second attempt, after the first."""
    return attempt(number, 2, started_at=NOW + ON * 2, finished_at=NOW + ON * 3)


def entry(number: int, kind: str, outcome: Any = "ok", **facts: Any) -> Entry:
    given: dict[str, Any] = {"tag": f"{kind}_{number}", "kind": kind, "owner": "app", "outcome": outcome}
    return Entry(**{**given, "ids": (number,) if outcome == "ok" else (), **facts})


def effect(number: int, kind: str, **facts: Any) -> Effect:
    given = {"tag": f"{kind}_{number}", "job_id": number, "attempt": 1, "by_current": "app", "by_session": "app"}
    return Effect(**{**given, **facts})  # type: ignore[arg-type]


def right(scenario: type[Scenario] = Calm) -> History:
    """One job of several kinds, all as they should be."""
    return History(
        scenario=scenario(),
        entries=[
            entry(1, "short"), entry(2, "fails"), entry(3, "call"), entry(4, "index"), entry(5, "cancelled"),
            entry(6, "timed_out"), entry(7, "phantom", "rolled_back"), entry(8, "short", "unknown"),
            entry(9, "short", "unknown"),
        ],
        cancels=frozenset({5}),
        jobs={
            1: job(1, "short"),
            2: job(2, "fails", "failed", attempt=2, max_attempts=2),
            3: job(3, "call"),
            4: job(4, "index"),
            5: job(5, "cancelled", "cancelled"),
            6: job(6, "timed_out", "failed", timeout=ON, max_attempts=1),
            8: job(8, "short"),
        },
        attempts={
            1: [attempt(1)],
            2: [attempt(2, 1, "failed", sqlstate="P0001"), attempt(2, 2, "failed", sqlstate="P0001")],
            3: [attempt(3)],
            4: [attempt(4)],
            5: [attempt(5, 1, "cancelled", sqlstate="PWC01")],
            6: [attempt(6, 1, "timed_out", sqlstate="PWT01", finished_at=NOW + ON * 1.2)],
            8: [attempt(8)],
        },
        effects=[effect(1, "short"), effect(3, "call"), effect(3, "call"), effect(8, "short")],
        queues={"default": 8, "narrow": 1},
        indexes={"i_index_4": True},
        log="2026-01-01 00:00:00.000 UTC [1] 00000 LOG:  database system is ready to accept connections\n",
    )  # fmt: skip


def change(history: History, **facts: Any) -> History:
    return replace(history, **facts)


def with_job(history: History, number: int, **facts: Any) -> History:
    return replace(history, jobs={**history.jobs, number: replace(history.jobs[number], **facts)})


def with_attempts(history: History, number: int, *attempts: Attempt) -> History:
    return replace(history, attempts={**history.attempts, number: list(attempts)})


def log(history: History, *lines: str) -> History:
    return replace(history, log=history.log + "".join(f"2026-01-01 00:00:10.000 UTC {line}\n" for line in lines))


def test_a_right_history_has_nothing_wrong() -> None:
    assert check(right()) == []


WRONG: dict[str, tuple[str, Callable[[History], History]]] = {
    "a confirmed job is gone": ("I1", lambda h: change(h, jobs={n: j for n, j in h.jobs.items() if n != 1})),
    "a job that never ends": ("I1", lambda h: with_job(h, 1, state="queued")),
    "a job that runs for ever": ("I1", lambda h: with_job(h, 1, state="running")),
    "an unknown one that never ends": ("I1", lambda h: with_job(h, 8, state="scheduled")),
    "half a transaction": ("I1", lambda h: change(h, entries=[*h.entries, entry(8, "short", "unknown", count=2)])),
    "an effect twice": ("I2", lambda h: change(h, effects=[*h.effects, effect(1, "short")])),
    "an effect of a failure": ("I2", lambda h: change(h, effects=[*h.effects, effect(2, "fails")])),
    "an effect of a cancelled job": ("I2", lambda h: change(h, effects=[*h.effects, effect(5, "cancelled")])),
    "a success without an effect": ("I2", lambda h: change(h, effects=h.effects[1:])),
    "two copies of one statement": ("I2", lambda h: change(h, effects=[
        *h.effects, effect(3, "call", pid=1), effect(3, "call", pid=2), effect(3, "call", pid=1)])),
    "a bloated queue": ("I9", lambda h: change(h, sizes={"pgmq.q_pyworker_1": 10**8})),
    "a worker slot was refused": ("I7", lambda h: change(h, supervisor_events={"no_worker_slot": 1})),
    "a phantom ran": ("I3", lambda h: change(h, effects=[*h.effects, effect(7, "phantom")])),
    "a phantom is there": ("I3", lambda h: change(h, jobs={**h.jobs, 7: job(7, "phantom")})),
    "an effect of nobody": ("I3", lambda h: change(h, effects=[*h.effects, effect(1, "short", job_id=None)])),
    "a refused one is there": ("I3", lambda h: change(h, entries=[*h.entries, entry(8, "short", "failed")])),
    "half a procedure": ("I4", lambda h: change(h, effects=[h.effects[0], h.effects[1], h.effects[3]])),
    "an index that is not there": ("I4", lambda h: change(h, indexes={})),
    "an index that is not valid": ("I4", lambda h: change(h, indexes={"i_index_4": False})),
    "a session stayed": ("I6", lambda h: change(h, after=Residue(background=1))),
    "a segment stayed": ("I7", lambda h: change(h, after=Residue(segments=1))),
    "an advisory lock stayed": ("I7", lambda h: change(h, after=Residue(advisory_locks=1))),
    "a message stayed": ("I7", lambda h: change(h, after=Residue(messages=1))),
    "a slot is held": ("I7", lambda h: change(h, after=Residue(held_slots=1))),
    "a connection stayed": ("I7", lambda h: change(h, after=Residue(connections=("app launcher",)))),
    "an invalid index stayed": ("I8", lambda h: change(h, indexes={**h.indexes, "i_other": False})),
    "a copy of a rebuild stayed": ("I8", lambda h: change(h, indexes={**h.indexes, "i_x_ccnew1": True})),
    "an attempt is missing": ("I10", lambda h: with_attempts(h, 1, attempt(1, 2))),
    "an attempt too many": ("I10", lambda h: with_job(h, 2, max_attempts=1)),
    "an attempt was not closed": ("I10", lambda h: with_attempts(h, 1, attempt(1, 1, None))),
    "lost, and nobody died": ("I10", lambda h: with_attempts(
        h, 1, attempt(1, 1, "lost", sqlstate="PWL01"), attempt(1, 2))),
    "in doubt, and nobody died": ("I10", lambda h: with_attempts(h, 3, attempt(3, 1, "in_doubt", sqlstate="PWD01"))),
    "it failed with what is not its own": ("I10", lambda h: with_attempts(
        h, 1, attempt(1, 1, "failed", sqlstate="40P01"), attempt(1, 2))),
    "it ran as another": ("I11", lambda h: change(h, effects=[
        effect(1, "short", by_current="postgres"), *h.effects[1:]])),
    "it can become another": ("I11", lambda h: change(h, effects=[
        effect(1, "short", by_session="supervisor"), *h.effects[1:]])),
    "a crash": ("I12", lambda h: log(h, "[9] 00000 LOG:  server process (PID 7) was terminated by signal 11")),
    "an internal error": ("I12", lambda h: log(h, "[9] XX000 app@d ERROR:  cache lookup failed")),
    "a fenced session": ("I12", lambda h: log(h, "[9] PW050 ERROR:  this backend is not that worker session")),
    "a slow stop": ("I12", lambda h: change(h, slow_stops=["it took 11 s"])),
    "a supervisor that fell over": ("I12", lambda h: change(h, supervisor_ends=["supervisor 0 left with 1"])),
    "an enqueue with an internal error": ("I12", lambda h: change(h, entries=[
        *h.entries, entry(10, "short", "failed", sqlstate="XX000")])),
    "a secret in a log": ("I13", lambda h: change(h, canaries={"the server's log": "canary-1"})),
    "two at once where one may": ("I14", lambda h: with_job(with_job(h, 1, queue="narrow"), 8, queue="narrow")),
    "timed out too early": ("I15", lambda h: with_job(h, 6, timeout=ON * 2)),
    "timed out without a timeout": ("I15", lambda h: with_job(h, 6, timeout=None)),
    "an innocent was cancelled": ("I15", lambda h: with_job(h, 8, state="cancelled")),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_history_is_seen(wrong: str) -> None:
    invariant, plant = WRONG[wrong]
    assert invariant in {violation.invariant for violation in check(plant(right()))}


def test_every_invariant_has_a_wrong_history() -> None:
    asked_elsewhere = {"I5"}  # by the probes
    assert {invariant for invariant, _plant in WRONG.values()} == {f"I{n}" for n in range(1, 16)} - asked_elsewhere


def test_a_crash_charges_one_job_and_no_more() -> None:
    lost = attempt(1, 1, "lost", sqlstate="PWL01")
    one = with_attempts(change(right(WorkerKilled), counts={"crash": 1}), 1, lost, again(1))
    assert check(one) == []
    two = with_attempts(one, 8, replace(lost, job_id=8), again(8))
    assert {violation.invariant for violation in check(two)} == {"I10"}


def test_a_refused_slot_is_no_violation_where_others_hold_them() -> None:
    refused = {"no_worker_slot": 1}
    assert check(change(right(), supervisor_events=refused))
    assert check(change(right(SlotsExhausted), supervisor_events=refused)) == []


def test_a_crash_of_ours_is_no_violation_and_another_one_is() -> None:
    line = "[9] 00000 LOG:  background worker (PID 7) was terminated by signal 9: Killed"
    ours = change(log(right(WorkerKilled), line), counts={"crash": 1}, killed=frozenset({7}))
    assert check(ours) == []
    assert check(log(ours, "[9] 00000 LOG:  server process (PID 8) was terminated by signal 6: Aborted"))


def test_many_complaints_of_one_sort_are_one_violation() -> None:
    wrong = change(right(), effects=[*right().effects, *[effect(1, "short", job_id=None)] * 50])
    (violation,) = [found for found in check(wrong) if found.invariant == "I3"]
    assert "and 46 more" in violation.message


def test_what_is_seen_without_a_break_grows_old() -> None:
    since = Since()
    assert since.look({"a"}, 1.0) == {"a": 0.0}
    assert since.look({"a", "b"}, 3.0) == {"a": 2.0, "b": 0.0}
    assert since.look({"b"}, 4.0) == {"b": 1.0}
    assert since.look({"a"}, 5.0) == {"a": 0.0}


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_a_scenario_says_what_it_does(name: str) -> None:
    assert SCENARIOS[name].summary
    assert SCENARIOS[name].minimum > 0

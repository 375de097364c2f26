"""Each invariant sees the wrong history that is planted for it, and nothing in a right one."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.torture.endings import lines_are_kept
from tests.torture.histories import (
    LATER,
    NOW,
    ON,
    again,
    attempt,
    cancel,
    change,
    effect,
    entry,
    job,
    log,
    right,
    said,
    told,
    with_attempts,
    with_job,
)
from tests.torture.history import History
from tests.torture.invariants import check
from tests.torture.probes import Since
from tests.torture.residue import Residue
from tests.torture.scenario import SCENARIOS
from tests.torture.scenarios.disk import DiskFullData
from tests.torture.scenarios.network import NetworkCut
from tests.torture.scenarios.resources import SlotsExhausted
from tests.torture.scenarios.sessions import SessionsEnded, WatchersEnded, WorkerKilled
from tests.torture.scenarios.supervisors import ThreeSupervisors


def test_a_right_history_has_nothing_wrong() -> None:
    assert check(right()) == []


WRONG: dict[str, tuple[str, Callable[[History], History]]] = {
    "it ran for a parent that failed": ("I16", lambda h: with_attempts(with_job(h, 19,
        state="succeeded", sqlstate=None, attempt=1), 19, again(19))),
    "it began before its parent had ended": ("I16", lambda h: with_attempts(h, 20,
        attempt(20))),
    "it was not cancelled for its parent": ("I16", lambda h: with_job(h, 19, state="failed",
        sqlstate="PWL01")),
    "it was cancelled, and its parent failed as it wanted": ("I16", lambda h: with_job(h, 20,
        state="cancelled", sqlstate="PW105")),
    "a job without a parent is cancelled for one": ("I10", lambda h: with_job(h, 1,
        state="cancelled", sqlstate="PW105")),
    "two of a key at once": ("I16", lambda h: with_attempts(h, 32, attempt(32))),
    "a batch calls back twice": ("I16", lambda h: change(h, jobs={**h.jobs, 26: replace(h.jobs[25],
        id=26)})),
    "a batch does not call back": ("I16", lambda h: with_job(h, 25, args={})),
    "a batch that is not there calls back": ("I16", lambda h: change(h, entries=[*h.entries,
        entry(90, "batch", "unknown", count=4)], jobs={**h.jobs, 91: replace(h.jobs[25], id=91,
        args={"tag": "batch_90 called"})})),
    "a batch calls back too early": ("I16", lambda h: with_job(h, 25, started_at=NOW)),
    "a confirmed job is gone": ("I1", lambda h: change(h, jobs={n: j for n,
        j in h.jobs.items() if n != 1})),
    "a job that never ends": ("I1", lambda h: with_job(h, 1, state="queued")),
    "a job that runs for ever": ("I1", lambda h: with_job(h, 1, state="running")),
    "an unknown one that never ends": ("I1", lambda h: with_job(h, 8, state="scheduled")),
    "half a transaction": ("I1", lambda h: change(h, entries=[*h.entries, entry(8, "short",
        "unknown", count=2)])),
    "an effect twice": ("I2", lambda h: change(h, effects=[*h.effects, effect(1, "short")])),
    "an effect of a failure": ("I2", lambda h: change(h, effects=[*h.effects, effect(2, "fails")])),
    "an effect of a cancelled job": ("I2", lambda h: change(h, effects=[*h.effects, effect(5,
        "cancelled")])),
    "a success without an effect": ("I2", lambda h: change(h, effects=h.effects[1:])),
    "two copies of one statement": ("I2", lambda h: change(h, effects=[
        *h.effects, effect(3, "call", pid=1), effect(3, "call", pid=2), effect(3, "call", pid=1)])),
    "a bloated queue": ("I9", lambda h: change(h, sizes={"pgmq.q_pyworker_1": 10**8})),
    "a worker slot was refused": ("I7", lambda h: change(h,
        supervisor_events={"no_worker_slot": 1})),
    "a phantom ran": ("I3", lambda h: change(h, effects=[*h.effects, effect(7, "phantom")])),
    "a phantom is there": ("I3", lambda h: change(h, jobs={**h.jobs, 7: job(7, "phantom")})),
    "an effect of nobody": ("I3", lambda h: change(h, effects=[*h.effects, effect(1, "short",
        job_id=None)])),
    "a refused one is there": ("I3", lambda h: change(h, entries=[*h.entries, entry(8, "short",
        "failed")])),
    "half a procedure": ("I4", lambda h: change(h, effects=[h.effects[0], h.effects[1],
        h.effects[3]])),
    "an index that is not there": ("I4", lambda h: change(h, indexes={})),
    "an index that is not valid": ("I4", lambda h: change(h, indexes={"i_index_4": False})),
    "a session stayed": ("I6", lambda h: change(h, after=Residue(background=1))),
    "a segment stayed": ("I7", lambda h: change(h, after=Residue(segments=1))),
    "an advisory lock stayed": ("I7", lambda h: change(h, after=Residue(advisory_locks=1))),
    "a message stayed": ("I7", lambda h: change(h, after=Residue(messages=1))),
    "a slot is held": ("I7", lambda h: change(h, after=Residue(held_slots=1))),
    "a connection stayed": ("I7", lambda h: change(h, after=Residue(connections=("app launcher",
        )))),
    "an invalid index stayed": ("I8", lambda h: change(h, indexes={**h.indexes, "i_other": False})),
    "a copy of a rebuild stayed": ("I8", lambda h: change(h, indexes={**h.indexes,
        "i_x_ccnew1": True})),
    "an attempt is missing": ("I10", lambda h: with_attempts(h, 1, attempt(1, 2))),
    "an attempt too many": ("I10", lambda h: with_job(h, 2, max_attempts=1)),
    "an attempt was not closed": ("I10", lambda h: with_attempts(h, 1, attempt(1, 1, None))),
    "lost, and nobody died": ("I10", lambda h: with_attempts(
        h, 1, attempt(1, 1, "lost", sqlstate="PWL01"), attempt(1, 2))),
    "in doubt, and nobody died": ("I10", lambda h: with_attempts(h, 3, attempt(3, 1, "in_doubt",
        sqlstate="PWD01"))),
    "it failed with what is not its own": ("I10", lambda h: with_attempts(
        h, 1, attempt(1, 1, "failed", sqlstate="40P01"), attempt(1, 2))),
    "it ran as another": ("I11", lambda h: change(h, effects=[
        effect(1, "short", by_current="postgres"), *h.effects[1:]])),
    "it can become another": ("I11", lambda h: change(h, effects=[
        effect(1, "short", by_session="supervisor"), *h.effects[1:]])),
    "a crash": ("I12", lambda h: log(h,
        "[9] 00000 LOG:  server process (PID 7) was terminated by signal 11")),
    "an internal error": ("I12", lambda h: log(h, "[9] XX000 app@d ERROR:  cache lookup failed")),
    "a fenced session": ("I12", lambda h: log(h,
        "[9] PW050 ERROR:  this backend is not that worker session")),
    "a slow stop": ("I12", lambda h: change(h, slow_stops=["it took 11 s"])),
    "a supervisor that fell over": ("I12", lambda h: change(h,
        supervisor_ends=["supervisor 0 left with 1"])),
    "an enqueue with an internal error": ("I12", lambda h: change(h, entries=[
        *h.entries, entry(10, "short", "failed", sqlstate="XX000")])),
    "a secret in a log": ("I13", lambda h: change(h, canaries={"the server's log": "canary-1"})),
    "two at once where one may": ("I14", lambda h: with_job(with_job(h, 1, queue="narrow"), 8,
        queue="narrow")),
    "timed out too early": ("I15", lambda h: with_job(h, 6, timeout=ON * 2)),
    "timed out without a timeout": ("I15", lambda h: with_job(h, 6, timeout=None)),
    "timed out long ago": ("I15", lambda h: with_attempts(
        h, 6, attempt(6, 1, "timed_out", sqlstate="PWT01", finished_at=NOW + ON * 5.5))),
    "it succeeded long after its timeout": ("I15", lambda h: with_attempts(
        with_job(h, 1, timeout=ON), 1, attempt(1, finished_at=NOW + ON * 6))),
    "it was cancelled and succeeded": ("I15", lambda h: cancel(h, 1, "cancelled")),
    "it was cancelling and went on": ("I15", lambda h: cancel(
        with_job(h, 1, finished_at=NOW + ON * 12), 1, "cancelling")),
    "one job less than asked for": ("I1", lambda h: said(h, 1, count=2)),
    "an order without its job": ("I1", lambda h: change(h, orders=frozenset({"phantom_7"}))),
    "a job without its order": ("I1", lambda h: change(
        h, entries=[*h.entries, entry(18, "transaction", ids=(18, 19), count=2)],
        jobs={**h.jobs, **{n: job(n, "transaction", tag="transaction_18") for n in (18, 19)}})),
    "one id twice": ("I1", lambda h: said(h, 1, count=2, ids=(1, 1))),
    "one job more than confirmed": ("I1", lambda h: change(h, jobs={**h.jobs, 18: job(18, "short",
        tag="short_1")})),
    "a failure that nobody tells": ("I1", lambda h: told(h, ends=frozenset(), last=frozenset())),
    "a retry that nobody tells": ("I1", lambda h: told(h, ends=frozenset({(2, 2, "failed")}))),
    "an end that nobody tells": ("I1", lambda h: told(h, last=frozenset())),
    "a success that nobody tells": ("I1", lambda h: told(h, succeeded=9)),
    "a success told twice": ("I1", lambda h: told(h, succeeded=11)),
    "a failure told twice": ("I1", lambda h: told(h, twice=1)),
    "it was done and was done again": ("I2", lambda h: change(h, effects=[
        *h.effects, effect(15, "call_checked", pid=2)])),
    "the result of another": ("I4", lambda h: with_job(h, 1, result="short_8/8")),
    "no result": ("I4", lambda h: with_job(h, 1, result=None)),
    "the arguments of another": ("I4", lambda h: with_job(h, 1, args={"tag": "short_8"})),
    "a line is lost": ("I4", lambda h: change(h, lines={(12, 1): ["tells_12 1"]})),
    "all lines are lost": ("I4", lambda h: change(h, lines={})),
    "it stumbled and failed": ("I10", lambda h: with_job(h, 10, state="failed", sqlstate="40001",
        max_attempts=2)),
    "it should have failed": ("I10", lambda h: with_job(h, 2, state="succeeded", sqlstate=None)),
    "another error than its own": ("I10", lambda h: with_job(h, 2, sqlstate="23514")),
    "it is in doubt, and nobody died": ("I10", lambda h: with_job(h, 3, state="in_doubt",
        sqlstate="PWD01")),
    "it failed, and nobody died": ("I10", lambda h: with_job(h, 1, state="failed", sqlstate="PWL01",
        max_attempts=1)),
    "it had an attempt left": ("I10", lambda h: with_job(h, 2, max_attempts=3)),
    "tried again in vain": ("I10", lambda h: with_attempts(h, 11, attempt(11, 1, "failed",
        sqlstate="23514"),
        attempt(11, 2, "failed", sqlstate="23514"))),
    "a duty that fails": ("I12", lambda h: told(h, duty_errors=(("tick", "42883"),))),
    "a duty without a connection": ("I12", lambda h: told(h, duty_errors=(("tick", ""),))),
    "too early": ("I14", lambda h: with_job(h, 1, run_at=NOW + ON)),
    "low before high": ("I14", lambda h: with_job(h, 16, started_at=NOW + ON * 2)),
    "two of a key": ("I14", lambda h: with_job(h, 13, finished_at=LATER + ON * 1.5)),
    "an innocent was cancelled": ("I15", lambda h: with_job(h, 8, state="cancelled")),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_history_is_seen(wrong: str) -> None:
    invariant, plant = WRONG[wrong]
    assert invariant in {violation.invariant for violation in check(plant(right()))}


def test_every_invariant_has_a_wrong_history() -> None:
    asked_elsewhere = {"I5"}  # by the probes
    assert {invariant for invariant, _plant in WRONG.values()} == {
        f"I{n}" for n in range(1, 17)
    } - asked_elsewhere


def test_a_crash_charges_one_job_and_no_more() -> None:
    lost = attempt(1, 1, "lost", sqlstate="PWL01")
    one = with_attempts(
        change(right(WorkerKilled), counts={"crash": 1}, told=None), 1, lost, again(1)
    )
    assert check(one) == []
    two = with_attempts(one, 8, replace(lost, job_id=8), again(8))
    assert {violation.invariant for violation in check(two)} == {"I10"}


def test_what_the_faults_explain_is_no_violation() -> None:
    lost = with_attempts(
        change(right(WorkerKilled), told=None), 3, attempt(3, 1, "in_doubt", sqlstate="PWD01")
    )
    assert check(with_job(lost, 3, state="in_doubt", sqlstate="PWD01")) == []
    three = with_attempts(
        change(right(SessionsEnded), told=None), 8, attempt(8, 1, "cancelled", sqlstate="PWC02")
    )
    three = change(three, effects=[one for one in three.effects if one.job_id != 8])
    assert check(with_job(three, 8, state="failed", sqlstate="PWC02")) == []
    assert (
        check(
            told(
                right(NetworkCut),
                duty_errors=(("tick", "57P01"), ("tick", ""), ("signal", "08006")),
            )
        )
        == []
    )
    assert check(told(right(), twice=1, succeeded=19, interrupted=True)) == []
    lost = with_attempts(
        right(WatchersEnded), 15, attempt(15, 1, "lost", sqlstate="PWL01"), again(15)
    )
    assert check(lost)
    assert check(change(lost, told=None)) == []


def test_a_full_disk_explains_what_it_does() -> None:
    lost = with_attempts(
        change(right(DiskFullData), told=None), 3, attempt(3, 1, "lost", sqlstate="PWL01"), again(3)
    )
    assert check(lost) == []
    assert check(
        with_attempts(
            change(right(), told=None), 3, attempt(3, 1, "lost", sqlstate="PWL01"), again(3)
        )
    )
    full = attempt(12, 1, "failed", sqlstate="53100")
    assert not list(lines_are_kept(with_attempts(change(right(DiskFullData), lines={}), 12, full)))
    assert list(lines_are_kept(with_attempts(change(right(), lines={}), 12, full)))


def test_an_interrupted_attempt_may_have_said_something() -> None:
    twice = {(12, 1): ["tells_12 1", "tells_12 1", "tells_12 2", "tells_12 3"]}
    assert check(change(right(SessionsEnded), lines=twice)) == []
    assert check(change(right(), lines=twice))


def test_a_cancel_may_be_lost_with_the_server() -> None:
    late = with_job(right(WorkerKilled), 1, finished_at=NOW + ON * 12)
    assert check(cancel(late, 1, "cancelling")) == []


def test_a_leftover_that_an_error_speaks_of_is_no_violation() -> None:
    there = change(right(), indexes={**right().indexes, "i_x_ccnew": False})
    assert check(there)
    assert check(with_job(there, 2, detail="It left invalid: index stage.i_x_ccnew.")) == []


def test_a_refused_slot_is_no_violation_where_others_hold_them() -> None:
    refused = {"no_worker_slot": 1}
    assert check(change(right(), supervisor_events=refused))
    assert check(change(right(SlotsExhausted), supervisor_events=refused)) == []
    assert check(change(right(ThreeSupervisors), supervisor_events=refused))
    assert (
        check(told(change(right(ThreeSupervisors), supervisor_events=refused), interrupted=True))
        == []
    )


def test_a_crash_of_ours_is_no_violation_and_another_one_is() -> None:
    line = "[9] 00000 LOG:  background worker (PID 7) was terminated by signal 9: Killed"
    ours = change(log(right(WorkerKilled), line), counts={"crash": 1}, killed=frozenset({7}))
    assert check(ours) == []
    assert check(
        log(ours, "[9] 00000 LOG:  server process (PID 8) was terminated by signal 6: Aborted")
    )


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

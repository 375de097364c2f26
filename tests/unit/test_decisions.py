"""Decisions and memory, without a database, a clock or a log."""

from dataclasses import replace

import pytest

from pyworker.database.records import Demand, JobError, Outcome, Tick
from pyworker.supervisor.decisions import event_for, is_empty, pace_after, sessions_to_launch
from pyworker.supervisor.pending_launches import PendingLaunches
from pyworker.supervisor.rate import Backoff, Throttle, TokenBucket
from pyworker.supervisor.stuck_watch import StuckWatch


def demand(owner: str = "app", session_demand: int = 2, active_sessions: int = 0) -> Demand:
    return Demand(owner=owner, session_demand=session_demand, active_sessions=active_sessions)


#: Sessions work a backlog of short jobs off.
DRAINS = replace(demand("app", 2, 2), working=2, moving=2, in_chunks=2, lanes=1)
LONG = Demand(owner="a", session_demand=1, active_sessions=1, alone=1, occupied=1)


@pytest.mark.parametrize(
    ("session_demand", "active_sessions", "pending", "expected"),
    [(2, 0, 0, 2), (2, 1, 0, 1), (2, 1, 1, 0), (2, 3, 0, 0), (2, 0, 5, 0), (0, 0, 0, 0)],
)
def test_what_is_missing_is_launched(
    session_demand: int, active_sessions: int, pending: int, expected: int
) -> None:
    plan = sessions_to_launch(
        [demand(session_demand=session_demand, active_sessions=active_sessions)],
        pending=lambda _owner: pending,
        served={"app"},
        blocked=(),
    )
    assert plan.get("app", 0) == expected


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ({"flood": (16, 7), "late": (1, 0)}, {"late": 1}),
        ({"flood": (16, 7), "late": (8, 0), "too": (3, 0)}, {"late": 1, "too": 1}),
        ({"flood": (16, 4), "late": (8, 3)}, {"late": 1}),
        ({"flood": (16, 4), "late": (8, 4)}, {"flood": 1, "late": 1}),
        ({"flood": (16, 4), "late": (4, 4)}, {"flood": 12}),
        ({"flood": (16, 16)}, {}),
    ],
)
def test_where_worker_slots_are_scarce_owners_take_turns(
    there: dict[str, tuple[int, int]], expected: dict[str, int]
) -> None:
    """What becomes free is for those that have the fewest sessions."""
    plan = sessions_to_launch(
        [
            demand(owner, session_demand=wanted, active_sessions=active)
            for owner, (wanted, active) in there.items()
        ],
        pending=lambda _owner: 0,
        served=set(there),
        blocked=(),
        scarce=True,
    )
    assert plan == expected


def test_owners_that_are_not_served_or_blocked_get_none() -> None:
    plan = sessions_to_launch(
        [demand("a"), demand("b"), demand("c")],
        pending=lambda _owner: 0,
        served={"a", "b"},
        blocked={"b"},
    )
    assert plan == {"a": 2}


@pytest.mark.parametrize(
    ("tick", "blocked", "seconds", "idle"),
    [
        (Tick(), False, 10.0, True),
        (Tick(next_due_ms=300), False, 0.3, True),
        # due, but not dispatched: it waits for something else
        (Tick(next_due_ms=0), False, 1.0, True),
        (Tick(sessions=1), False, 0.1, False),
        (Tick(sessions=1, running=1), False, 0.05, False),
        (Tick(stopping=1), False, 0.05, False),
        (Tick(sessions=1, running=1, owners=(DRAINS,)), False, 0.25, False),
        (Tick(sessions=1, owners=(DRAINS,)), False, 0.25, False),
        (Tick(sessions=1, running=1, next_deadline_ms=5000, owners=(DRAINS,)), False, 0.25, False),
        (Tick(sessions=1, running=1, next_deadline_ms=900, owners=(DRAINS,)), False, 0.05, False),
        (Tick(sessions=1, running=1, stopping=1, owners=(DRAINS,)), False, 0.05, False),
        (
            Tick(sessions=1, running=1, owners=(DRAINS, replace(DRAINS, new_lanes=1))),
            False,
            0.05,
            False,
        ),
        (Tick(sessions=1, running=1, next_due_ms=100, owners=(DRAINS,)), False, 0.1, False),
        (
            Tick(sessions=1, running=1, owners=(DRAINS, replace(DRAINS, alone=1))),
            False,
            0.05,
            False,
        ),
        (
            Tick(sessions=1, running=1, owners=(DRAINS, replace(DRAINS, alone=1, occupied=1))),
            False,
            0.25,
            False,
        ),
        (Tick(sessions=1, running=1, dispatched=5000, owners=(DRAINS,)), False, 0.05, False),
        (Tick(sessions=1, running=1, dispatched=7, owners=(DRAINS,)), False, 0.25, False),
        (Tick(sessions=1, running=1, owners=(LONG,)), False, 0.4, True),
        (Tick(sessions=1, running=1, watched=1, owners=(LONG,)), False, 3.0, True),
        (Tick(sessions=1, running=1, watched=1, queued=1, owners=(LONG,)), False, 0.4, True),
        (Tick(sessions=1, running=1, watched=1, must_poll=True, owners=(LONG,)), False, 0.4, True),
        (Tick(sessions=1, running=1, next_due_ms=300, owners=(LONG,)), False, 0.3, True),
        # its child has just begun
        (Tick(sessions=1, running=1, watched=1, owners=(demand("app"),)), False, 0.1, False),
        (
            Tick(sessions=1, running=1, watched=1, next_deadline_ms=9, owners=(demand("app"),)),
            *(False, 0.05, False),
        ),
        (Tick(sessions=2, running=2, watched=1, owners=(demand("app"),)), False, 0.05, False),
        (Tick(sessions=2, running=2, owners=(LONG,)), False, 0.05, False),
        # it stands behind the slots of its queue
        (Tick(sessions=1, running=1, queued=1, owners=(LONG,)), False, 0.4, True),
        (Tick(sessions=1, running=1, queued=1, owners=(LONG,)), True, 0.05, False),
        (Tick(sessions=1, running=1, outbox=1, owners=(LONG,)), False, 0.05, False),
        (Tick(sessions=1, running=1, stopping=1, owners=(LONG,)), False, 0.05, False),
        (Tick(sessions=1, running=1, dispatched=1, owners=(LONG,)), False, 0.05, False),
        (Tick(sessions=1, running=1, next_deadline_ms=900, owners=(LONG,)), False, 0.05, False),
        (Tick(), True, 0.5, False),
        (Tick(queued=7), False, 1.0, True),  # of a paused queue
    ],
)
def test_the_pace(tick: Tick, blocked: bool, seconds: float, idle: bool) -> None:
    pace = pace_after(tick, on_their_way=0, blocked=blocked, jitter=1.0, looks=3)
    assert (pace.seconds, pace.idle) == (seconds, idle)


@pytest.mark.parametrize(
    ("looks", "must_poll", "seconds"),
    [
        (0, False, 0.05),
        (1, True, 0.1),
        (2, True, 0.2),
        (9, True, 1.0),
        (5000, True, 1.0),
        (1, False, 10.0),
    ],
)
def test_it_falls_asleep_step_by_step(looks: int, must_poll: bool, seconds: float) -> None:
    pace = pace_after(
        Tick(must_poll=must_poll), on_their_way=0, blocked=False, jitter=1.0, looks=looks
    )
    assert (pace.seconds, pace.idle) == (seconds, True)


def test_work_of_others_and_later_work_do_not_keep_it_from_being_empty() -> None:
    served = {"app"}
    assert is_empty(
        Tick(queued=3, next_due_ms=5, owners=(demand("ghost"),)), served=served, on_their_way=0
    )
    assert not is_empty(Tick(owners=(demand(),)), served=served, on_their_way=0)
    assert not is_empty(Tick(), served=served, on_their_way=1)
    assert not is_empty(Tick(outbox=1), served=served, on_their_way=0)
    assert not is_empty(Tick(sessions=1), served=served, on_their_way=0)


@pytest.mark.parametrize(
    ("outcome", "state", "event"),
    [
        ("failed", "failed", "job_failed"),
        ("failed", "scheduled", "attempt_failed"),
        ("timed_out", "scheduled", "attempt_failed"),
        ("timed_out", "failed", "job_timed_out"),
        ("cancelled", "cancelled", "job_cancelled"),
        ("cancelled", "failed", "job_failed"),
        ("lost", "failed", "job_lost"),
        ("lost", "queued", "attempt_failed"),
        ("lost", "in_doubt", "job_in_doubt"),
        ("in_doubt", "in_doubt", "job_in_doubt"),
        ("interrupted", "scheduled", "attempt_interrupted"),
        ("succeeded", "succeeded", "job_succeeded"),
        ("something new", "failed", "job_failed"),
    ],
)
def test_the_event_of_an_outcome(outcome: str, state: str, event: str) -> None:
    one = Outcome(
        job_id=1,
        task="f",
        attempt=1,
        max_attempts=1,
        outcome=outcome,
        state=state,
        retry_at=None,
        ms=1.0,
        error=JobError(),
        note=None,
    )
    assert event_for(one) == event
    assert event_for(replace(one, error=JobError(sqlstate="22012"))) == event


def test_launched_sessions_count_until_they_show_up_or_are_overdue() -> None:
    pending = PendingLaunches()
    pending.observe([demand(active_sessions=1)], 0)
    pending.add("app", 3, 0)
    assert pending.count("app") == 3
    pending.observe([demand(active_sessions=3)], 0.1)
    assert pending.count("app") == 1
    pending.observe([demand(active_sessions=2)], 0.2)  # one ended meanwhile
    assert pending.total() == 1
    pending.observe([demand(active_sessions=2)], 5.1)
    assert pending.total() == 0


def test_sessions_that_did_not_start_are_taken_off_again() -> None:
    pending = PendingLaunches()
    pending.add("app", 2, 0)
    pending.add("app", 3, 1)
    pending.drop("app", 4)
    assert pending.count("app") == 1
    pending.drop("app", 4)
    assert pending.total() == 0


def test_a_throttle_lets_one_line_through_and_counts_the_rest() -> None:
    throttle = Throttle(30, keys=2)
    assert [throttle.allow("a", now) for now in (0, 1, 29, 30, 31)] == [0, None, None, 2, None]
    throttle.allow("b", 32)
    throttle.allow("c", 33)
    assert throttle.allow("a", 34) == 0  # forgotten: what it remembers is bounded


def test_a_backoff_grows_to_its_limit_and_starts_anew_after_a_success() -> None:
    backoff = Backoff(1, 4)
    assert [backoff.fail("a", 0) for _ in range(4)] == [1, 2, 4, 4]
    assert backoff.blocked("a", 3.9)
    assert not backoff.blocked("a", 4)
    assert not backoff.blocked("b", 0)
    backoff.clear("a")
    assert backoff.fail("a", 0) == 1
    backoff.keep_only(["b"])
    assert not backoff.blocked("a", 0)


def test_a_budget_refills_each_second() -> None:
    budget = TokenBucket(20)
    assert [
        budget.take(count, now) for count, now in ((20, 0), (1, 0), (10, 0.5), (11, 1.0), (0, 1.0))
    ] == [
        True,
        False,
        True,
        False,
        True,
    ]


def stuck_at(watch: StuckWatch, *looks: tuple[float, Demand | None, int, bool]) -> list[float]:
    told = []
    for now, one, queued, progress in looks:
        if watch.observe([one] if one else [], queued=queued, progress=progress, now=now):
            told.append(now)
    return told


def test_an_owner_without_sessions_is_stuck_and_freed() -> None:
    watch = StuckWatch(30)
    assert stuck_at(
        watch, (0, demand(), 1, True), (29, demand(), 2, True), (30, demand(), 3, True)
    ) == [30]
    assert watch.stuck
    assert stuck_at(watch, (45, demand(), 3, False), (60, demand(), 3, False)) == [60]
    assert stuck_at(watch, (61, demand(active_sessions=1), 2, True)) == []
    assert watch.freed == [("app", 61)]
    assert not watch.stuck


def test_sessions_that_take_nothing_are_stuck_and_sessions_at_work_are_not() -> None:
    idle = StuckWatch(30)
    assert stuck_at(
        idle, (0, demand(active_sessions=2), 5, False), (30, demand(active_sessions=2), 5, False)
    ) == [30]
    busy = StuckWatch(30)
    looks = [(float(now), demand(active_sessions=2), 5, now == 20) for now in range(0, 45, 5)]
    assert stuck_at(busy, *looks) == []


def test_no_demand_is_never_stuck() -> None:
    watch = StuckWatch(30)
    assert (
        stuck_at(watch, (0, demand(), 1, False), (20, None, 0, False), (40, demand(), 1, False))
        == []
    )

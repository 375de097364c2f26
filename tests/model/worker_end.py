"""The worker session: what it runs, and how that ends."""

from collections.abc import Iterator

from .shared import (
    is_running,
    put,
    reason,
    reasons,
    release,
    settle,
    unlock,
    with_job,
    with_message,
    with_session,
)
from .states import QUEUED, SUCCEEDED, Run, Session, State, Step, World


def ends(world: World, state: State, number: int, attempt: int) -> tuple[str, ...]:
    """List how a job may end by itself."""
    kind = world.kinds[number]
    if kind == "poison":
        return ()
    return ("failed",) if kind == "stumbling" and attempt == 1 else ("succeeded",)


def run(world: World, state: State, me: int, session: Session) -> Iterator[Step]:
    """Run a job alone to the end of its subtransaction."""
    for outcome in ends(world, state, session.job, session.attempt):
        after = state
        if "effect before outcome" in world.bugs and outcome == "succeeded":
            job = state.jobs[session.job]
            after = with_job(state, session.job, job._replace(effects=min(job.effects + 1, 2)))
        yield (
            f"job {session.job} {outcome}",
            with_session(after, me, session._replace(at="end", outcome=outcome)),
        )


def why(world: World, state: State, me: int, session: Session) -> Iterator[Step]:
    """It was cancelled: look for the committed reason."""
    if session.job is not None:
        outcome = verdict(world, state, session.job, session.attempt)
        yield (
            f"session {me} takes it for {outcome}",
            with_session(state, me, session._replace(at="end", outcome=outcome)),
        )
        return
    place = next(n for n, r in enumerate(session.chunk) if r.outcome is None)
    one = session.chunk[place]
    outcome = verdict(world, state, one.job, one.attempt)
    chunk = put(session.chunk, place, one._replace(outcome=outcome))
    if outcome == "interrupted":
        chunk = chunk[: place + 1]
    yield (
        f"session {me} takes it for {outcome}",
        with_session(state, me, session._replace(at="chunk", chunk=chunk)),
    )


def verdict(world: World, state: State, job: int, attempt: int) -> str:
    """Say what an interruption means."""
    found = reason(state, job, attempt)
    return "cancelled" if "no reason check" in world.bugs else found or "interrupted"


def end(world: World, state: State, me: int, session: Session) -> Iterator[Step]:
    """finish_alone, before its commit: the fence, and the reasons that it sees and deletes."""
    if "no fence" not in world.bugs and not is_running(state, session.job, me, session.attempt):
        yield (
            f"session {me} meets the fence",
            with_session(unlock(state, me), me, session._replace(died="fault")),
        )
        return
    seen = reasons(state, session.job)
    yield (
        f"session {me} settles job {session.job}",
        with_session(state, me, session._replace(at="commit", seen=seen)),
    )


def commit(world: World, state: State, me: int, session: Session) -> Iterator[Step]:
    """Commit a job that ran alone: effect and outcome, or neither."""
    number, outcome = session.job, session.outcome
    leave = outcome == "interrupted" or session.told
    at = "leave" if leave else "claimed" if session.todo else "idle"
    after = with_session(
        state,
        me,
        session._replace(
            at=at,
            job=None,
            attempt=0,
            outcome=None,
            seen=frozenset(),
            told=False,
            todo=() if leave else session.todo,
        ),
    )
    if is_running(state, number, me, session.attempt):
        if "effect before outcome" in world.bugs and outcome == "succeeded":
            job = after.jobs[number]
            after = with_job(after, number, job._replace(state=SUCCEEDED, session=None))
        else:
            after = settle(world, after, number, session.attempt, outcome, seen=session.seen)
    elif outcome == "succeeded":
        job = after.jobs[number]  # without a fence its effect stays, and its row has another fate
        after = with_job(after, number, job._replace(effects=min(job.effects + 1, 2)))
    yield f"session {me} commits job {number}: {outcome}", after


def run_chunk(world: World, state: State, me: int, session: Session) -> Iterator[Step]:
    """Run the next job of a chunk; or end it, all done or time up."""
    place = next((n for n, r in enumerate(session.chunk) if r.outcome is None), None)
    if place is not None:
        one = session.chunk[place]
        for outcome in ends(world, state, one.job, one.attempt):
            chunk = put(session.chunk, place, one._replace(outcome=outcome))
            yield (
                f"job {one.job} {outcome} in a chunk",
                with_session(state, me, session._replace(chunk=chunk)),
            )
    if place != 0:
        yield finish_chunk(world, state, me, session, session.chunk[:place])


def finish_chunk(
    world: World, state: State, me: int, session: Session, runs: tuple[Run, ...]
) -> Step:
    """Delete the messages, write the outcomes, commit; or undo it all when one job is not what
    it was.
    """
    leave = runs[-1].outcome == "interrupted"
    todo = tuple(n for n in session.todo if n > runs[-1].message)
    at = "leave" if leave else "claimed" if todo else "idle"
    after = unlock(state, me)
    for one in runs:
        if after.messages[one.message] is not None:
            after = with_message(after, one.message, None)
        if one.outcome == "gone":
            continue
        job = after.jobs[one.job]
        if job.state != QUEUED or job.attempt != one.attempt - 1:
            if "no fence in chunks" not in world.bugs:
                undone = session._replace(at="claimed", chunk=(), lone=True)
                return f"session {me} undoes a chunk", with_session(unlock(state, me), me, undone)
            after = with_job(after, one.job, job._replace(effects=min(job.effects + 1, 2)))
            continue
        seen = reasons(after, one.job) if one.outcome != "succeeded" else frozenset()
        after = settle(world, after, one.job, one.attempt, one.outcome, seen=seen)
    return f"session {me} commits a chunk", with_session(
        after, me, session._replace(at=at, chunk=(), todo=todo if not leave else (), lone=False)
    )


def close(world: World, state: State, me: int, session: Session) -> Iterator[Step]:
    """close_session: the claim goes back, the row goes."""
    yield f"session {me} closes", with_session(release(state, me, counted=False), me, None)

"""What several parts of the protocol do: each function is a piece of a transaction,
named after its SQL function.
"""

from typing import TypeVar

from .states import (
    CANCELLED,
    FAILED,
    QUEUED,
    RUNNING,
    SCHEDULED,
    SUCCEEDED,
    Job,
    Message,
    Session,
    State,
    Stop,
    World,
)

Item = TypeVar("Item")
Broken = str | None


def put(items: tuple[Item, ...], index: int, item: Item) -> tuple[Item, ...]:
    """Give a tuple with one place changed."""
    return (*items[:index], item, *items[index + 1 :])


def with_job(state: State, number: int, job: Job) -> State:
    """Write a job row."""
    return state._replace(jobs=put(state.jobs, number, job))


def with_message(state: State, number: int, message: Message | None) -> State:
    """Write a message; None deletes it."""
    return state._replace(messages=put(state.messages, number, message))


def with_session(state: State, number: int, session: Session | None) -> State:
    """Write a session; None deletes it."""
    return state._replace(sessions=put(state.sessions, number, session))


def lives(session: Session | None) -> bool:
    """Say whether a session has a process."""
    return session is not None and session.died is None


def broken(state: State, promise: str) -> State:
    """Note that a promise was broken."""
    return state if state.wrong else state._replace(wrong=promise)


def send(state: State, job: int) -> State:
    """Put a job into its lane: a new message and the job's new state, in one transaction."""
    number = state.messages.index(None)
    state = with_message(state, number, Message(job))
    return with_job(
        state, job, state.jobs[job]._replace(state=QUEUED, message=number, session=None)
    )


def release(state: State, number: int, *, counted: bool) -> State:
    """Give back what a session has claimed and still carries its token."""
    session = state.sessions[number]
    assert session is not None
    for one in session.messages:
        message = state.messages[one]
        if (
            message
            and session.token is not None
            and message.token == session.token
            and message.lock is None
        ):
            back = message._replace(token=None, visible=True, reads=message.reads - (not counted))
            state = with_message(state, one, back)
    return with_session(state, number, session._replace(messages=(), token=None))


def unlock(state: State, holder: int) -> State:
    """Let go of the messages that an open transaction has locked."""
    for number, message in enumerate(state.messages):
        if message and message.lock == holder:
            state = with_message(state, number, message._replace(lock=None))
    return state


def free_token(state: State) -> int:
    """Give a token that nobody has."""
    used = {m.token for m in state.messages if m} | {s.token for s in state.sessions if s}
    return next(n for n in range(9) if n not in used)


def settle(
    world: World,
    state: State,
    number: int,
    attempt: int,
    outcome: str,
    *,
    seen: frozenset[Stop],
    cause: Broken = None,
    last: bool = False,
) -> State:
    """End one attempt that was not a plain success in a chunk.

    The reasons in `seen` are those that its transaction saw and deletes. `cause` says why this
    attempt must not be charged for; None: it may be. `last`: it is not run again,
    whatever its number of attempts.
    """
    job = state.jobs[number]
    cancelled = any(s.attempt == attempt and s.reason == "cancelled" for s in seen)
    if cancelled and outcome == "interrupted":
        outcome = "cancelled"
    state = state._replace(
        stops=state.stops - {s for s in state.stops if any(s[:3] == x[:3] for x in seen)}
    )
    job = job._replace(message=None, session=None)
    back = job._replace(state=SCHEDULED)
    if outcome == "interrupted" and "shutdown is charged" in world.bugs:
        outcome = "lost"
    if outcome in ("interrupted", "stopped"):
        if job.interruptions < 2 or outcome == "stopped":
            hits = min(job.interruptions + (outcome == "interrupted"), 2)
            return with_job(state, number, back._replace(attempt=attempt - 1, interruptions=hits))
        return with_job(state, number, job._replace(state=FAILED, attempt=attempt))
    if outcome == "succeeded":
        return with_job(
            state,
            number,
            job._replace(state=SUCCEEDED, attempt=attempt, effects=min(job.effects + 1, 2)),
        )
    if outcome == "cancelled":
        if not job.asked:
            state = broken(state, "a job was cancelled that nobody asked to cancel")
        return with_job(state, number, job._replace(state=CANCELLED, attempt=attempt))
    if cause:
        state = broken(state, f"an attempt was charged: {cause}")
    job, back = job._replace(charged=attempt), back._replace(charged=attempt)
    if attempt < world.max_attempts and not last:
        return with_job(
            state,
            number,
            (job if cancelled else back)._replace(
                state=CANCELLED if cancelled else SCHEDULED, attempt=attempt
            ),
        )
    return with_job(state, number, job._replace(state=FAILED, attempt=attempt))


def reasons(state: State, job: int) -> frozenset[Stop]:
    """Give the committed reasons to stop a job, whatever the attempt."""
    return frozenset(s for s in state.stops if s.job == job)


def reason(state: State, job: int, attempt: int) -> str | None:
    """Give the committed reason to stop this attempt."""
    return next((s.reason for s in state.stops if s.job == job and s.attempt == attempt), None)


def is_running(state: State, number: int, session: int, attempt: int) -> bool:
    """Say whether a job is the running attempt of a session: the fence."""
    job = state.jobs[number]
    return job.state == RUNNING and job.session == session and job.attempt == attempt

"""The supervisor, and everybody who does a piece of its work: rescue, dispatch, overdue, take back,
signals.
"""

from collections.abc import Iterator

from .rescuer import look, note_crash, rescue_one
from .shared import lives, put, reason, send, unlock, with_message, with_session
from .states import RUNNING, SCHEDULED, Intent, State, Step, Stop, World


def keep(world: World, state: State, me: int) -> Iterator[Step]:
    """Do the next step of a supervisor: what it is about to do, or any of its duties."""
    intent = state.supervisors[me]
    if intent is not None:
        done = state._replace(supervisors=put(state.supervisors, me, None))
        if intent.what == "rescue":
            yield (
                f"supervisor {me} rescues session {intent.session}",
                rescue_one(world, done, intent),
            )
        elif intent.what == "dispatch":
            yield f"supervisor {me} dispatches job {intent.job}", send(done, intent.job)
        else:
            yield (
                f"supervisor {me} signals session {intent.session} for job {intent.job}",
                send_signal(world, done, intent),
            )
        return
    if me == 0:  # one step each, which others would do in the same way
        yield from note_crash(world, state)
        yield from dispatch(world, state)
        yield from note_overdue(world, state)
        yield from take_back(world, state)
    yield from look(world, state, me)


def dispatch(world: World, state: State) -> Iterator[Step]:
    """Move a due job into its lane."""
    for number, job in enumerate(state.jobs):
        if job.state == SCHEDULED and not job.locked:
            yield f"job {number} is dispatched", send(state, number)


def note_overdue(world: World, state: State) -> Iterator[Step]:
    """Note a reason to stop for an attempt that is overdue."""
    if not state.overdue:
        return
    for session in state.sessions:
        if session is None or not lives(session):
            continue
        one = next((r for r in session.chunk if r.outcome is None), None)
        job, attempt = (
            (session.job, session.attempt)
            if session.job is not None
            else (one.job, one.attempt)
            if one
            else (None, 0)
        )
        if job is None or reason(state, job, attempt):
            continue
        row = state.jobs[job]
        if attempt == (row.attempt if row.state == RUNNING else row.attempt + 1):
            yield (
                f"job {job} is overdue",
                state._replace(
                    overdue=state.overdue - 1, stops=state.stops | {Stop(job, attempt, "timed_out")}
                ),
            )


def take_back(world: World, state: State) -> Iterator[Step]:
    """Take back what a session has claimed and does not get to; or its lease runs out,
    whoever has it.
    """
    for number, message in enumerate(state.messages):
        if message and not message.visible and world.leases:
            yield (
                f"the lease of message {number} runs out",
                with_message(state, number, message._replace(visible=True)),
            )
    for number, session in enumerate(state.sessions):
        if session is None or not lives(session) or session.at not in ("run", "chunk"):
            continue
        for one in session.messages:
            message = state.messages[one]
            if message is None or message.token != session.token:
                continue
            if message.lock is None:
                back = message._replace(token=None, visible=True, reads=message.reads - 1)
                yield (
                    f"message {one} is taken back from session {number}",
                    with_message(state, one, back),
                )


def send_signal(world: World, state: State, intent: Intent) -> State:
    """Press: lock the reason, and the session, which still runs that job or none alone;
    then signal it.
    """
    stop = Stop(
        intent.job,
        intent.attempt,
        reason(state, intent.job, intent.attempt) or "",
        intent.signals_sent,
    )
    session = state.sessions[intent.session]
    held = any(s and stop in s.seen for s in state.sessions)  # its deleter has not committed
    if stop not in state.stops or held or not lives(session):
        return state
    if "signal without the session's lock" not in world.bugs:
        if session.at == "commit":
            return state  # it holds its own row
        if session.job is not None and (session.job, session.attempt) != (
            intent.job,
            intent.attempt,
        ):
            return state
    state = state._replace(
        stops=state.stops - {stop} | {stop._replace(signals_sent=intent.signals_sent + 1)}
    )
    return interrupt(state, intent.session)


def interrupt(state: State, number: int, cause: str = "signal") -> State:
    """A session gets a signal: it is caught in the job, and where its end is written down;
    else the session ends.

    `cause` fault: it is not ours.
    """
    session = state.sessions[number]
    assert session is not None
    if session.at == "end":
        return with_session(state, number, session._replace(told=True))
    in_job = session.at == "run" or (
        session.at == "chunk" and any(r.outcome is None for r in session.chunk)
    )
    if in_job:
        return with_session(state, number, session._replace(at="why"))
    return state if session.at == "why" else die(state, number, cause)


def die(state: State, number: int, cause: str) -> State:
    """A session ends, and with it its open transaction."""
    session = state.sessions[number]
    assert session is not None
    rest = session._replace(
        died=cause, at="dead", todo=(), chunk=(), outcome=None, seen=frozenset(), lone=False
    )
    return with_session(unlock(state, number), number, rest)

"""The supervisor, and everybody who does a piece of its work: rescue, dispatch, overdue, take back,
signals.
"""

from collections.abc import Iterator

from .shared import (
    is_running,
    lives,
    put,
    reason,
    reasons,
    release,
    send,
    settle,
    unlock,
    with_job,
    with_message,
    with_session,
)
from .states import RUNNING, SCHEDULED, Intent, Session, State, Stop, World

Step = tuple[str, State]


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


def look(world: World, state: State, me: int) -> Iterator[Step]:
    """See a dead session, or a running attempt with a reason to stop:
    it will be acted upon later.
    """
    for number, job in enumerate(state.jobs):
        if job.state == SCHEDULED and "dispatch without a lock" in world.bugs:
            yield (
                f"supervisor {me} finds job {number} due",
                state._replace(
                    supervisors=put(state.supervisors, me, Intent("dispatch", job=number))
                ),
            )
    for number, session in enumerate(state.sessions):
        if session is None:
            continue
        dead = not lives(session) or (
            "rescue by time" in world.bugs and (session.messages or session.job is not None)
        )
        if state.noted and dead:
            found = Intent("rescue", number, session.job, session.attempt)
            if world.supervisors == 1:
                yield f"supervisor {me} rescues session {number}", rescue_one(world, state, found)
            else:
                yield (
                    f"supervisor {me} finds session {number} dead",
                    state._replace(supervisors=put(state.supervisors, me, found)),
                )
        if lives(session):
            for stop in state.stops:
                if stop.signals_sent < 2 and runs(session, stop.job, stop.attempt):
                    yield (
                        f"supervisor {me} sees job {stop.job} run with a reason to stop",
                        state._replace(
                            supervisors=put(
                                state.supervisors,
                                me,
                                Intent("signal", number, stop.job, stop.attempt, stop.signals_sent),
                            )
                        ),
                    )


def runs(session: Session, job: int, attempt: int) -> bool:
    """Say whether a session shows that it runs an attempt: by its row,
    or by its application_name.
    """
    if session.job is not None:
        return (session.job, session.attempt) == (job, attempt)
    one = next((r for r in session.chunk if r.outcome is None), None)
    return one is not None and (one.job, one.attempt) == (job, attempt)


def note_crash(world: World, state: State) -> Iterator[Step]:
    """Find out, once for each life of the server, whom to blame."""
    if state.noted:
        return
    trial = state.trial
    accused: list[int | None] = [None]
    if trial is not None:
        session = state.sessions[trial.session]
        if (
            session
            and session.stale
            and not session.foreign
            and (session.job, session.attempt) == (trial.job, trial.attempt)
        ):
            # a moment of grace: it is over, or not yet
            accused = [trial.job] if trial.fresh else [trial.job, None]
    for one in accused:
        after = blame(world, state, one)
        yield "the crash is noted" + (f": {one} was on trial" if one is not None else ""), after


def blame(world: World, state: State, accused: int | None) -> State:
    """Convict the one on trial, or suspect all who may have been running."""
    ran = [(n, s) for n, s in enumerate(state.sessions) if s and s.stale and not s.foreign]
    state = state._replace(noted=True, trial=None)
    for number, session in enumerate(state.sessions):
        if session and session.stale:
            state = with_session(state, number, session._replace(crash_attribution="not_charged"))
    suspects = {job for _, session in ran for job in chunk_of(state, session)}
    culprit = None
    if accused is not None and (
        state.jobs[accused].isolated_crashes
        or suspects == {accused}
        or "convicted beside others" in world.bugs
    ):
        culprit, suspects = accused, {accused}
    for number in suspects:
        job = state.jobs[number]
        job = job._replace(
            crashes=min(job.crashes + 1, 3),
            isolated_crashes=min(job.isolated_crashes + (number == accused), 2),
        )
        state = with_job(state, number, job)
    if culprit is None and len(suspects) == 1:
        culprit = next(
            (job for job in suspects if state.jobs[job].crashes >= world.max_attempts), None
        )
    for number, session in ran:
        if session.job is not None and (session.job == culprit or "all are charged" in world.bugs):
            state = with_session(state, number, session._replace(crash_attribution="charged"))
    return state


def chunk_of(state: State, session: Session) -> set[int]:
    """List the jobs that a dead session may have been running: suspects never run in a chunk."""
    if session.job is not None:
        return {session.job}
    claimed = [state.messages[one] for one in session.messages]
    mine = {message.job for message in claimed if message and message.token == session.token}
    return {job for job in mine if not state.jobs[job].crashes}


def rescue_one(world: World, state: State, intent: Intent) -> State:
    """See to one dead session, under the lock of its row, which is looked at again."""
    number = intent.session
    session = state.sessions[number]
    again = "rescue without a second look" in world.bugs
    if session is None or (lives(session) and "rescue by time" not in world.bugs):
        if again and intent.job is not None and state.jobs[intent.job].state == RUNNING:
            return settle(
                world,
                state,
                intent.job,
                intent.attempt,
                "lost",
                seen=frozenset(),
                cause="its session lives",
            )
        return state
    state = release(state, number, counted=session.crash_attribution is None)
    job = session.job
    if job is not None and is_running(state, job, number, session.attempt):
        found = reason(state, job, session.attempt)
        outcome = found or ("stopped" if session.crash_attribution == "not_charged" else "lost")
        if outcome == "stopped" and "shutdown is charged" in world.bugs:
            outcome = "lost"
        last = (
            session.crash_attribution == "charged" and state.jobs[job].crashes >= world.max_attempts
        )
        state = settle(
            world,
            state,
            job,
            session.attempt,
            outcome,
            seen=reasons(state, job),
            cause=innocence(world, session, found),
            last=last,
        )
    return with_session(state, number, None)


def innocence(world: World, session: Session, found: str | None) -> str | None:
    """Say why a job must not be charged for the end of its session; None: it may be."""
    if lives(session):
        return "its session lives"
    if found is not None or session.died == "fault":
        return None
    if session.died == "signal":
        return "the signal was for another job, or for nobody"
    if session.died == "stop":
        return "the server was stopped"
    return None if world.kinds[session.job] == "poison" else "another job crashed the server"


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

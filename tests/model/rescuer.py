"""Who looks for sessions that died, and sees to what they leave."""

from collections.abc import Iterator

from .shared import is_running, lives, put, reason, reasons, release, settle, with_job, with_session
from .states import RUNNING, SCHEDULED, Intent, Session, State, Step, World


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

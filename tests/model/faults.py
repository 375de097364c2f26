"""What may go wrong from outside, and what clients do."""

from collections.abc import Iterator

from .keeper import die, interrupt
from .shared import lives, put, unlock, with_job, with_message
from .states import CANCELLED, CLIENT, NEW, OVER, QUEUED, RUNNING, State, Stop, World

Step = tuple[str, State]


def fail(world: World, state: State) -> Iterator[Step]:
    """List what may go wrong now."""
    for number, session in enumerate(state.sessions):
        if session is None or not lives(session):
            continue
        if state.deaths:
            yield (
                f"session {number} dies",
                die(state, number, "fault")._replace(deaths=state.deaths - 1),
            )
        if state.strays:
            yield (
                f"session {number} is signalled by nobody",
                interrupt(state, number, "fault")._replace(strays=state.strays - 1),
            )
        running = (
            session.job
            if session.at == "run"
            else next((r.job for r in session.chunk if r.outcome is None), None)
        )
        if running is not None and world.kinds[running] == "poison":
            late = state.trial is not None and not state.trial.fresh and state.trial.job == running
            if not late or world.slow_poison:
                yield f"job {running} crashes the server", stop_server(world, state, "crash")
    # From outside only while there is no suspect: a crash during a trial cannot be told from the
    # suspect's own.
    if state.crashes and not any(job.crashes for job in state.jobs):
        yield (
            "the server crashes",
            stop_server(world, state, "crash")._replace(crashes=state.crashes - 1),
        )
    if state.restarts:
        yield (
            "the server is restarted",
            stop_server(world, state, "stop")._replace(restarts=state.restarts - 1),
        )
    for number, intent in enumerate(state.supervisors):
        if intent is not None:
            yield (
                f"supervisor {number} dies",
                state._replace(supervisors=put(state.supervisors, number, None)),
            )
    trial = state.trial
    # later trials are longer than it needs
    slow = world.slow_poison and trial and state.jobs[trial.job].crashes == 1
    if trial and trial.fresh and (slow or world.kinds[trial.job] != "poison"):
        yield "the time of the trial is over", state._replace(trial=trial._replace(fresh=False))


def stop_server(world: World, state: State, cause: str) -> State:
    """All processes end, all open transactions are undone; what was committed is there."""
    for number, session in enumerate(state.sessions):
        if session is None:
            continue
        if lives(session):
            state = die(state, number, cause)
        rest = state.sessions[number]._replace(
            stale=True, foreign=session.foreign or cause == "stop"
        )
        state = state._replace(sessions=put(state.sessions, number, rest))
    state = roll_back(state)
    if "unlogged" in world.bugs:
        state = state._replace(messages=(None,) * len(state.messages))
    return state._replace(supervisors=(None,) * len(state.supervisors), noted=False)


def steer(world: World, state: State) -> Iterator[Step]:
    """Cancel: at once in the client's own transaction, else by a reason that a session of its own
    commits.
    """
    if state.client is not None:
        number = state.client
        job = state.jobs[number]
        done = unlock(state, CLIENT)._replace(client=None)
        if job.message is not None:
            done = with_message(done, job.message, None)
        yield (
            f"the cancel of job {number} commits",
            with_job(
                done,
                number,
                job._replace(state=CANCELLED, message=None, session=None, locked=False),
            ),
        )
        yield f"the cancel of job {number} is rolled back", roll_back(state)
        return
    if state.tampers:
        held = {s.job for s in state.sessions if s and s.at == "commit"}  # their rows are locked
        for number, job in enumerate(state.jobs):
            if job.state == RUNNING and number not in held:
                yield (
                    f"somebody deletes the row of job {number}",
                    with_job(
                        state, number, job._replace(state=CANCELLED, session=None, asked=True)
                    )._replace(tampers=state.tampers - 1),
                )
    if not state.cancels:
        return
    for number, job in enumerate(state.jobs):
        if job.state in OVER or job.state == NEW:
            continue
        asked = with_job(state, number, job._replace(asked=True))._replace(
            cancels=state.cancels - 1
        )
        message = state.messages[job.message] if job.message is not None else None
        if job.state == RUNNING or (job.state == QUEUED and message and message.lock is not None):
            attempt = job.attempt + (job.state != RUNNING)
            if not any(s[:2] == (number, attempt) for s in state.stops):
                yield (
                    f"a reason to cancel job {number} is committed",
                    asked._replace(stops=asked.stops | {Stop(number, attempt, "cancelled")}),
                )
            continue
        held = with_job(asked, number, asked.jobs[number]._replace(locked=True))._replace(
            client=number
        )
        if message:
            held = with_message(held, job.message, message._replace(lock=CLIENT))
        yield f"a client cancels job {number}, and has not committed", held


def roll_back(state: State) -> State:
    """The client's transaction is undone."""
    if state.client is None:
        return state
    job = state.jobs[state.client]
    return with_job(unlock(state, CLIENT), state.client, job._replace(locked=False))._replace(
        client=None
    )

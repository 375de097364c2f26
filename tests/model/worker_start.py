"""The worker session: what it claims, and how it begins with it."""

from collections.abc import Iterator

from .shared import free_token, lives, reason, release, with_job, with_message, with_session
from .states import QUEUED, RUNNING, Run, Session, State, Step, Trial, World


def claim(world: World, state: State, me: int, session: Session) -> Iterator[Step]:
    """Lease visible messages, first come first; or leave when there is none."""
    state = release(state, me, counted=False)
    session = state.sessions[me]
    assert session is not None
    free = [n for n, m in enumerate(state.messages) if m and m.visible and m.lock is None]
    if not free:
        yield f"session {me} leaves", with_session(state, me, session._replace(at="leave"))
    for size in {min(len(free), n) for n in (1, world.claim)} - {0}:
        mine = tuple(free[:size])
        after = state
        token = free_token(state)
        if "claim in the effect" in world.bugs:
            runs = []
            for n in mine:
                message = state.messages[n]
                after = with_message(after, n, message._replace(lock=me))
                runs.append(Run(n, message.job, state.jobs[message.job].attempt + 1))
            yield (
                f"session {me} claims {mine} in its effect",
                with_session(
                    after,
                    me,
                    session._replace(at="chunk", chunk=tuple(runs), messages=(), token=None),
                ),
            )
            continue
        for n in mine:
            message = state.messages[n]
            after = with_message(
                after,
                n,
                message._replace(token=token, visible=False, reads=min(message.reads + 1, 2)),
            )
        yield (
            f"session {me} claims {mine}",
            with_session(
                after, me, session._replace(at="claimed", messages=mine, token=token, todo=mine)
            ),
        )


def mode(world: World, state: State, number: int, lone: bool) -> tuple[str, int | None, int]:
    """Say how open_chunk would have a message run: gone, stop, chunk or alone;
    with its job and attempt.
    """
    message = state.messages[number]
    job = state.jobs[message.job]
    if job.state != QUEUED or job.message != number:
        return "gone", None, 0
    attempt = job.attempt + 1
    if reason(state, message.job, attempt) == "cancelled":
        return "stop", message.job, attempt
    apart = (
        world.kinds[message.job] == "long"
        or message.reads > 1
        or job.interruptions
        or job.crashes
        or lone
    )
    return ("alone" if apart else "chunk"), message.job, attempt


def open_chunk(world: World, state: State, me: int, session: Session) -> Iterator[Step]:
    """Lock the messages that still carry the token; start the first alone, or some together."""
    todo = session.todo[:1] if session.lone else session.todo
    mine = [
        n
        for n in todo
        if (m := state.messages[n])
        and ("no token" in world.bugs or m.token == session.token)
        and ("no message lock" in world.bugs or m.lock is None)
    ]
    rest = session._replace(todo=session.todo[len(todo) :])
    if not mine:
        yield (
            f"session {me} finds nothing of its claim",
            with_session(state, me, rest._replace(at="claimed" if rest.todo else "idle")),
        )
        return
    modes = [mode(world, state, n, session.lone) for n in mine]
    if modes[0][0] == "alone":
        yield from begin_alone(world, state, me, session, mine[0], modes[0])
        return
    runs, after = [], state
    for n, (how, job, attempt) in zip(mine, modes, strict=True):
        if how == "alone":
            break
        runs.append(Run(n, job, attempt, {"gone": "gone", "stop": "cancelled", "chunk": None}[how]))
        if "no message lock" not in world.bugs:
            after = with_message(after, n, after.messages[n]._replace(lock=me))
        if "message deleted before the commit" in world.bugs:
            after = with_message(after, n, None)
    yield (
        f"session {me} opens a chunk of {[r.job for r in runs]}",
        with_session(after, me, session._replace(at="chunk", chunk=tuple(runs))),
    )


def begin_alone(
    world: World,
    state: State,
    me: int,
    session: Session,
    number: int,
    how: tuple[str, int | None, int],
) -> Iterator[Step]:
    """Commit the start of a job that runs alone: its message goes, it is running."""
    _, job, attempt = how
    todo = session.todo[session.todo.index(number) + 1 :]
    if not take_trial(world, state, me, job, attempt):
        message = state.messages[number]
        held = with_message(state, number, message._replace(token=None, visible=True))
        yield (
            f"session {me} holds back job {job}",
            with_session(held, me, session._replace(at="claimed" if todo else "idle", todo=todo)),
        )
        return
    if state.jobs[job].crashes:
        state = state._replace(trial=Trial(me, job, attempt))
    if "lone start not committed" in world.bugs:
        locked = with_message(state, number, state.messages[number]._replace(lock=me))
        yield (
            f"session {me} starts job {job} and does not commit",
            with_session(
                locked, me, session._replace(at="chunk", chunk=(Run(number, job, attempt),))
            ),
        )
        return
    if world.kinds[job] == "long":
        state, todo = release(state, me, counted=False), ()
        session = state.sessions[me]
        assert session is not None
    state = with_message(state, number, None)
    state = with_job(
        state,
        job,
        state.jobs[job]._replace(state=RUNNING, message=None, session=me, attempt=attempt),
    )
    state = state._replace(
        stops=frozenset(s for s in state.stops if s[:3] != (job, attempt, "timed_out"))
    )
    yield (
        f"session {me} begins job {job} alone",
        with_session(
            state,
            me,
            session._replace(
                at="begun" if world.signals else "run",
                job=job,
                attempt=attempt,
                todo=todo,
                lone=False,
            ),
        ),
    )


def take_trial(world: World, state: State, me: int, job: int, attempt: int) -> bool:
    """Say whether a job may start now: a suspect may not while another one is on trial."""
    trial = state.trial
    if (
        not state.jobs[job].crashes
        or trial is None
        or not trial.fresh
        or "suspects in parallel" in world.bugs
    ):
        return True
    other = state.sessions[trial.session]
    return (
        trial.session == me
        or not lives(other)
        or (other.job, other.attempt) != (trial.job, trial.attempt)
    )


def begin(world: World, state: State, me: int, session: Session) -> Iterator[Step]:
    """Enter the block that catches what the job throws."""
    yield (
        f"session {me} runs job {session.job}",
        with_session(state, me, session._replace(at="run")),
    )

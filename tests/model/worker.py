"""The worker session: jobs_internal.work, step by step. Between two steps others may act."""

from collections.abc import Iterator

from .shared import (
    free_token,
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
from .states import NEW, OVER, QUEUED, RUNNING, SUCCEEDED, Run, Session, State, Trial, World

Step = tuple[str, State]


def enqueue(world: World, state: State) -> Iterator[Step]:
    """jobs.enqueue: job row and message in one transaction."""
    number = next((n for n, job in enumerate(state.jobs) if job.state == NEW), None)
    if number is not None:
        yield f"enqueue job {number}", send(state, number)


def launch(world: World, state: State) -> Iterator[Step]:
    """open_session: a session wants work, so it is only launched where there is some."""
    if not state.noted or all(job.state in OVER for job in state.jobs):
        return
    number = next((n for n, session in enumerate(state.sessions) if session is None), None)
    if number is not None:
        yield f"session {number} opens", with_session(state, number, Session())


def work(world: World, state: State, me: int) -> Iterator[Step]:
    """Do the next step of a session that lives."""
    session = state.sessions[me]
    assert session is not None
    steps = {
        "idle": claim,
        "claimed": open_chunk,
        "chunk": run_chunk,
        "why": why,
        "begun": begin,
        "run": run,
        "end": end,
        "commit": commit,
        "leave": close,
    }
    yield from steps[session.at](world, state, me, session)


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

"""The worker session: jobs_internal.work, step by step. Between two steps others may act."""

from collections.abc import Iterator

from .shared import send, with_session
from .states import NEW, OVER, Session, State, Step, World
from .worker_end import close, commit, end, run, run_chunk, why
from .worker_start import begin, claim, open_chunk


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

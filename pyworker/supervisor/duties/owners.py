"""Which owners are served, and which of those given are unknown."""

from collections.abc import Sequence

from pyworker.database.gateway import Gateway
from pyworker.errors import ConfigError
from pyworker.log import EventLog
from pyworker.supervisor.state import State

__all__ = ["log_unknown_owners", "refresh_owners", "refuse_unknown_owners"]

_UNKNOWN = (
    "no role of that name can log in, is a member of jobs_runner, and has jobs that are not refused"
)


def refresh_owners(
    gateway: Gateway, given: Sequence[str], own_user: str, state: State, now: float
) -> None:
    """Find out whose jobs to run: the owners given, else the members of jobs_runner and our own
    role.
    """
    state.owners.served = frozenset(given) or state.owners.served  # should the call fail
    runners = [*gateway.runners(), own_user]
    state.owners.served = frozenset(given or runners)
    state.owners.unknown = sorted(state.owners.served.difference(runners))
    state.owners.read_at = now


def log_unknown_owners(state: State, log: EventLog, now: float) -> None:
    """Log which of the owners given cannot run jobs yet. They are served all the same: a role may
    be made later.
    """
    for owner in state.owners.unknown:
        suppressed = state.throttle.allow(f"unknown {owner}", now)
        if suppressed is not None:
            log.emit(
                "owner_unreachable",
                owner=owner,
                reason=_UNKNOWN,
                retry_in=None,
                suppressed=suppressed,
            )


def refuse_unknown_owners(state: State, given_by: str) -> None:
    """Refuse to leave as if all were done, where an owner was named whose jobs cannot run.
    `given_by`: the flag, variable or file that names them.
    """
    if state.owners.unknown:
        one = len(state.owners.unknown) == 1
        names = ", ".join(f'"{owner}"' for owner in state.owners.unknown)
        raise ConfigError(
            f"{'owner' if one else 'owners'} {names} cannot be served",
            detail=f"{_UNKNOWN[0].upper()}{_UNKNOWN[1:]}.",
            hint=(
                f"Correct {given_by}, or: grant jobs_runner to ...; `pyworker check` tells what "
                "a role lacks."
            ),
        )

"""What a supervisor keeps between rounds. All of it is bounded, and none of it is needed to be
right.
"""

from dataclasses import dataclass, field
from time import monotonic

from pyworker.supervisor.outcome_log import SINGLES_PER_SECOND
from pyworker.supervisor.pending_launches import PendingLaunches
from pyworker.supervisor.rate import Backoff, Throttle, TokenBucket
from pyworker.supervisor.stuck_watch import StuckWatch

__all__ = ["Launches", "Owners", "State", "Upkeep"]

_WARN_EVERY = 30.0  # seconds between two lines of the log that say the same
_NEVER = float("-inf")


@dataclass
class Owners:
    """Which owners' jobs are run, and which of them cannot be reached."""

    served: frozenset[str] = frozenset()
    read_at: float = _NEVER
    unknown: list[str] = field(default_factory=list)  # given, but no login members of jobs_runner
    unreached: dict[str, str] = field(
        default_factory=dict
    )  # as the database was told, with the reason
    backoff: Backoff = field(default_factory=lambda: Backoff(0.5, 4.0))


@dataclass
class Launches:
    """Sessions that were launched and have not shown up, and the pause after the server had no
    worker slot.
    """

    pending: PendingLaunches = field(default_factory=PendingLaunches)
    slots_backoff: Backoff = field(default_factory=lambda: Backoff(0.2, 2.0))


@dataclass
class Upkeep:
    """When history and tables were last looked after, and what has happened since."""

    vacuum_jobs: int = (
        40_000  # whose dead rows the hot tables may hold before they are vacuumed ahead of time
    )
    last_at: float = field(default_factory=monotonic)
    worked: bool = False
    ended: int = 0  # attempts
    more: bool = False  # the last maintenance has left something for the next one


@dataclass
class State:
    """What is kept from round to round."""

    stuck: StuckWatch
    owners: Owners = field(default_factory=Owners)
    launches: Launches = field(default_factory=Launches)
    upkeep: Upkeep = field(default_factory=Upkeep)
    throttle: Throttle = field(default_factory=lambda: Throttle(_WARN_EVERY))
    line_budget: TokenBucket = field(default_factory=lambda: TokenBucket(SINGLES_PER_SECOND))
    outcomes_at: float = _NEVER  # outcomes are not taken before this time
    paused: bool = False
    progress: bool = False  # since the last look for stuck owners

    def start_over(self) -> None:
        """Forget what was known of the connection that is lost: another server, or the same one
        anew, answers next.
        """
        self.launches = Launches()
        self.owners.unreached = {}
        self.owners.backoff.keep_only(())

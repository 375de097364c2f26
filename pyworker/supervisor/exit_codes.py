"""What `pyworker run` leaves with."""

from enum import IntEnum

__all__ = ["EXIT_HELP", "Exit"]


class Exit(IntEnum):
    """Exit codes of the supervisor."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    STUCK = 3
    UNREACHABLE = 4
    SCHEMA = 5
    STALLED = 6
    CLOSED = 7
    COPY = 8


EXIT_HELP = """\
Exit codes: 0 stopped as asked, or empty with --until-empty; 1 failure; 2 wrong usage or setting;
3 jobs were due and nothing picked them up; 4 the server cannot be reached at the start
(see --wait); 5 the schema is missing or of another version; 6 the server takes calls and gives no
answer; 7 this role may not supervise; 8 the database is a copy of another installation
(see jobs.reconcile)."""

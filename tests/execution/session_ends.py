"""What the tests of sessions that end in the middle share."""

from support import Database, wait_until

HEALTH = 'select status, detail from jobs.health where "check" = %s'


def session_pid(database: Database) -> int:
    """Give the pid of the one worker session."""
    rows = wait_until(lambda: database.admin("select pid from jobs.sessions"), 5)
    assert len(rows) == 1
    return int(rows[0][0])


def no_process(database: Database) -> None:
    wait_until(lambda: not database.background(), 60)

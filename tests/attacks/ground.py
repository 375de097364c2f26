"""What the attacks share: canaries, and short ways to be somebody else."""

from support import Database

IDLE = (
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pw idle'"
    " and datname = %s"
)


def send_home(database: Database) -> None:
    """End the sessions that linger for more work."""
    database.admin(IDLE, [database.name])

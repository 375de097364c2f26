"""`pyworker run`: the supervisor daemon."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyworker.cli.options import dsn_option
from pyworker.cli.target import resolve_dsn
from pyworker.config import Settings, load_settings
from pyworker.errors import ConfigError, ConnectionFailed, PyworkerError, SchemaError
from pyworker.supervisor.exit_codes import EXIT_HELP, Exit

if TYPE_CHECKING:
    from pyworker.log import EventLog
    from pyworker.supervisor.life import Life

__all__ = ["run"]


@click.command(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    epilog=EXIT_HELP,
)
@dsn_option("The database; default: PYWORKER_DSN, else the private server.")
@click.option(
    "--owner",
    "owners",
    multiple=True,
    metavar="ROLE",
    help=(
        "Run this role's jobs; may be repeated. Default: the login members of jobs_runner, and "
        "the DSN's own user."
    ),
)
@click.option(
    "--name",
    metavar="NAME",
    help="The supervisor's name in logs and views; default: host and process id.",
)
@click.option(
    "--drain",
    is_flag=True,
    help="When told to stop, launch nothing more and wait for the jobs that run.",
)
@click.option(
    "--until-empty",
    "--once",
    "until_empty",
    is_flag=True,
    help="Leave when nothing is due and nothing runs. Jobs that are due later are left alone.",
)
@click.option(
    "--wait",
    is_flag=True,
    help="Wait for the server at the start too, instead of leaving with code 4.",
)
@click.option(
    "--allow-superuser",
    is_flag=True,
    default=None,
    help=(
        "Run although the DSN's login has SUPERUSER, CREATEROLE, REPLICATION or BYPASSRLS, "
        "itself or by membership."
    ),
)
@click.option(
    "--http",
    metavar="HOST:PORT",
    help="Answer probes and show figures at this address, 127.0.0.1:8470 for example.",
)
@click.option(
    "--http-token-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help=(
        "A file, yours alone, with the token that clients must send. Needed where --http is no "
        "loopback address."
    ),
)
@click.option(
    "--http-host",
    "http_hosts",
    multiple=True,
    metavar="NAME",
    help="A name under which --http is reached, beside localhost and addresses; may be repeated.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "json", "console"]),
    help="auto: JSON unless on a terminal.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="Leave out lower levels.",
)
def run(
    dsn: str | None,
    owners: tuple[str, ...],
    name: str | None,
    http: str | None,
    http_token_file: Path | None,
    http_hosts: tuple[str, ...],
    log_format: str | None,
    log_level: str | None,
    *,
    allow_superuser: bool | None,
    drain: bool,
    until_empty: bool,
    wait: bool,
) -> None:
    """Run the supervisor: it starts worker sessions, keeps timeouts, rescues, and logs every
    outcome.

    Any number may run at once. SIGTERM, SIGINT or SIGHUP end it at once; running jobs go on without
    it and write their own outcomes. With --drain the first signal waits for them, and the second
    ends it at once. It survives a server restart and a lost connection by itself.
    """
    settings = load_settings(
        dsn=dsn,
        owners=owners or None,
        supervisor_name=name,
        http=http,
        http_token_file=http_token_file,
        http_hosts=http_hosts or None,
        log_format=log_format,
        log_level=log_level,
        allow_superuser=allow_superuser,
    )
    database = resolve_dsn(settings, role="supervisor")
    sys.exit(_supervise(settings, database, drain=drain, until_empty=until_empty, wait=wait))


def _supervise(settings: Settings, dsn: str, *, drain: bool, until_empty: bool, wait: bool) -> int:
    # `run --help` needs neither the driver nor the logger
    from pyworker.log import open_log  # noqa: PLC0415
    from pyworker.supervisor.control import Options  # noqa: PLC0415
    from pyworker.supervisor.life import Life  # noqa: PLC0415
    from pyworker.supervisor.loop import Supervisor  # noqa: PLC0415
    from pyworker.supervisor.signals import WakeupPipe  # noqa: PLC0415

    name = settings.supervisor_name or f"{socket.gethostname()}:{os.getpid()}"
    log = open_log(sys.stdout, settings.log_format, settings.log_level, supervisor_name=name)
    wakeup = WakeupPipe()
    wakeup.install()
    options = Options(
        dsn=dsn,
        name=name,
        owners=settings.owners,
        owners_from=settings.source("owners"),
        drain=drain,
        until_empty=until_empty,
        wait=wait,
        linger=settings.session_linger,
        call_timeout=settings.stall_after,
        stuck_after=settings.stuck_after,
        vacuum_jobs=settings.vacuum_jobs,
        processors=settings.processors,
        allow_superuser=settings.allow_superuser,
    )
    try:
        with closing(Life(wakeup.poke)) as life, _http(settings, dsn, life, log):
            return Supervisor(options, log, wakeup, life).run()
    except PyworkerError as error:
        click.echo(f"pyworker: {error}", err=True)
        if isinstance(error, ConnectionFailed):
            return Exit.UNREACHABLE
        return Exit.SCHEMA if isinstance(error, SchemaError) else error.exit_code


@contextmanager
def _http(settings: Settings, dsn: str, life: "Life", log: "EventLog") -> Iterator[None]:
    """Serve HTTP meanwhile, where an address is given."""
    if settings.http is None:
        yield
        return
    from pyworker.http.address import listen, parse_address  # noqa: PLC0415

    address = parse_address(
        settings.http, settings.http_token_file, settings.http_hosts, settings.source("http")
    )
    try:
        from pyworker.http.server import HttpThread  # noqa: PLC0415  of an extra
    except ImportError as error:
        raise ConfigError(
            f'--http needs the package "{error.name}", which is not installed',
            detail="What serves HTTP is an extra of pyworker.",
            hint="pip install 'pyworker[http]', or leave --http out.",
        ) from error
    thread = HttpThread(address, listen(address), dsn, life, log)
    thread.start()
    try:
        yield
    finally:
        thread.stop()

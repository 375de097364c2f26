"""`pyworker server`: a private PostgreSQL with pg_background."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import click

from pyworker.config import load_settings
from pyworker.errors import PyworkerError
from pyworker.server import PrivateServer, ServerStatus
from pyworker.server.cluster import DATABASE, ROLES
from pyworker.server.control import StopMode
from pyworker.server.progress import console_progress

__all__ = ["server"]

_directory = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    metavar="D",
    help="The server's directory.  [env: PYWORKER_SERVER_DIR; default: /var/lib/pyworker/server "
    "as root, else pyworker/server in the XDG data directory]",
)
_role = click.option(
    "--role", metavar="ROLE", help=f"The role to connect as: {', '.join(ROLES)}, or one you made."
)
_database = click.option("--dbname", default=DATABASE, show_default=True, help="The database.")


def _server(directory: Path | None) -> PrivateServer:
    settings = load_settings(server_dir=directory)
    return PrivateServer(settings=settings)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
def server() -> None:
    """Run a private PostgreSQL with pg_background, fetched from Debian's archive, without touching
    the system.

    It lives in one directory, listens on a Unix socket only, and has an administrator (postgres)
    and two ordinary roles: app, for people and programs, and supervisor, for the daemon.
    """


@server.command()
@_directory
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Also listen on this TCP port of 127.0.0.1."
)
def start(directory: Path | None, port: int | None) -> None:
    """Start the server, fetching and creating what is missing, and print its DSN. Nothing changes
    if it runs.

    \b
    Exit codes: 0 it runs, 1 it does not (the message says why), 2 wrong setting.
    """
    private = _server(directory)
    with console_progress() as progress:
        private.start(progress, port)
    click.echo(private.dsn())


@server.command()
@_directory
@click.option(
    "--mode",
    type=click.Choice(["fast", "smart", "immediate"]),
    default="fast",
    show_default=True,
    help=(
        "fast: end sessions; smart: wait for them; immediate: as in a crash, the next "
        "start recovers."
    ),
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Seconds to wait.",
)
@click.option(
    "--drain",
    is_flag=True,
    help="Let no job begin, and wait, however long, for those that run; then stop.",
)
def stop(directory: Path | None, mode: StopMode, timeout: float, *, drain: bool) -> None:
    """Stop the server, and say how many jobs that cuts. Nothing happens if it does not run.

    A function job that is cut is undone and runs again after the next start, uncharged; a statement
    that runs outside a transaction may be in doubt then. With --drain none is cut: everything is
    paused and waited for, and the next start resumes it. An interrupt (^C) ends the waiting,
    resumes it too, and the server stays up.

    \b
    Exit codes: 0 it is stopped, 1 it still runs, 130 interrupted while it waited.
    """
    private = _server(directory)
    if drain:
        private.drain(_tell_waiting)
    elif mode != "smart":
        _tell_cut(private)
    if not private.stop(mode, timeout):
        click.echo("pyworker: the private server was not running", err=True)


def _tell_waiting(running: Mapping[str, tuple[int, ...]]) -> None:
    # with the driver, which takes 0.1 s to load
    from pyworker.server.jobs import describe  # noqa: PLC0415

    click.echo(f"pyworker: waiting for {describe(running)}", err=True)


def _tell_cut(private: PrivateServer) -> None:
    """Say what a stop cuts; a server that cannot be asked is stopped all the same."""
    import psycopg  # noqa: PLC0415

    from pyworker.server.jobs import describe  # noqa: PLC0415

    try:
        running = private.running_jobs()
    except (psycopg.Error, PyworkerError) as error:
        click.echo(
            f"pyworker: running jobs could not be counted: {str(error).splitlines()[0]}", err=True
        )
        return
    if running:
        click.echo(
            f"pyworker: this stop cuts {describe(running)}; --drain waits for them", err=True
        )


def _describe(status: ServerStatus) -> list[tuple[str, str]]:
    uptime = "" if status.uptime is None else f"{status.uptime:.0f} s"
    facts = {
        "state": status.state,
        "version": status.version,
        "suite": status.suite,
        "directory": status.dir,
        "pid": status.pid,
        "uptime": uptime,
        "socket": status.socket,
        "port": status.port,
        "log": status.log,
        "disk": f"{status.disk_bytes / 1_000_000:.0f} MB" if status.disk_bytes else "",
    }
    return [(name, str(value)) for name, value in facts.items() if value not in (None, "")]


@server.command()
@_directory
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(directory: Path | None, *, as_json: bool) -> None:
    """Show whether the server runs, and where.

    \b
    Exit codes: 0 running, 3 stopped, 4 absent.
    """
    now = _server(directory).status()
    if as_json:
        click.echo(json.dumps(now.as_json()))
    else:
        for name, value in _describe(now):
            click.echo(f"{name:<10} {value}")
    sys.exit(now.exit_code)


@server.command()
@_directory
@_role
@_database
@click.option("--tcp", is_flag=True, help="With the TCP port and the role's password.")
def dsn(directory: Path | None, role: str | None, dbname: str, *, tcp: bool) -> None:
    """Print the DSN of the running server, for the administrator unless --role says otherwise."""
    click.echo(_server(directory).dsn(role or "postgres", dbname, tcp=tcp))


@server.command(context_settings={"ignore_unknown_options": True})
@_directory
@_role
@_database
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(directory: Path | None, role: str | None, dbname: str, arguments: tuple[str, ...]) -> None:
    """Open the server's own psql, as role app unless --role says otherwise. Arguments after -- go
    to psql.
    """
    private = _server(directory)
    program = private.bin("psql")
    environment = private.environment(role or "app", dbname)
    sys.stdout.flush()
    # this process becomes psql
    os.execve(program, [str(program), *arguments], environment)  # noqa: S606  # nosec B606


@server.command()
@_directory
@click.option("--yes", is_flag=True, help="Do not ask.")
def destroy(directory: Path | None, *, yes: bool) -> None:
    """Stop the server and remove it with all its data. Nothing of it stays on disk.

    \b
    Exit codes: 0 it is gone, 1 it is not.
    """
    private = _server(directory)
    if private.status().state == "absent" and not private.dir.exists():
        click.echo(f"pyworker: no private server is in {private.dir}", err=True)
        return
    if not yes:
        if not sys.stdin.isatty():
            raise PyworkerError(
                "destroying needs a yes", hint="Use --yes where no person can be asked."
            )
        click.confirm(
            f"Remove the server in {private.dir} with all its data?", abort=True, err=True
        )
    private.destroy()

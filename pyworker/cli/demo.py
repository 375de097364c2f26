"""`pyworker demo`: real jobs on real data, on a private server, checked at the end."""

import signal
import sys
from pathlib import Path
from types import FrameType

import click

from pyworker.cli.options import dsn_option
from pyworker.config import load_settings

__all__ = ["demo"]


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@dsn_option(
    "An administrator's DSN of a server to use instead of the private one.  [env: PYWORKER_DSN]"
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path),
    metavar="D",
    help="The private server's directory.  [env: PYWORKER_SERVER_DIR]",
)
def demo(dsn: str | None, directory: Path | None) -> None:
    """Load 336,776 real flights, run every kind of job on them, show the views, and check each
    number.

    It starts the private server where it does not run yet, and stops it again; a server that runs
    goes on. Everything happens in a database of its own, pyworker_demo, made anew each time and
    kept afterwards, so that you can look.

    With --dsn or PYWORKER_DSN it uses that server: it makes the database pyworker_demo and two
    login roles there, pyworker_demo and pyworker_demo_supervisor, with a password that is new each
    time; pg_hba.conf must let them in.

    \b
    Exit codes: 0 everything is exactly right, 1 something is not, 2 wrong setting.
    """
    from pyworker.demo.run import run_demo  # noqa: PLC0415  `demo --help` needs none of it

    settings = load_settings(dsn=dsn, server_dir=directory)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    sys.exit(0 if run_demo(settings) else 1)

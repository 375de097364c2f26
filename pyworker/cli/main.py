"""The command line: `pyworker COMMAND`.

A command lives in a module of its own that is loaded only when it is used. To add one, write
`pyworker/cli/NAME.py` with a click command, and give it one line in `COMMANDS`. `bench` and
`torture` are commands of a checkout only.
"""

import importlib
import os
import sys
import threading
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any

import click

from pyworker import __version__
from pyworker.dsn import scrub
from pyworker.errors import PyworkerError

__all__ = ["CHECKOUT_COMMANDS", "COMMANDS", "main"]

#: command -> (module, attribute, one line of help). The order here is the order in `pyworker
#: --help`.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "server": ("pyworker.cli.server", "server", "A private PostgreSQL with pg_background."),
    "install": ("pyworker.cli.schema", "install", "Install the schema into the database."),
    "upgrade": ("pyworker.cli.schema", "upgrade", "Bring the schema to this version."),
    "uninstall": ("pyworker.cli.schema", "uninstall", "Remove the schema and everything in it."),
    "check": (
        "pyworker.cli.check",
        "check",
        "Say what is wrong with the installation and what corrects it.",
    ),
    "run": ("pyworker.cli.run", "run", "Run the supervisor daemon."),
    "healthcheck": (
        "pyworker.cli.healthcheck",
        "healthcheck",
        "Ask a supervisor over HTTP whether it is well.",
    ),
    "status": ("pyworker.cli.status", "status", "Show queues, running jobs and health."),
    "mark": ("pyworker.cli.mark", "mark", "Mark a deployment, to compare before and after."),
    "top": ("pyworker.cli.top", "top", "Watch what happens now, and act with keys."),
    "jobs": ("pyworker.cli.jobs", "jobs", "List jobs by state, queue, task and time."),
    "show": ("pyworker.cli.jobs", "show", "Show all about one job."),
    "explain": ("pyworker.cli.jobs", "explain", "Say why a job waits, or what it is at."),
    "cancel": ("pyworker.cli.control", "cancel", "Cancel jobs, by number or by filter."),
    "retry": ("pyworker.cli.control", "retry", "Run jobs again, by number or by filter."),
    "dismiss": ("pyworker.cli.control", "dismiss", "Take failures off the lists."),
    "import": (
        "pyworker.cli.move",
        "import_jobs",
        "Print another scheduler's jobs as schedules.",
    ),
    "demo": ("pyworker.cli.demo", "demo", "See it work, on a private server with real flights."),
}

#: The same, of what lies beside pyworker/ in a checkout and is not installed.
CHECKOUT_COMMANDS: dict[str, tuple[str, str, str]] = {
    "torture": (
        "tests.torture.cli",
        "torture",
        "Break things under load, and prove that nothing is lost.",
    ),
    "bench": ("bench.cli", "bench", "Measure every goal: speed, latency, idle cost, memory, disk."),
}


def _in_checkout(module: str) -> bool:
    """Tell whether the module's file is there. The name alone would not do: others call a package
    `tests`, too.
    """
    top = Path(__file__).resolve().parents[2]
    return top.joinpath(*module.split(".")).with_suffix(".py").is_file()


COMMANDS.update(
    {name: entry for name, entry in CHECKOUT_COMMANDS.items() if _in_checkout(entry[0])}
)

EXIT_CODES = """\b
Exit codes: 0 success, 1 failure, 2 wrong usage or setting, 130 interrupted;
`server status` adds 3 stopped and 4 absent."""


def _show_traceback(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> None:
    """Print a traceback as Python does, without the passwords that its messages may quote."""
    sys.stderr.write(scrub("".join(traceback.format_exception(kind, error, trace))))


def _show_thread_traceback(failed: threading.ExceptHookArgs) -> None:
    if failed.exc_type is not SystemExit:
        _show_traceback(failed.exc_type, failed.exc_value, failed.exc_traceback)


class LazyGroup(click.Group):
    """A group that imports a command's module only when that command runs, and prints our errors in
    one form.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """List the commands in the registry's order."""
        return list(COMMANDS)

    # click's signature
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import one command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, attribute, _help = entry
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)  # noqa: S101  the registry is ours
        return command

    # click's
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands for --help without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, text) for name, (_module, _attribute, text) in COMMANDS.items()]
            )

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run as a program of its own; a caller that gives arguments keeps the hooks and the
        umask.
        """
        if not args and extra.get("args") is None:
            os.umask(os.umask(0o077) | 0o022)  # what we make, no other user writes
            sys.excepthook = _show_traceback
            threading.excepthook = _show_thread_traceback
        return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; an error of ours becomes a message and an exit code."""
        try:
            return super().invoke(ctx)
        except PyworkerError as error:
            click.echo(f"pyworker: {error}", err=True)
            ctx.exit(error.exit_code)
        except (
            click.UsageError
        ) as error:  # it quotes what was typed, a DSN without its --dsn for example
            if scrub(error.message) == error.message:
                raise
            raise click.UsageError(scrub(error.message), error.ctx) from None
        except BrokenPipeError:  # `pyworker ... | head`
            sys.stderr.close()
            # What could not be written is still in the buffer, and the interpreter's own end must
            # not fail on it.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            ctx.exit(1)
        except OSError as error:
            click.echo(f"pyworker: {scrub(str(error))}", err=True)
            ctx.exit(1)
        except KeyboardInterrupt:
            click.echo("pyworker: interrupted", err=True)
            ctx.exit(130)


CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 120}


@click.group(cls=LazyGroup, epilog=EXIT_CODES, context_settings=CONTEXT)
@click.version_option(__version__, prog_name="pyworker")
def main() -> None:
    """Jobs that run inside PostgreSQL: exactly once, watched, timed out and logged.

    Settings come from flags, then PYWORKER_* variables, then a TOML file (PYWORKER_CONFIG,
    ./pyworker.toml or pyworker/config.toml in the XDG configuration directory).
    """

"""`pyworker bench`."""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from pyworker.config import load_settings
from pyworker.errors import ConfigError
from pyworker.server import PrivateServer

if TYPE_CHECKING:
    from bench.measurement import Measurement
    from bench.size import Size

__all__ = ["bench"]

_WIDTH = 160  # columns, where the terminal has fewer or there is none


@click.command()
@click.option(
    "--quick", is_flag=True, help="The main goals with smaller numbers: done within three minutes."
)
@click.option(
    "--tiny",
    is_flag=True,
    help="Every measurement with next to no jobs: shows that it runs, and no more.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Measure this, or what this goal needs, or with --peers this peer; may be repeated.",
)
@click.option(
    "--peers", is_flag=True,
    help="Compare pyworker as shipped with other job systems (`make bench PEERS=1` installs them);"
    " on a server beside the private one.",
)  # fmt: skip
@click.option(
    "--markdown", "markdown_file", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the table of systems there too; into a page with its marks, between them.",
)  # fmt: skip
@click.option(
    "--list", "listing", is_flag=True, help="List the measurements with their goals, and leave."
)
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path),
    help="Write the figures there; default: bench.json in the private server's directory.",
)  # fmt: skip
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Draw plots into this directory.",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="The private server's directory.",
)
def bench(
    only: tuple[str, ...], json_file: Path | None, markdown_file: Path | None, plots: Path | None,
    directory: Path | None, *, quick: bool, tiny: bool, peers: bool, listing: bool,
) -> None:  # fmt: skip
    """Measure every goal on the private server, as ratios taken in one run.

    Prints one table, then a line for each goal: met, missed, or not measured at this size. The full
    size takes hours. Starts the private server when it does not run, and then stops it at the end.
    Uses databases of its own, `pyworker_bench_...`, and drops them.
    """
    from bench.run import choose  # noqa: PLC0415
    from bench.size import FULL, QUICK, TINY  # noqa: PLC0415  `--help` needs none of it

    if quick and tiny:
        raise ConfigError("--quick and --tiny are two sizes", hint="Choose one.")
    if listing:
        _list()
        return
    size = TINY if tiny else QUICK if quick else FULL
    chosen = _compared(only) if peers else choose(size, only)
    if peers:
        size = replace(size, seconds=float("inf"))  # a comparison is whole, or none
    if plots is not None:
        from bench.plots import require_plotting  # noqa: PLC0415

        require_plotting()
    if size is QUICK:
        _refuse_long([one.name for one in chosen if not one.quick])
    server = PrivateServer(directory, settings=load_settings())
    with _apart(server) if peers else _running(server) as place:
        output = _Output(
            json=json_file or server.dir / ("peers.json" if peers else "bench.json"),
            markdown=markdown_file,
            plots=plots,
        )
        failed = _run(place, size, chosen, output, peers=peers)
    sys.exit(1 if failed else 0)


@dataclass(frozen=True, kw_only=True)
class _Output:
    """Where the figures go."""

    json: Path
    markdown: Path | None
    plots: Path | None


@contextmanager
def _running(server: PrivateServer) -> Iterator[PrivateServer]:
    """Start the server where it does not run, and then stop it at the end."""
    ran = server.status().state == "running"
    if not ran:
        server.start()
    try:
        yield server
    finally:
        if not ran:
            server.stop()


def _apart(server: PrivateServer) -> AbstractContextManager[PrivateServer]:
    from bench.peers.place import own_server  # noqa: PLC0415

    return own_server(server)


def _compared(names: Sequence[str]) -> list["Measurement"]:
    """List what tells the goals of the comparison."""
    import bench.measurements  # noqa: F401, PLC0415  it fills the register
    from bench.measurement import MEASUREMENTS  # noqa: PLC0415
    from bench.peers.comparison import comparison  # noqa: PLC0415
    from bench.peers.systems import SYSTEMS  # noqa: PLC0415

    unknown = sorted(set(names) - {one.name for one in SYSTEMS.values() if not one.ours})
    if unknown:
        known = ", ".join(one.name for one in SYSTEMS.values() if not one.ours)
        raise ConfigError(f'there is no peer "{unknown[0]}"', hint=f"The peers are {known}.")
    return [comparison(names), MEASUREMENTS["writers"], MEASUREMENTS["cold"]]


def _readable(path: str, flags: int) -> int:
    """Open a file that others may read and no other user may write, whatever the umask."""
    return os.open(path, flags, 0o644)


def _list() -> None:
    import bench.measurements  # noqa: F401, PLC0415  it fills the register
    from bench.goals import GOALS  # noqa: PLC0415
    from bench.measurement import MEASUREMENTS  # noqa: PLC0415

    for one in MEASUREMENTS.values():
        goals = " ".join(goal.name for goal in GOALS.values() if goal.measurement == one.name)
        click.echo(f"{one.name:<10} {one.summary}\n{'':<10}   goals: {goals}")


def _refuse_long(names: Sequence[str]) -> None:
    if names:
        raise ConfigError(
            f"{', '.join(names)}: not at the quick size",
            hint="Leave --quick out; it takes its time.",
        )


def _run(
    server: PrivateServer,
    size: "Size",
    chosen: Sequence["Measurement"],
    output: _Output,
    *,
    peers: bool,
) -> bool:
    """Measure, print, write; returns whether a measurement failed."""
    from bench import grid, report  # noqa: PLC0415
    from bench.goals import GOALS  # noqa: PLC0415
    from bench.peers.goals import PEER_GOALS  # noqa: PLC0415
    from bench.run import Run, measure  # noqa: PLC0415

    console = Console(stderr=True, highlight=False, soft_wrap=True)

    def keep(run: Run) -> None:
        with open(output.json, "w", encoding="utf-8", opener=_readable) as file:
            file.write(json.dumps(report.as_json(run), indent=1) + "\n")

    run = measure(
        server,
        size,
        chosen,
        lambda text: console.print(text, style="dim", markup=False),
        keep,
        PEER_GOALS if peers else GOALS,
    )
    wide = Console(width=max(console.width, _WIDTH))
    wide.print(report.render(run))
    systems = grid.table(run)
    if systems is not None:
        wide.print(systems)
        if output.markdown is not None:
            grid.write(run, output.markdown)
    if output.plots is not None:
        from bench.plots import draw  # noqa: PLC0415

        for file in draw(run.curves, output.plots):
            click.echo(f"plot {file}")
    click.echo(f"figures {output.json}")
    for line in report.goal_lines(run):
        click.echo(line)
    return bool(run.failures)

"""`pyworker bench`."""

import json
from pathlib import Path

import click
from rich.console import Console

from pyworker.bench import measure, render
from pyworker.bench.report import summary
from pyworker.config import load_settings
from pyworker.server import PrivateServer

__all__ = ["bench"]


@click.command()
@click.option("--quick", is_flag=True, help="Fewer jobs and seconds: done in about a minute.")
@click.option(
    "--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the figures there."
)
@click.option(
    "--dir", "directory", type=click.Path(file_okay=False, path_type=Path), help="The private server's directory."
)
def bench(quick: bool, json_file: Path | None, directory: Path | None) -> None:  # noqa: FBT001  click's signature
    """Measure jobs per second and latency on the private server, as ratios taken in one run.

    Starts the private server when it does not run, and then stops it at the end. Uses a database of its own,
    `pyworker_bench`, and drops it.
    """
    server = PrivateServer(directory, settings=load_settings())
    ran = server.status().state == "running"
    if not ran:
        server.start()
    console = Console(stderr=True)
    try:
        figures = measure(server, quick=quick, say=lambda text: console.print(f"[dim]{text}[/dim]"))
    finally:
        if not ran:
            server.stop()
    Console(width=max(console.width, 130)).print(render(figures))
    if json_file:
        json_file.write_text(json.dumps(summary(figures), indent=2) + "\n")

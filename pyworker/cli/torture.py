"""`pyworker torture`."""

import shutil
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

__all__ = ["torture"]


@click.command()
@click.option("--seed", type=int, help="Draw the faults from this number; default: a fresh one, which is printed.")
@click.option("--seconds", type=click.IntRange(min=1), default=60, show_default=True, help="Time for all scenarios.")
@click.option("--scenario", "scenarios", multiple=True, metavar="NAME", help="Run this one; may be repeated.")
@click.option("--list", "listing", is_flag=True, help="List the scenarios and leave.")
@click.option(
    "--dir", "directory", type=click.Path(file_okay=False, path_type=Path),
    help="Where its server and its logs live; default: a temporary directory.",
)  # fmt: skip
def torture(
    seed: int | None, seconds: int, scenarios: tuple[str, ...], listing: bool, directory: Path | None  # noqa: FBT001
) -> None:  # fmt: skip
    """Break things under load on a server of its own, and prove that nothing was lost, done twice or stuck.

    The same seed gives the same plan of faults. Leaves with 0 only when nothing was violated; otherwise it keeps its
    logs and says how to see it again. The server is made at the start and destroyed at the end.
    """
    from pyworker.torture import report  # noqa: PLC0415  `--help` needs none of it
    from pyworker.torture.run import torture as run  # noqa: PLC0415
    from pyworker.torture.scenario import SCENARIOS  # noqa: PLC0415
    from pyworker.torture.server import fresh_seed  # noqa: PLC0415

    if listing:
        for name, scenario in sorted(SCENARIOS.items()):
            click.echo(f"{name:<28} {scenario.summary}")
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    seed = fresh_seed() if seed is None else seed
    top = directory or Path(tempfile.mkdtemp(prefix="pw-torture-"))
    top.mkdir(parents=True, exist_ok=True)
    top.chmod(0o755)  # the server's user gets in
    findings = run(seed, seconds, scenarios, top, lambda text: console.print(text, markup=False))
    Console(width=100).print(report.render(findings, seed))
    failed = [one for one in findings if one.violations]
    for one in failed:
        for violation in one.violations:
            click.echo(f"{one.name}: {violation.invariant}: {violation.message}")
        click.echo(f"{report.replay(one, seed)}   logs: {one.kept}")
    click.echo(report.closing_line(findings))
    if not failed and directory is None:
        shutil.rmtree(top, ignore_errors=True)
    sys.exit(1 if failed else 0)

"""`pyworker torture`."""

import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console

from pyworker.errors import ConfigError

__all__ = ["torture"]


@click.command()
@click.option(
    "--seed",
    type=int,
    help="Draw the faults from this number; default: a fresh one, which is printed.",
)
@click.option(
    "--seconds",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="Time for all scenarios.",
)
@click.option(
    "--scenario", "scenarios", multiple=True, metavar="NAME", help="Run this one; may be repeated."
)
@click.option(
    "--list",
    "listing",
    is_flag=True,
    help="List the scenarios, or with --mutants the mutants, and leave.",
)
@click.option(
    "--mutants",
    is_flag=True,
    help="Plant bugs, one at a time, and show that the checker sees each; SEED is not asked.",
)
@click.option(
    "--mutant", "names", multiple=True, metavar="NAME", help="Plant this one only; may be repeated."
)
@click.option(
    "--dir", "directory", type=click.Path(file_okay=False, path_type=Path),
    help="Where its server and its logs live; default: a temporary directory.",
)  # fmt: skip
def torture(
    seed: int | None, seconds: int, scenarios: tuple[str, ...], names: tuple[str, ...],
    directory: Path | None, *, listing: bool, mutants: bool,
) -> None:  # fmt: skip
    """Break things under load on a server of its own, and prove that nothing was lost,
    done twice or stuck.

    The same seed gives the same plan of faults. Leaves with 0 only when nothing was violated;
    otherwise it keeps its logs and says how to see it again.
    The server is made at the start and destroyed at the end.
    """
    mutants = mutants or bool(names)
    if listing:
        _list(mutants=mutants)
        return
    _refuse_unknown(scenarios, names)
    top = directory or Path(tempfile.mkdtemp(prefix="pw-torture-"))
    top.mkdir(parents=True, exist_ok=True)
    top.chmod(0o755)  # the server's user gets in
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its server goes as well
    right = _mutants(names, top) if mutants else _scenarios(seed, seconds, scenarios, top)
    if right and directory is None:
        shutil.rmtree(top, ignore_errors=True)
    sys.exit(0 if right else 1)


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def _list(*, mutants: bool) -> None:
    import tests.torture.scenarios  # noqa: F401
    from tests.torture.mutants import MUTANTS
    from tests.torture.scenario import SCENARIOS

    if mutants:
        for mutant in MUTANTS.values():
            click.echo(f"{mutant.name:<28} {mutant.summary}; {mutant.scenario}")
    else:
        for name, scenario in sorted(SCENARIOS.items()):
            click.echo(f"{name:<28} {scenario.summary}")


def _refuse_unknown(scenarios: Sequence[str], mutants: Sequence[str]) -> None:
    import tests.torture.scenarios  # noqa: F401  `--help` needs none of it
    from tests.torture.mutants import MUTANTS
    from tests.torture.scenario import SCENARIOS

    for kind, given, known in (
        ("scenario", scenarios, sorted(SCENARIOS)),
        ("mutant", mutants, list(MUTANTS)),
    ):
        for name in given:
            if name not in known:
                raise ConfigError(
                    f'there is no {kind} "{name}"',
                    hint=f"{kind.capitalize()}s: {', '.join(known)}.",
                )


def _scenarios(seed: int | None, seconds: int, names: Sequence[str], top: Path) -> bool:
    from tests.torture import report
    from tests.torture.run import torture as run
    from tests.torture.server import fresh_seed

    seed = fresh_seed() if seed is None else seed
    findings = run(seed, seconds, names, top, _say)
    Console(width=100).print(report.render(findings, seed))
    failed = [one for one in findings if one.violations]
    for one in failed:
        for violation in one.violations:
            click.echo(f"{one.name}: {violation.invariant}: {violation.message}")
        click.echo(f"{report.replay(one, seed)}   logs: {one.kept}")
    click.echo(report.closing_line(findings))
    return not failed


def _mutants(names: Sequence[str], top: Path) -> bool:
    from tests.torture.mutants import hunt, render, verdict_line

    verdicts = hunt(names, top, _say)
    Console(width=110).print(render(verdicts))
    for one in verdicts:
        if not one.right:
            for violation in one.finding.violations:
                click.echo(f"{one.scenario}: {violation.invariant}: {violation.message}")
            click.echo(
                f"{one.mutant.name if one.mutant else 'control'}: logs:"
                f" {one.finding.kept or 'none'}"
            )
    click.echo(verdict_line(verdicts))
    return all(one.right for one in verdicts)

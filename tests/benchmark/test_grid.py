"""The table of systems, as a page shows it."""

from pathlib import Path

from bench import grid
from bench.figures import Figure
from bench.peers.goals import PEER_GOALS
from bench.run import Run


def cell(name: str, column: str, unit: str, *values: float) -> Figure:
    return Figure(text=name, column=column, unit=unit, values=values)


RUN = Run(
    size="quick",
    goals={name: PEER_GOALS[name] for name in ("peers_wal", "writers")},
    figures={
        "peers": [
            cell("ours 1", "drain", "jobs/s", 10_000, 12_000, 11_000),
            cell("ours 1", "start p50", "ms", 4, 4, 5),
            cell("ours, a variant 1", "drain", "jobs/s", 99_000, 99_000, 99_000),
            cell("faster 2", "drain", "jobs/s", 20_000, 20_000, 20_000),
            cell("faster 2", "start p50", "ms", 6, 6, 6),
            cell("nimbler 3", "drain", "jobs/s", 9_000, 9_000, 9_000),
            cell("nimbler 3", "start p50", "ms", 3, 3, 3),
            cell("floor 4", "drain", "jobs/s", 70_000, 70_000, 70_000),
        ],
        "writers": [Figure(text="", unit="tps", values=(6,), rivals=(10,), goals=("writers",))],
    },
)


def test_each_system_has_a_row_with_the_spread_of_its_runs() -> None:
    lines = grid.markdown(RUN).splitlines()

    assert "| | drain, jobs/s | start p50, ms |" in lines
    assert "| ours 1 | 11,000 (10,000 to 12,000) | 4.0 (4.0 to 5.0) |" in lines
    assert "| floor 4 | 70,000 (70,000 to 70,000) |  |" in lines
    assert "| peers_wal | not measured: a system is missing |" in lines
    assert "| writers | 0.60 (goal >= 0.55) met |" in lines
    assert "`make bench PEERS=1 QUICK=1`" in lines[0] + lines[1]


def test_where_another_is_better_is_said_of_rates_and_of_times() -> None:
    text = " ".join(grid.markdown(RUN).split())

    assert (
        "Better than ours 1: - drain: faster 2 (20,000 jobs/s), floor 4 (70,000 jobs/s);"
        " ours 11,000 jobs/s"
    ) in text
    assert "- start p50: nimbler 3 (3.0 ms); ours 4.0 ms" in text


def test_a_page_keeps_what_stands_around_its_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{grid.BEGIN}\nold\n{grid.END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        grid.write(RUN, page)
    text = page.read_text(encoding="utf-8")

    assert text.startswith(f"before\n{grid.BEGIN}\n\n")
    assert text.endswith(f"\n{grid.END}\nafter\n")
    assert text.count("| ours 1 | 11,000") == 1
    assert "old" not in text


def test_a_run_without_systems_has_no_table() -> None:
    assert grid.table(Run(size="full")) is None

"""The plots are drawn."""

from pathlib import Path

import pytest

from bench.figures import Curve

pytest.importorskip("matplotlib")


def test_each_kind_of_curve_gives_a_file(tmp_path: Path) -> None:
    from bench.plots import draw

    curves = [
        Curve(plot=name, label="a", points=((1.0, 2.0), (3.0, 4.0)))
        for name in ("latency", "backlog", "snapshot")
    ]
    files = draw(
        [*curves, Curve(plot="latency", label="b", points=((2.0, 0.5),))], tmp_path / "plots"
    )

    assert {file.name for file in files} == {"latency.png", "backlog.png", "snapshot.png"}
    assert all(file.read_bytes().startswith(b"\x89PNG") for file in files)

"""Percentiles, ratios and the lines that say whether a goal is met."""

import pytest

from bench import measurements  # noqa: F401  it fills the register
from bench.figures import Figure, percentile
from bench.goals import GOALS, in_unit, verdicts
from bench.measurement import MEASUREMENTS
from bench.run import choose
from bench.size import FULL, QUICK, TINY
from pyworker.errors import ConfigError


@pytest.mark.parametrize(
    ("percent", "expected"), [(0, 1), (1, 1), (50, 50), (99, 99), (99.5, 100), (100, 100)]
)  # fmt: skip
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(
    percent: float, expected: float
) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == expected


def test_a_percentile_of_few_values_is_one_of_them() -> None:
    assert percentile([3.0], 99) == 3.0
    assert percentile([1.0, 2.0], 50) == 1.0
    assert percentile([1.0, 2.0, 3.0], 99) == 3.0


def test_a_ratio_is_the_median_of_the_runs_ratios() -> None:
    figure = Figure(text="", unit="jobs/s", values=(10, 30, 20), rivals=(10, 10, 40))

    assert figure.ratios == (1.0, 3.0, 0.5)
    assert figure.ratio == 1.0
    assert figure.value == 20


def test_of_times_the_ratio_is_turned_round() -> None:
    figure = Figure(text="", unit="ms", values=(4.0,), rivals=(2.0,), inverse=True)

    assert figure.ratio == 0.5


def test_a_figure_without_a_rival_has_no_ratio() -> None:
    assert Figure(text="", unit="ms", values=(4.0,)).ratio is None


def line(goal: str, figure: Figure) -> str:
    (found,) = [text for text in verdicts({goal: figure}, {}) if text.startswith(f"goal {goal}:")]
    return found


def test_a_goal_line_says_figure_goal_and_verdict() -> None:
    figure = Figure(
        text="", unit="jobs/s", values=(14_582.4, 1.0, 30_000.0), rivals=(25_000, 2, 50_000)
    )

    assert line("drain", figure) == "goal drain: 14,582 jobs/s (goal >= 20,000 jobs/s) missed"
    assert line("drain_ratio", figure) == "goal drain_ratio: 0.58 (goal >= 0.50) met"


def test_the_limit_itself_is_good_enough() -> None:
    assert line("cold_p50", Figure(text="", unit="ms", values=(20.0,))).endswith(
        "20.0 ms (goal <= 20.0 ms) met"
    )
    assert (
        line("idle_cpu", Figure(text="", unit="%", values=(0.21,)))
        == "goal idle_cpu: 0.21 % (goal <= 0.20 %) missed"
    )


def test_the_whole_counts_where_there_is_one() -> None:
    assert line("warm_p99", Figure(text="", unit="ms", values=(1, 1, 1), whole=16.0)).endswith(
        "missed"
    )


def test_what_was_not_measured_or_failed_is_said() -> None:
    lines = verdicts({}, {"idle": "no server"})

    assert "goal idle_cpu: failed: no server" in lines
    assert "goal drain: not measured at this size" in lines
    assert len(lines) == len(GOALS)


def test_every_goal_has_a_part() -> None:
    assert {goal.measurement for goal in GOALS.values()} == set(MEASUREMENTS)


def test_the_quick_form_leaves_out_what_takes_long() -> None:
    assert {one.name for one in choose(QUICK, [])} == {
        one.name for one in MEASUREMENTS.values() if one.quick
    }
    assert (
        [one.name for one in choose(FULL, [])]
        == [one.name for one in choose(TINY, [])]
        == list(MEASUREMENTS)
    )


def test_one_measurement_goes_by_its_name_or_by_a_goal() -> None:
    assert [one.name for one in choose(FULL, ["worker_lanes_memory", "idle"])] == ["idle", "lanes"]
    with pytest.raises(ConfigError, match='no measurement "nonsense"'):
        choose(FULL, ["nonsense"])


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (14582.4, "jobs/s", "14,582 jobs/s"),
        (0.534, "ratio", "0.53"),
        (12.34, "ms", "12.3 ms"),
        (0.2, "%", "0.20 %"),
    ],
)
def test_a_figure_is_written_with_its_unit(value: float, unit: str, expected: str) -> None:
    assert in_unit(value, unit) == expected

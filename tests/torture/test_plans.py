"""A seed draws the same faults again, and another one draws others."""

import pytest

import tests.torture.scenarios  # noqa: F401
from pyworker.errors import ConfigError
from tests.torture.run import OVERHEAD, choose
from tests.torture.scenario import SCENARIOS, draw_plan


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_the_same_seed_gives_the_same_plan(name: str) -> None:
    plan = draw_plan(7, name, 20)
    assert plan == draw_plan(7, name, 20)
    assert [fault.at for fault in plan] == sorted(fault.at for fault in plan)
    assert all(0 <= fault.at <= 20 for fault in plan)


def test_another_seed_gives_another_plan() -> None:
    assert draw_plan(1, "supervisor_killed", 20) != draw_plan(2, "supervisor_killed", 20)


def test_the_shares_of_a_run_fit_into_its_time() -> None:
    for seed in range(20):
        shares = choose(seed, 60)
        assert shares == choose(seed, 60)
        assert len({share.name for share in shares}) == len(shares)
        assert sum(share.seconds + OVERHEAD for share in shares) <= 60
        assert all(share.seconds >= SCENARIOS[share.name].minimum for share in shares)


def test_a_failing_scenario_alone_gets_the_same_share_again() -> None:
    for share in choose(3, 90):
        (alone,) = choose(3, share.seconds + OVERHEAD, [share.name])
        assert alone == share


def test_what_is_named_is_run() -> None:
    assert {share.name for share in choose(1, 1, ["calm", "supervisor_killed"])} == {
        "calm",
        "supervisor_killed",
    }
    with pytest.raises(ConfigError, match="no scenario"):
        choose(1, 60, ["unheard_of"])

"""How long steps take: found though most deals are still open, slow campaigns told from poor ones."""

from __future__ import annotations

import numpy as np
import pytest

from adctl.domain.policies.bayes.delays import BINS, default_delays, fit_delays, log_bin
from adctl.domain.policies.bayes.funnel import funnel_of
from adctl.domain.policies.protocol import AdHistory
from tests.domain.policies.bayes.stories import NAN, Deal, Story, told


def steps(median: float, *, chance: float = 0.5, deals: int, campaign: int, seed: int, seen: float = 25.0) -> Story:
    """An ad whose deals qualify, and half of them win, each after lognormal delays of that median."""
    rng = np.random.Generator(np.random.PCG64(seed))
    made = []
    for came in rng.uniform(0, seen, deals):
        left = came - median * np.exp(0.8 * rng.standard_normal())
        end = left - median * np.exp(0.8 * rng.standard_normal())
        will = rng.random() < chance and left > 0
        wins = will and rng.random() < 0.5 and end > 0
        made.append(Deal(came=came, qualified=left if will else NAN, won=end if wins else NAN))
    return Story(ad_id=f"ad{seed:03}", campaign=campaign, days=int(seen), deals=tuple(made))


def shifts(history: AdHistory, campaigns: int, least: int = 30) -> list[float]:
    return list(fit_delays(funnel_of(history), history.campaign, campaigns, least).shift)


def test_median_and_spread_are_found_while_half_of_the_deals_are_open() -> None:
    history = told(*(steps(6.0, deals=150, campaign=0, seed=seed) for seed in range(12)))

    found = fit_delays(funnel_of(history), history.campaign, 1, 30)

    assert np.exp(found.log_median[0]) == pytest.approx(6.0, rel=0.15)
    assert found.spread[0] == pytest.approx(0.8, rel=0.2)
    assert found.progress[0] == pytest.approx(0.5, rel=0.15)


def test_a_slow_campaign_is_told_from_a_fast_one_and_not_taken_for_a_poor_one() -> None:
    fast = [steps(2.5, deals=120, campaign=0, seed=seed) for seed in range(4)]
    slow = [steps(7.0, deals=120, campaign=1, seed=seed) for seed in range(4, 8)]
    poor = [steps(2.5, chance=0.15, deals=240, campaign=2, seed=seed) for seed in range(8, 12)]

    first, second, third = shifts(told(*fast, *slow, *poor), 3)

    assert second - first == pytest.approx(np.log(7.0 / 2.5), abs=0.35)
    assert third - first == pytest.approx(0.0, abs=0.3)


def test_too_few_transitions_shift_nothing() -> None:
    many = [steps(2.5, deals=120, campaign=0, seed=seed) for seed in range(4)]
    few = steps(12.0, deals=12, campaign=1, seed=9)

    assert shifts(told(*many, few), 2)[1] == pytest.approx(0.0, abs=1e-9)


def test_without_deals_the_priors_stand() -> None:
    found = fit_delays(funnel_of(told(Story())), np.zeros(1, dtype=np.int64), 1, 30)

    assert np.exp(found.log_median).tolist() == pytest.approx(np.exp(default_delays(2, 1).log_median).tolist())
    assert found.shift.tolist() == [0.0]
    assert found.shift_of(np.array([0, 5])).tolist() == [0.0, 0.0]


def test_days_shorter_and_longer_than_all_bins_fall_in_the_first_and_last() -> None:
    assert log_bin(np.array([0.0, 0.05, 1e6])).tolist() == [0, 0, BINS - 1]

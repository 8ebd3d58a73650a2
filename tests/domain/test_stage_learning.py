"""Stage values learned from deals: they cover the truth of a simulated world, and wait for enough won deals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adctl.domain.policies.protocol import AdHistory
from adctl.domain.simulation.market import Market
from adctl.domain.simulation.runs import prepare
from adctl.domain.simulation.worlds import world_named
from adctl.domain.stage_learning import LEAST_WON, LearnedStage, learn_stages

# Every ad alike, so that the world's own numbers are the truth.
ALIKE = replace(world_named("base"), quality_sd=0.0, value_ad_sd=0.0, shock_sd=0.0, wear=1e9)
SEEDS = range(40, 52)
DAYS = 28


def grown(seed: int, *, days: int = DAYS, marked: float = ALIKE.marked_lost) -> AdHistory:
    """A world after some days of even spending: half of its deals are still open."""
    market = Market(prepare(replace(ALIKE, marked_lost=marked), seed=seed, days=days), account="a")
    budget = np.full(ALIKE.ads, ALIKE.daily_budget // ALIKE.ads, dtype=np.int64)
    for _ in range(days):
        market.deliver(np.where(market.truth.start <= market.day, budget, 0))
    return market.history(budget, np.ones(ALIKE.ads, dtype=np.bool_))


def learned(history: AdHistory) -> tuple[LearnedStage, ...]:
    age = history.deal_entered[:, 0]
    return learn_stages(history.stages, history.deal_entered, history.deal_lost, age, history.deal_cash, 100)


def truth() -> list[float]:
    """The expected value of a deal that comes to each stage, minor units."""
    chances = np.append(np.cumprod(ALIKE.progress[::-1])[::-1], 1.0)
    return [float(chance) * ALIKE.deal_value for chance in chances]


def test_nine_of_ten_intervals_hold_the_truth_while_half_of_the_deals_are_open() -> None:
    inside, ratios = [], []
    for seed in SEEDS:
        found = learned(grown(seed))
        assert [one.stage for one in found] == ["lead", "qualified", "proposal", "won"]
        for one, true in zip(found, truth(), strict=True):
            inside.append(one.low <= true <= one.high)
            ratios.append(one.value / true)
            assert one.low < one.value < one.high < 4 * one.low
    assert np.mean(inside) >= 0.8
    assert np.mean(ratios) == pytest.approx(1.0, abs=0.12)


def test_counting_open_deals_as_lost_would_have_missed_it() -> None:
    history = grown(40)
    won = np.isfinite(history.deal_entered[:, -1])
    naive = history.deal_cash.sum() / len(won)
    assert naive < 0.75 * truth()[0]
    assert learned(history)[0].low > naive


def test_deals_that_are_never_marked_lost_count_by_the_time_they_have_had() -> None:
    found = learned(grown(41, days=70, marked=0.0))
    assert found[0].value == pytest.approx(truth()[0], rel=0.35)


def test_too_few_won_deals_teach_nothing() -> None:
    history = grown(42)
    cash = history.deal_cash.copy()
    cash[np.flatnonzero(cash)[LEAST_WON - 1 :]] = 0
    age = history.deal_entered[:, 0]
    assert learn_stages(history.stages, history.deal_entered, history.deal_lost, age, cash, 100) == ()
    empty = np.empty((0, 4))
    nothing = np.zeros(0, dtype=np.int64)
    assert learn_stages(history.stages, empty, np.empty(0), np.empty(0), nothing, 100) == ()


def test_a_step_fewer_to_go_is_worth_more() -> None:
    values = [one.value for one in learned(grown(43))]
    assert values == sorted(values)


def test_one_amount_beyond_all_others_makes_no_deal_worth_more_than_it() -> None:
    entered = np.full((6, 1), 3.0)
    cash = np.array([100, 110, 90, 105, 95, 10**13])
    (won,) = learn_stages(("won",), entered, np.full(6, np.nan), np.full(6, 4.0), cash, 100)
    assert won.value <= 10**13

"""The winner rule: enough mature money, a high probability to get in, a low one to fall out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from adctl.domain.winners import (
    CreativeRecord,
    RoasPrior,
    WinnerRule,
    WinnerState,
    judge,
    probability_above_target,
)

RULE = WinnerRule(target_roas=3.0, target_cost_per_win=50_00, minimum_spend=100_00)
RICH = CreativeRecord(impressions=20_000, clicks=400, spend=400_00, wins=12, value=2400_00, matured=True)
PRIOR = RoasPrior(wins=2.0, spend=200_00, win_value=200_00, value_weight=5, value_variation=0.0)


@pytest.mark.parametrize(
    ("previous", "probability", "state"),
    [
        (WinnerState.NONE, 0.90, WinnerState.WINNER),
        (WinnerState.NONE, 0.8999, WinnerState.NONE),
        (WinnerState.PROMISING, 0.95, WinnerState.WINNER),
        (WinnerState.WINNER, 0.60, WinnerState.WINNER),
        (WinnerState.WINNER, 0.5999, WinnerState.DEMOTED),
        (WinnerState.DEMOTED, 0.8999, WinnerState.DEMOTED),
        (WinnerState.DEMOTED, 0.90, WinnerState.WINNER),
    ],
)
def test_the_bar_to_get_in_is_higher_than_the_bar_to_stay(
    previous: WinnerState, probability: float, state: WinnerState
) -> None:
    assert judge(RULE, RICH, probability, previous).state is state


@pytest.mark.parametrize("state", list(WinnerState))
@pytest.mark.parametrize("probability", [0.1, 0.6, 0.75, 0.9, 0.99])
def test_judging_twice_changes_nothing(state: WinnerState, probability: float) -> None:
    once = judge(RULE, RICH, probability, state)

    assert judge(RULE, RICH, probability, once.state).state is once.state


def test_a_winner_needs_three_target_costs_of_spend() -> None:
    assert judge(RULE, replace(RICH, spend=150_00), 0.99, WinnerState.NONE).state is WinnerState.WINNER
    verdict = judge(RULE, replace(RICH, spend=149_99), 0.99, WinnerState.NONE)

    assert verdict.state is WinnerState.NONE
    assert verdict.reason == "spend 14999 of 15000 minor units needed"


def test_the_floor_holds_where_wins_are_cheap() -> None:
    cheap = replace(RULE, target_cost_per_win=1_00)

    assert judge(cheap, replace(RICH, spend=99_99), 0.99, WinnerState.NONE).state is WinnerState.NONE
    assert judge(cheap, replace(RICH, spend=100_00), 0.99, WinnerState.NONE).state is WinnerState.WINNER


def test_a_record_inside_the_attribution_lag_cannot_win() -> None:
    verdict = judge(RULE, replace(RICH, matured=False), 0.99, WinnerState.NONE)

    assert verdict.state is WinnerState.NONE
    assert "attribution lag" in verdict.reason


def test_clicks_make_an_ad_promising_at_most() -> None:
    clicked = replace(RICH, spend=40_00, impressions=1000, clicks=30)

    assert judge(RULE, clicked, 0.99, WinnerState.NONE).state is WinnerState.PROMISING
    assert judge(RULE, replace(clicked, clicks=29), 0.99, WinnerState.NONE).state is WinnerState.NONE
    few = replace(clicked, impressions=999, clicks=900)
    assert judge(RULE, few, 0.99, WinnerState.NONE).state is WinnerState.NONE
    assert judge(RULE, clicked, 0.99, WinnerState.DEMOTED).state is WinnerState.DEMOTED


def test_a_verdict_carries_its_evidence() -> None:
    verdict = judge(RULE, RICH, 0.93, WinnerState.NONE)

    assert (verdict.probability, verdict.spend, verdict.spend_needed) == (0.93, 400_00, 150_00)
    assert (verdict.wins, verdict.roas, verdict.matured) == (12, 6.0, True)
    assert verdict.reason == "P(ROAS > 3) = 0.930, at least 0.9, on enough mature spend"


def test_the_probability_is_that_of_draws_from_the_posterior() -> None:
    # Rate ~ Gamma(14, 60000 minor units), 200.00 a win: ROAS = rate · 20000.
    draws = np.random.default_rng(7).gamma(14, 1 / 600_00, 200_000) * 200_00

    probability = probability_above_target(RICH, PRIOR, 4.0)

    assert probability == pytest.approx(float(np.mean(draws > 4.0)), abs=0.004)


def test_uneven_values_make_the_rule_less_sure_on_both_sides() -> None:
    uneven = replace(PRIOR, value_variation=1.5)

    assert probability_above_target(RICH, uneven, 3.0) < probability_above_target(RICH, PRIOR, 3.0)
    assert probability_above_target(RICH, uneven, 7.0) > probability_above_target(RICH, PRIOR, 7.0)


def test_uneven_values_claimed_as_even_would_claim_too_many_winners() -> None:
    # 2,000 records whose true ROAS is the target itself, each win worth an exponential draw (variation 1).
    draw = np.random.default_rng(11)
    weak = RoasPrior(wins=0.5, spend=33_33, win_value=200_00, value_weight=5, value_variation=1.0)
    counts = draw.poisson(15, 2_000).tolist()
    records = [
        replace(RICH, spend=1000_00, wins=wins, value=int(draw.exponential(200_00, wins).sum())) for wins in counts
    ]

    def claimed(prior: RoasPrior) -> float:
        return float(np.mean([probability_above_target(record, prior, 3.0) >= 0.9 for record in records]))

    assert claimed(weak) < 0.07 < claimed(replace(weak, value_variation=0.0))


def test_money_without_wins_convinces_of_the_opposite() -> None:
    nothing = replace(RICH, wins=0, value=0)

    chances = [probability_above_target(replace(nothing, spend=spend), PRIOR, 1.0) for spend in (0, 500_00, 5000_00)]

    assert chances[0] > chances[1] > chances[2]
    assert chances[2] < 0.001


def test_wins_that_are_worth_nothing_do_not_win() -> None:
    worthless = replace(RICH, wins=30, value=0)

    assert probability_above_target(worthless, replace(PRIOR, value_weight=0), 1.0) == 0


def test_before_any_data_the_prior_speaks() -> None:
    empty = CreativeRecord(impressions=0, clicks=0, spend=0, wins=0, value=0, matured=True)

    # Gamma(2, 20000) times 20000 a win: ROAS ~ Gamma(2, 1), P(> 2) = 3·e^-2.
    assert probability_above_target(empty, PRIOR, 2.0) == pytest.approx(3 * np.exp(-2))
    assert (empty.ctr, empty.roas) == (0, 0)


@pytest.mark.parametrize(
    "change", [{"demote_below": 0.95}, {"qualify_at": 1.0}, {"target_roas": 0.0}, {"minimum_spend": -1}]
)
def test_a_rule_that_cannot_hold_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        replace(RULE, **change)  # type: ignore[arg-type] # the values of a parametrised replace


def test_negative_figures_are_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        replace(RICH, wins=-1)
    with pytest.raises(ValueError, match="positive wins"):
        replace(PRIOR, spend=0)

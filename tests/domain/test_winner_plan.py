"""The plan of index-winners: the prior an account gives, pooled records, and who moves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adctl.domain.ids import AdId
from adctl.domain.winner_plan import AdFigures, account_prior, judge_contents, pooled_records, retired
from adctl.domain.winners import WinnerRule, WinnerState

RULE = WinnerRule(target_roas=2.0, target_cost_per_win=0, minimum_spend=50_00)
GOOD, POOR = b"g" * 16, b"p" * 16


def ads(wins: list[int], spend: int = 100_00, value: int = 100_00) -> list[AdFigures]:
    """One ad for each number of wins, each win worth `value`."""
    return [
        AdFigures(ad_id=AdId(str(n)), impressions=2000, clicks=20, spend=spend, wins=won, value=won * value)
        for n, won in enumerate(wins)
    ]


def test_the_prior_is_the_account_s_own_rate_and_value() -> None:
    prior = account_prior(ads([1, 2, 3]), [100_00] * 6)

    assert prior is not None
    assert prior.wins / prior.spend == pytest.approx(6 / 300_00)
    assert (prior.win_value, prior.value_variation) == (100_00, 0)


def test_ads_that_differ_more_make_a_weaker_prior() -> None:
    alike, unlike = account_prior(ads([2] * 40), []), account_prior(ads([0] * 38 + [40, 40]), [])

    assert alike is not None
    assert unlike is not None
    assert (alike.wins, unlike.wins) == (2.0, 0.25)


def test_wins_of_different_worth_widen_the_posterior() -> None:
    prior = account_prior(ads([2, 2]), [50_00, 150_00, 50_00, 150_00])

    assert prior is not None
    assert prior.value_variation == pytest.approx(0.5)


@pytest.mark.parametrize("figures", [[], ads([0, 0]), ads([1], spend=0), ads([1], value=0)])
def test_without_wins_spend_or_value_there_is_no_prior_and_no_winner(figures: list[AdFigures]) -> None:
    records = pooled_records(figures, {AdId("0"): GOOD}, [GOOD], RULE)

    (judged,) = judge_contents(RULE, records, account_prior(figures, []), {})

    assert account_prior(figures, []) is None
    assert (judged.verdict.state, judged.verdict.probability) == (WinnerState.NONE, 0.0)


def test_ads_of_one_content_pool_and_strangers_count_nowhere() -> None:
    content_of = {AdId("0"): GOOD, AdId("1"): GOOD, AdId("2"): b"x" * 16}

    records = pooled_records(ads([1, 2, 30]), content_of, [GOOD, POOR], RULE)

    assert (records[GOOD].spend, records[GOOD].wins, records[GOOD].value) == (200_00, 3, 300_00)
    assert (records[POOR].spend, records[POOR].matured) == (0, False)


def test_refunds_beyond_the_income_count_as_nothing() -> None:
    refunded = replace(ads([1])[0], value=-5)

    assert pooled_records([refunded], {AdId("0"): GOOD}, [GOOD], RULE)[GOOD].value == 0


def test_few_impressions_are_not_mature() -> None:
    figures = [replace(ads([40])[0], impressions=RULE.promising_impressions - 1)]

    record = pooled_records(figures, {AdId("0"): GOOD}, [GOOD], RULE)[GOOD]

    assert not record.matured


def test_the_reason_kept_is_that_of_the_state_and_does_not_change_when_judged_again() -> None:
    figures = ads([40, 0, 0, 1])
    records = pooled_records(figures, {AdId("0"): GOOD, AdId("1"): POOR}, [GOOD, POOR], RULE)
    prior = account_prior(figures, [100_00] * 41)

    first = judge_contents(RULE, records, prior, {})
    again = judge_contents(RULE, records, prior, {j.content_hash: j.verdict.state for j in first})

    assert [j.changed for j in first] == [True, False]
    assert [j.changed for j in again] == [False, False]
    assert [j.standing for j in again] == [j.standing for j in first]


def test_only_winners_retire_with_their_creative() -> None:
    previous = {GOOD: WinnerState.WINNER, POOR: WinnerState.DEMOTED, b"s" * 16: WinnerState.WINNER}

    gone = retired(RULE, [b"s" * 16], previous)

    assert [(j.content_hash, j.verdict.state, j.changed) for j in gone] == [(GOOD, WinnerState.DEMOTED, True)]

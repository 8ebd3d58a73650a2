"""The plan's rule moves budget within its caps and loses none of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adctl.domain.policies.blended import BlendedPolicy
from adctl.domain.policies.protocol import PolicyResult, Verdict
from tests.domain.policies.ad_histories import AdRecord, history

_ads = st.builds(
    AdRecord,
    impressions=st.integers(0, 50_000),
    clicks=st.integers(0, 1_000),
    spend=st.integers(0, 100_000),
    pipeline=st.integers(0, 300_000),
    age_hours=st.floats(0, 1_000),
    budget=st.integers(0, 10**7),
    active=st.booleans(),
)


def decide(*ads: AdRecord) -> PolicyResult:
    named = [replace(ad, ad_id=f"ad{index:03}") for index, ad in enumerate(ads)]
    return BlendedPolicy().decide(history(*named))


@given(st.lists(_ads, max_size=25))
@settings(max_examples=200, deadline=None)
def test_sketch_defect_the_total_is_kept_to_the_last_unit(ads: list[AdRecord]) -> None:
    result = decide(*ads)

    before = sum(ad.budget for ad in ads if ad.active)
    assert sum(verdict.budget for verdict in result.verdicts) + result.unallocated == before
    assert result.unallocated >= 0


@given(st.lists(_ads, min_size=1, max_size=25))
@settings(max_examples=200, deadline=None)
def test_no_share_moves_beyond_half_except_up_to_the_floor(ads: list[AdRecord]) -> None:
    for ad, verdict in zip(ads, decide(*ads).verdicts, strict=True):
        if not ad.active or verdict.verdict is Verdict.KILL:
            assert verdict.budget == 0
        elif verdict.budget > max(ad.budget, 100):
            assert 2 * verdict.budget <= 3 * ad.budget
        else:
            assert 2 * verdict.budget >= ad.budget


@given(st.lists(_ads, max_size=15))
@settings(max_examples=100, deadline=None)
def test_money_is_left_over_only_when_every_cap_is_reached(ads: list[AdRecord]) -> None:
    result = decide(*ads)

    if result.unallocated:
        for ad, verdict in zip(ads, result.verdicts, strict=True):
            if ad.active and verdict.verdict is not Verdict.KILL and ad.budget:
                assert verdict.budget == max(ad.budget * 3 // 2, 100)


def test_a_killed_ads_money_goes_to_the_rest() -> None:
    loser = AdRecord(spend=30_000, budget=1_000)
    rest = AdRecord(impressions=5_000, clicks=150, budget=4_000)

    result = decide(loser, rest, rest)

    assert result.verdicts[0].budget == 0
    assert sum(verdict.budget for verdict in result.verdicts) == 9_000
    assert result.unallocated == 0


def test_what_the_caps_cannot_take_is_left_over() -> None:
    # given a dead ad with 9,000 and one other that may grow from 1,000 to 1,500
    result = decide(AdRecord(spend=30_000, budget=9_000), AdRecord(budget=1_000))

    assert [verdict.budget for verdict in result.verdicts] == [0, 1_500]
    assert result.unallocated == 8_500


def test_the_change_is_shown_in_percent_of_the_share_before() -> None:
    ads = [AdRecord(spend=30_000, budget=9_000), AdRecord(budget=333), AdRecord(budget=0)]

    changes = [verdict.evidence["change_percentage"] for verdict in decide(*ads).verdicts]

    assert changes == [-100.0, 49.85, None]


def test_all_ads_dead_leaves_the_whole_total_over() -> None:
    result = decide(AdRecord(spend=30_000, budget=700), AdRecord(spend=40_000, budget=300))

    assert {verdict.verdict for verdict in result.verdicts} == {Verdict.KILL}
    assert result.unallocated == 1_000


def test_one_ad_alone_keeps_its_budget() -> None:
    result = decide(AdRecord(budget=1_234))

    assert result.verdicts[0].budget == 1_234
    assert result.unallocated == 0


def test_no_ads_decide_nothing() -> None:
    assert decide() == PolicyResult(verdicts=(), unallocated=0)


def test_floors_above_the_total_shrink_to_what_each_ad_has() -> None:
    # given 120 minor units for two ads whose floors are 100 each
    result = decide(AdRecord(budget=60), AdRecord(budget=60))

    assert [verdict.budget for verdict in result.verdicts] == [60, 60]


def test_the_floor_lifts_a_share_that_is_below_it() -> None:
    result = decide(AdRecord(budget=40), AdRecord(budget=10_000))

    assert result.verdicts[0].budget >= 100
    assert sum(verdict.budget for verdict in result.verdicts) == 10_040


def test_floors_that_the_total_just_pays_are_paid() -> None:
    result = decide(AdRecord(budget=150), AdRecord(budget=50))

    assert [verdict.budget for verdict in result.verdicts] == [100, 100]


def test_a_large_share_loses_at_most_half() -> None:
    # given ten equal ads that could take 5,000 more between them, and one that has 9,000
    result = decide(AdRecord(budget=9_000), *[AdRecord(budget=1_000)] * 10)

    assert result.verdicts[0].budget == 4_500
    assert sum(verdict.budget for verdict in result.verdicts) == 19_000


def test_an_ad_whose_owner_has_no_budget_takes_none_from_the_others() -> None:
    result = decide(AdRecord(budget=0, impressions=5_000, clicks=500), AdRecord(budget=2_000))

    assert [verdict.budget for verdict in result.verdicts] == [0, 2_000]


def test_the_better_ad_gets_the_larger_share() -> None:
    good = AdRecord(impressions=20_000, clicks=1_000, spend=50_000, pipeline=140_000, budget=5_000)
    poor = AdRecord(impressions=20_000, clicks=20, spend=50_000, pipeline=30_000, budget=5_000)

    first, second = decide(good, poor).verdicts

    assert first.budget > 5_000 > second.budget


@pytest.mark.parametrize("budget", [1, 2, 3, 7, 99])
def test_shares_of_a_few_units_are_kept_too(budget: int) -> None:
    result = decide(AdRecord(budget=budget), AdRecord(budget=budget), AdRecord(budget=budget))

    assert sum(verdict.budget for verdict in result.verdicts) == 3 * budget

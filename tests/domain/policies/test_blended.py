"""The plan's rule gives the plan's own numbers and verdicts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from adctl.domain.policies.blended import BlendedPolicy
from adctl.domain.policies.protocol import AdVerdict, Verdict
from adctl.errors import ConfigurationError
from tests.domain.policies.ad_histories import DAY, AdRecord, history


def judge(ad: AdRecord, policy: BlendedPolicy | None = None) -> AdVerdict:
    return (policy or BlendedPolicy()).decide(history(ad)).verdicts[0]


def judged(spend: int, pipeline: int, days: float) -> AdVerdict:
    """The verdict on an ad that has spent and earned so many major units."""
    return judge(AdRecord(spend=spend * 100, pipeline=pipeline * 100, age_hours=days * 24, impressions=2_000))


def number(verdict: AdVerdict, key: str) -> float:
    value = verdict.evidence[key]
    assert isinstance(value, int | float)
    return float(value)


@pytest.mark.parametrize(
    ("impressions", "clicks", "spend", "pipeline", "age", "weight", "blend", "decay", "final", "alpha", "beta", "sure"),
    [
        (500, 25, 10, 5, 2, 1.0, 1.0, 0.951229, 0.951229, 476.615, 25.385, 0.4930),
        (2000, 60, 50, 150, 12, 0.9, 0.64, 0.818731, 0.523988, 1048.975, 953.025, 0.5636),
        (5000, 150, 500, 4500, 48, 0.5, 0.8, 0.606531, 0.485225, 2427.123, 2574.877, 0.7173),
        (10000, 200, 500, 2000, 96, 0.271451, 0.837129, 0.367879, 0.307963, 3080.626, 6921.374, 0.7693),
    ],
)
def test_the_golden_vectors_come_out_to_the_digits_given(
    impressions: int,
    clicks: int,
    spend: int,
    pipeline: int,
    age: float,
    weight: float,
    blend: float,
    decay: float,
    final: float,
    alpha: float,
    beta: float,
    sure: float,
) -> None:
    ad = AdRecord(
        impressions=impressions, clicks=clicks, spend=spend * 100, pipeline=pipeline * 100, age_hours=age, budget=5_000
    )

    verdict = judge(ad)

    assert number(verdict, "ctr_weight") == pytest.approx(weight, abs=5e-7)
    assert number(verdict, "roas_weight") == pytest.approx(1 - weight, abs=5e-7)
    assert number(verdict, "blended_score") == pytest.approx(blend, abs=5e-7)
    assert number(verdict, "decay_factor") == pytest.approx(decay, abs=5e-7)
    assert number(verdict, "final") == pytest.approx(final, abs=5e-7)
    assert number(verdict, "alpha") == pytest.approx(alpha, abs=5e-4)
    assert number(verdict, "beta") == pytest.approx(beta, abs=5e-4)
    assert verdict.confidence == pytest.approx(sure, abs=5e-5)
    assert number(verdict, "ctr") == clicks / impressions
    assert number(verdict, "pipeline_roas") == pipeline / spend


@pytest.mark.parametrize(
    ("age", "weight"),
    [
        (0, 1.0),
        (6, 1.0),
        (6.6, 0.99),
        (15, 0.85),
        (24, 0.7),
        (24.6, 0.695),
        (48, 0.5),
        (72, 0.3),
        (72.6, 0.299251),
        (96, 0.271451),
        (10_000, 0.1),
    ],
)
def test_ctr_counts_less_with_age(age: float, weight: float) -> None:
    assert number(judge(AdRecord(age_hours=age)), "ctr_weight") == pytest.approx(weight, abs=5e-7)


@pytest.mark.parametrize(
    ("spend", "pipeline", "days", "verdict"),
    [
        (250, 0, 0.1, Verdict.KEEP),
        (150, 0, 5, Verdict.KEEP),
        (200, 99, 5, Verdict.KILL),
        (200, 601, 5, Verdict.SCALE),
        (200, 600, 5, Verdict.KEEP),
    ],
)
def test_the_plans_verdicts_come_out(spend: int, pipeline: int, days: float, verdict: Verdict) -> None:
    assert judged(spend, pipeline, days).verdict is verdict


def test_sketch_defect_the_ignorance_zone_changes_the_verdict() -> None:
    # given an ad that would be killed, two days old to the minute and a minute younger
    assert judged(250, 0, 2.0).verdict is Verdict.KILL
    assert judged(250, 0, 2.0 - 1 / 1440).verdict is Verdict.KEEP


@pytest.mark.parametrize(("spend", "verdict"), [(99, Verdict.KEEP), (100, Verdict.KILL)])
def test_either_age_or_spend_alone_protects(spend: int, verdict: Verdict) -> None:
    # given an old ad and no other bar on what must have been spent
    policy = BlendedPolicy(kill_min_spend=0)

    assert judge(AdRecord(spend=spend * 100, age_hours=240), policy).verdict is verdict
    assert judge(AdRecord(spend=spend * 100, age_hours=47), policy).verdict is Verdict.KEEP


def test_a_lucky_first_lead_does_not_scale_an_ad_nothing_is_known_of() -> None:
    assert judged(1, 2250, 0.5).verdict is Verdict.KEEP


@pytest.mark.parametrize(
    ("spend", "pipeline", "verdict"),
    [(19_999, 0, Verdict.KEEP), (20_000, 9_999, Verdict.KILL), (20_000, 10_000, Verdict.KEEP)],
)
def test_the_kill_bars_are_exact_to_one_minor_unit(spend: int, pipeline: int, verdict: Verdict) -> None:
    assert judge(AdRecord(spend=spend, pipeline=pipeline)).verdict is verdict


def test_an_unknown_age_protects() -> None:
    assert judge(AdRecord(spend=50_000, age_hours=float("nan"))).verdict is Verdict.KEEP


def test_an_ad_that_is_not_active_is_never_killed_and_gets_nothing() -> None:
    verdict = judge(AdRecord(spend=50_000, active=False, budget=0))

    assert (verdict.verdict, verdict.budget, verdict.reason) == (Verdict.KEEP, 0, "not active")


def test_the_reason_says_what_moves_the_money_of_an_ad_that_goes_on() -> None:
    found = history(
        *(
            AdRecord(ad_id=name, spend=20_000, pipeline=40_000, budget=money)
            for name, money in {"a": 3_000, "b": 1_000}.items()
        )
    )
    for said in BlendedPolicy().decide(found).verdicts:
        draw = said.evidence["draw"]
        word = "less" if said.budget < said.current_budget else "more"
        assert said.budget != said.current_budget
        assert said.reason == f"pipeline ROAS 2.000 lies between 0.5 and 3; {word} money by its draw of {draw:.3f}"


@pytest.mark.parametrize(
    ("ad", "reason"),
    [
        (AdRecord(spend=25_000, pipeline=12_000), "pipeline ROAS 0.480 is below 0.5 after 250.00 USD spent"),
        (
            AdRecord(spend=15_000, pipeline=0),
            "pipeline ROAS 0.000 is below 0.5, but 150.00 USD spent is below 200",
        ),
        (AdRecord(spend=20_000, pipeline=60_100), "pipeline ROAS 3.005 is above 3"),
        (AdRecord(spend=20_000, pipeline=40_000), "pipeline ROAS 2.000 lies between 0.5 and 3"),
        (AdRecord(spend=20_000, pipeline=60_000), "pipeline ROAS 3.000 lies between 0.5 and 3"),
        (AdRecord(spend=20_000, pipeline=10_000), "pipeline ROAS 0.500 lies between 0.5 and 3"),
        (AdRecord(spend=20_000, pipeline=0), "pipeline ROAS 0.000 is below 0.5 after 200.00 USD spent"),
        (AdRecord(spend=5_000, age_hours=48), "50.00 USD spent is below 100: too early to judge"),
        (AdRecord(spend=25_000, age_hours=12), "age 0.50 d is below 2 d: too early to judge"),
        (AdRecord(spend=5_000), "50.00 USD spent is below 100: too early to judge"),
    ],
)
def test_the_reason_cites_the_number_that_decided(ad: AdRecord, reason: str) -> None:
    assert judge(ad).reason == reason


def test_direct_mode_counts_won_money_only() -> None:
    ad = AdRecord(spend=20_000, pipeline=90_000, cash=9_000)

    assert judge(ad).verdict is Verdict.SCALE
    direct = judge(ad, BlendedPolicy(mode="direct"))
    assert direct.verdict is Verdict.KILL
    assert (number(direct, "roas"), number(direct, "pipeline_roas")) == (0.45, 4.5)
    assert direct.reason == "direct ROAS 0.450 is below 0.5 after 200.00 USD spent"


@pytest.mark.parametrize(("hours", "verdict"), [(5.99, Verdict.KEEP), (6.0, Verdict.KILL)])
def test_direct_mode_spares_the_first_six_hours(hours: float, verdict: Verdict) -> None:
    assert judge(AdRecord(spend=50_000, age_hours=hours), BlendedPolicy(mode="direct")).verdict is verdict


def test_direct_mode_also_kills_below_half_of_the_accounts_average() -> None:
    # given an account at 1,300 / 650 = 2, so that half the average is 1
    ads = [
        AdRecord(ad_id="strong", spend=20_000, cash=88_000),
        AdRecord(ad_id="half", spend=22_500, cash=22_500),
        AdRecord(ad_id="less", spend=22_500, cash=19_500),
    ]

    verdicts = BlendedPolicy(mode="direct").decide(history(*ads)).verdicts

    assert [verdict.verdict for verdict in verdicts] == [Verdict.SCALE, Verdict.KEEP, Verdict.KILL]


def test_direct_mode_never_kills_what_deserves_to_scale() -> None:
    # given one ad so strong that half the average is 4
    ads = [AdRecord(ad_id="a", spend=20_000, cash=250_000), AdRecord(ad_id="b", spend=20_000, cash=70_000)]

    verdicts = BlendedPolicy(mode="direct").decide(history(*ads)).verdicts

    assert [verdict.verdict for verdict in verdicts] == [Verdict.SCALE, Verdict.SCALE]


@pytest.mark.parametrize("mode", ["", "PIPELINE", "auto", "direct "])
def test_sketch_defect_an_unknown_mode_is_refused(mode: str) -> None:
    with pytest.raises(ConfigurationError, match=r"unknown mode .*use pipeline or direct"):
        BlendedPolicy(mode=mode)


def test_numbers_that_make_no_sense_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="temperature is 0"):
        BlendedPolicy(temperature=0)
    with pytest.raises(ConfigurationError, match="kill_roas is -1"):
        BlendedPolicy(kill_roas=-1)
    with pytest.raises(ConfigurationError, match="fatigue is nan"):
        BlendedPolicy(fatigue=float("nan"))
    with pytest.raises(ConfigurationError, match=r"max_change is 1\.5"):
        BlendedPolicy(max_change=1.5)


def test_a_change_of_up_to_everything_may_be_configured() -> None:
    assert BlendedPolicy(max_change=1.0).parameters["max_change"] == 1.0


def test_value_without_spend_is_taken_over_a_hundredth_of_a_major_unit() -> None:
    assert number(judge(AdRecord(spend=0, pipeline=100)), "pipeline_roas") == 100.0


def test_the_same_history_gives_the_same_result_bit_for_bit() -> None:
    ads = [AdRecord(ad_id=str(index), impressions=index * 100, clicks=index) for index in range(20)]

    assert BlendedPolicy().decide(history(*ads)) == BlendedPolicy().decide(history(*ads))


def test_the_draw_is_the_one_that_was_recorded() -> None:
    """Changes only together with the policy's version: stored decisions must stay reproducible."""
    verdict = judge(AdRecord(ad_id="120000000000000001", impressions=5_000, clicks=150))

    assert number(verdict, "draw") == pytest.approx(0.05027127765848641, abs=1e-15)


def test_the_draw_moves_with_account_day_and_parameters() -> None:
    ad, policy = AdRecord(impressions=5_000, clicks=150), BlendedPolicy()
    results = [
        policy.decide(history(ad)),
        policy.decide(history(ad, account="other")),
        policy.decide(history(ad, day=DAY + timedelta(days=1))),
        replace(policy, kill_min_spend=201.0).decide(history(ad)),
    ]

    assert len({number(result.verdicts[0], "draw") for result in results}) == 4


def test_the_order_of_ads_and_rows_changes_nothing() -> None:
    ads = [AdRecord(ad_id=f"ad{index}", impressions=index * 500, clicks=index * 9) for index in range(9)]

    forward = BlendedPolicy().decide(history(*ads))
    backward = BlendedPolicy().decide(history(*reversed(ads)))

    draws = {verdict.ad_id: verdict.evidence["draw"] for verdict in forward.verdicts}
    assert draws == {verdict.ad_id: verdict.evidence["draw"] for verdict in backward.verdicts}


def test_the_draws_have_the_mean_of_their_distribution() -> None:
    ads = [
        AdRecord(ad_id=str(index), impressions=2_000, clicks=60, spend=5_000, pipeline=15_000) for index in range(2000)
    ]

    verdicts = BlendedPolicy().decide(history(*ads)).verdicts

    alpha, beta = number(verdicts[0], "alpha"), number(verdicts[0], "beta")
    draws = np.array([number(verdict, "draw") for verdict in verdicts])
    assert draws.mean() == pytest.approx(alpha / (alpha + beta), abs=0.001)
    assert draws.std() == pytest.approx(np.sqrt(alpha * beta / (alpha + beta + 1)) / (alpha + beta), rel=0.1)


def test_daily_rows_and_deals_add_up_per_ad() -> None:
    # given two ads with several rows and deals each, in no order
    base = history(AdRecord(ad_id="a"), AdRecord(ad_id="b"))
    rows = np.array([1, 0, 1, 0, 1])
    many = replace(
        base,
        row_ad=rows,
        row_days_ago=np.array([3, 1, 0, 2, 1]),
        row_impressions=np.array([10, 1, 20, 2, 30]),
        row_clicks=np.array([1, 0, 2, 1, 3]),
        row_spend=np.array([100, 7, 200, 8, 300]),
        row_leads=np.zeros(5, dtype=np.int64),
        deal_ad=np.array([1, 1, 0]),
        deal_days_ago=np.array([1, 2, 3]),
        deal_value=np.array([2_250_00, 9_000_00, 5]),
        deal_cash=np.array([0, 9_000_00, 0]),
    )

    first, second = BlendedPolicy().decide(many).verdicts

    keys = ("impressions", "clicks", "spend", "pipeline", "cash")
    assert [first.evidence[key] for key in keys] == [3, 1, 15, 5, 0]
    assert [second.evidence[key] for key in keys] == [60, 6, 600, 1_125_000, 900_000]


def test_an_account_without_insights_and_deals_is_kept() -> None:
    base = history(AdRecord(ad_id="a"), AdRecord(ad_id="b"))
    nothing = np.zeros(0, dtype=np.int64)
    empty = replace(
        base,
        row_ad=nothing,
        row_days_ago=nothing,
        row_impressions=nothing,
        row_clicks=nothing,
        row_spend=nothing,
        row_leads=nothing,
    )

    result = BlendedPolicy().decide(empty)

    assert {verdict.verdict for verdict in result.verdicts} == {Verdict.KEEP}
    assert sum(verdict.budget for verdict in result.verdicts) == 2_000


def test_money_is_judged_in_major_units_of_the_accounts_currency() -> None:
    # given 200 yen, which has no minor unit
    ad = AdRecord(spend=200, pipeline=99, budget=500)

    verdict = BlendedPolicy().decide(history(ad, minor_per_major=1)).verdicts[0]

    assert verdict.verdict is Verdict.KILL
    assert verdict.reason == "pipeline ROAS 0.495 is below 0.5 after 200 JPY spent"

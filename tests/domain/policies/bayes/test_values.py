"""What a won deal brings: the account's mean and spread, each ad's own mean shrunk to it."""

from __future__ import annotations

import numpy as np
import pytest

from adctl.domain.policies.bayes.posterior import Z90
from adctl.domain.policies.bayes.values import ValueModel, Won, fit_values, value_posterior
from adctl.domain.policies.protocol import Floats


def won(*logs: Floats) -> Won:
    return Won(
        count=np.array([len(one) for one in logs], dtype=np.int64),
        total=np.array([float(one.sum()) for one in logs]),
        square=np.array([float((one**2).sum()) for one in logs]),
    )


def test_an_ads_own_deals_weigh_against_the_account_by_their_precision() -> None:
    # Four deals of mean log 3 at variance 0.5, a prior N(2, 0.2²): (4·3/0.5 + 2/0.04) / (4/0.5 + 1/0.04) = 74/33.
    model = ValueModel(worth=2.25, worth_variance=0.12, variance=0.5)

    found = value_posterior(model, won(np.full(4, 3.0), np.empty(0)))

    assert found.mean == pytest.approx([74 / 33 + 0.25, 2.25])
    assert found.own_variance == pytest.approx([1 / 33, 0.04])
    assert found.common_variance == 0.12


def test_without_deals_they_are_expected_to_pay_and_somewhat_more() -> None:
    found = fit_values(won(np.empty(0), np.empty(0)), pays=4.0)

    assert found.worth == pytest.approx(4.5)
    assert found.worth_variance == pytest.approx(1.0)
    # The grid ends at 20, which leaves out the farthest of the inverse gamma's tail.
    assert found.variance == pytest.approx(1.0, rel=0.1)


def test_mean_and_spread_are_found_from_deals() -> None:
    rng = np.random.Generator(np.random.PCG64(7))
    centres = 5.0 + 0.2 * rng.standard_normal(200)

    found = fit_values(won(*(c + 0.6 * rng.standard_normal(30) for c in centres)), pays=0.0)

    assert found.worth == pytest.approx(5.0 + 0.36 / 2, abs=0.05)
    assert found.variance == pytest.approx(0.36, rel=0.1)
    assert found.worth_variance < 0.001


def test_one_ad_with_most_of_the_deals_says_no_more_of_the_others_than_its_own_mean_can() -> None:
    # However many deals tell its mean: that lies 0.2 or so from the mean of all, of which it is one draw.
    found = fit_values(won(3.0 + 0.6 * np.random.Generator(np.random.PCG64(2)).standard_normal(10_000)), pays=3.0)

    assert found.worth_variance == pytest.approx(1 / (1 / 0.2**2 + 1), rel=0.02)


@pytest.mark.parametrize("deals", [0, 1, 4, 12, 60])
def test_the_expected_deal_lies_in_nine_of_ten_intervals(deals: int) -> None:
    # Truths from the prior itself: variances inverse gamma of shape 5 / 2 and mean 1, worths about 0.5 above what pays.
    rng = np.random.Generator(np.random.PCG64(3))
    variances, worths = 1.5 / rng.gamma(2.5, size=1_000), 5.5 + rng.standard_normal(1_000)
    held, below = [], []
    for variance, worth in zip(variances, worths, strict=True):
        ads = worth - variance / 2 + 0.2 * rng.standard_normal((deals, 1))
        found = fit_values(won(*(ads + np.sqrt(variance) * rng.standard_normal((deals, 1)))), pays=5.0)
        missed = (worth - found.worth) / np.sqrt(found.worth_variance)
        held.append(abs(missed) < Z90)
        below.append(missed > Z90)

    assert np.mean(held) == pytest.approx(0.90, abs=0.025)
    # Who is killed for small deals is killed by this end.
    assert np.mean(below) < 0.07


@pytest.mark.parametrize("deals", [2, 4, 8])
def test_a_few_small_deals_leave_open_that_large_ones_carry_the_value(deals: int) -> None:
    # Deals of log-sd 1.4 in an account that breaks even: most are small beside what they bring on average.
    rng = np.random.Generator(np.random.PCG64(5))
    truth = 1.4**2 / 2
    found = [fit_values(won(one), pays=truth) for one in 1.4 * rng.standard_normal((1_000, deals))]

    surely = [one.worth + Z90 * np.sqrt(one.worth_variance) for one in found]

    assert np.mean(np.array(surely) < truth) < 0.08

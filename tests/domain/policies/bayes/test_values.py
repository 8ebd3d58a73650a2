"""What a won deal brings: the account's mean and spread, each ad's own mean shrunk to it."""

from __future__ import annotations

import numpy as np
import pytest

from adctl.domain.policies.bayes.posterior import Z90
from adctl.domain.policies.bayes.values import ValueModel, Won, fit_values, value_posterior
from adctl.domain.policies.protocol import Floats


def won(*logs: Floats) -> Won:
    return Won(
        count=np.array([float(len(one)) for one in logs]),
        total=np.array([float(one.sum()) for one in logs]),
        square=np.array([float((one**2).sum()) for one in logs]),
    )


def test_an_ads_own_deals_weigh_against_the_account_by_their_precision() -> None:
    # Four deals of mean log 3 at variance 0.5, a prior N(2, 0.2²): (4·3/0.5 + 2/0.04) / (4/0.5 + 1/0.04) = 74/33.
    model = ValueModel(mean=2.0, mean_variance=0.1, variance=0.5, variance_variance=0.08)

    found = value_posterior(model, won(np.full(4, 3.0), np.empty(0)))

    assert found.mean == pytest.approx([74 / 33 + 0.25, 2.25])
    assert found.own_variance == pytest.approx([1 / 33, 0.04])
    assert found.common_variance == pytest.approx(0.1 + 0.08 / 4)


def test_without_deals_the_prior_stands() -> None:
    found = fit_values(won(np.empty(0), np.empty(0)), prior_mean=4.0)

    assert (found.mean, found.variance, found.variance_variance) == (4.0, 1.0, 2.0)
    assert found.mean_variance == pytest.approx(1.0)


def test_mean_and_spread_are_found_from_deals() -> None:
    rng = np.random.Generator(np.random.PCG64(7))
    centres = 5.0 + 0.2 * rng.standard_normal(200)

    found = fit_values(won(*(c + 0.6 * rng.standard_normal(30) for c in centres)), prior_mean=0.0)

    assert found.mean == pytest.approx(5.0, abs=0.05)
    assert found.variance == pytest.approx(0.36, rel=0.1)
    assert found.mean_variance < 0.001


@pytest.mark.parametrize("deals", [1, 4, 12])
def test_the_spread_of_few_deals_is_as_uncertain_as_it_is_said_to_be(deals: int) -> None:
    # Truths from the prior itself, inverse gamma of shape 5 / 2 and mean 1, but without its farthest tail, whose
    # variance does not settle in any number of trials.
    rng = np.random.Generator(np.random.PCG64(3))
    truths = 1.5 / rng.gamma(2.5, size=4_000)
    truths = truths[truths < 16.0]
    logs = 5.0 + np.sqrt(truths + 0.2**2)[:, None] * rng.standard_normal((len(truths), deals))
    found = [fit_values(won(one), prior_mean=5.0) for one in logs]

    missed = np.array([one.variance for one in found]) - truths

    assert abs(missed.mean()) < 0.12
    said = float(np.mean([one.variance_variance for one in found]))
    assert 0.4 < float(missed.var()) / said < 1.1


@pytest.mark.parametrize("deals", [2, 4])
def test_a_few_small_deals_leave_open_that_large_ones_carry_the_value(deals: int) -> None:
    # Deals of log-sd 1.4 in an account that breaks even: most are small beside what they bring on average.
    rng = np.random.Generator(np.random.PCG64(5))
    truth = 1.4**2 / 2
    found = [fit_values(won(one), prior_mean=truth) for one in 1.4 * rng.standard_normal((1_000, deals))]

    surely = [
        one.mean + one.variance / 2 + Z90 * np.sqrt(one.mean_variance + one.variance_variance / 4) for one in found
    ]

    # 0.23 and 0.18 where deals are taken for half as unequal beforehand.
    assert np.mean(np.array(surely) < truth) < 0.13

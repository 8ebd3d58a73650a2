"""The e-process: worth nothing before anything was seen, honest however often one looks, finite everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln

from adctl.domain.policies.bayes.gate import log_e_value
from adctl.domain.policies.protocol import Floats


def column(*values: float) -> Floats:
    return np.array(values)


def test_nothing_seen_is_worth_exactly_one() -> None:
    found = log_e_value(column(0.0), column(0.0), column(0.3), shape=2.5, rate=column(5.0))

    assert found == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(("wins", "exposure"), [(0.0, 20.0), (3.0, 40.0), (12.0, 25.0)])
def test_it_is_the_mean_likelihood_ratio_under_what_lies_below_the_bar(wins: float, exposure: float) -> None:
    shape, rate, bar = 2.5, 8.0, 0.3
    rates = (np.arange(200_000) + 0.5) * bar / 200_000
    prior = np.exp(shape * np.log(rate) - gammaln(shape) + (shape - 1) * np.log(rates) - rate * rates)
    likelihood = np.exp(wins * np.log(rates / bar) - exposure * (rates - bar))

    found = log_e_value(column(wins), column(exposure), column(bar), shape=shape, rate=column(rate))

    assert found[0] == pytest.approx(np.log((prior * likelihood).sum() / prior.sum()), rel=1e-6)


def test_the_best_ad_is_not_killed_where_gammainc_underflows() -> None:
    # Five hundred wins and more where a handful would be the bar.
    found = log_e_value(column(500.0, 5000.0), column(50.0, 500.0), column(0.1, 0.1), shape=2.5, rate=column(8.0, 8.0))

    assert np.isfinite(found).all()
    assert (found < -3).all()


def test_an_ad_that_brings_nothing_is_given_up_after_some_multiple_of_the_bar() -> None:
    exposure = np.linspace(0.0, 60.0, 61)
    found = log_e_value(np.zeros(61), exposure, np.full(61, 0.3), shape=2.5, rate=np.full(61, 8.0))

    assert (np.diff(found) > 0).all()
    assert found[-1] > np.log(20)


def test_of_ads_exactly_at_the_bar_at_most_alpha_are_ever_given_up_in_forty_looks() -> None:
    rng = np.random.Generator(np.random.PCG64(5))
    ads, looks, step, bar, alpha = 20_000, 40, 3.0, 0.3, 0.05
    wins = np.cumsum(rng.poisson(bar * step, (looks, ads)), axis=0)
    ever = np.zeros(ads, dtype=np.bool_)
    for look in range(looks):
        exposure = np.full(ads, step * (look + 1))
        e = log_e_value(wins[look].astype(float), exposure, np.full(ads, bar), shape=2.5, rate=np.full(ads, 8.0))
        ever |= e >= -np.log(alpha)

    # Ville's inequality, with three standard errors of what is counted.
    assert 0.001 < ever.mean() <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / ads)

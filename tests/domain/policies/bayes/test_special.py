"""The special functions agree with scipy's and go on where those end."""

from __future__ import annotations

import numpy as np
from scipy.special import digamma, gammainc, polygamma

from adctl.domain.policies.bayes.special import log_beta_moments, log_gamma_moments, log_gammainc


def test_moments_of_the_log_of_a_gamma_are_digamma_and_trigamma() -> None:
    shape = np.concatenate([np.geomspace(0.01, 1e6, 500), np.arange(1.0, 40.0)])

    mean, variance = log_gamma_moments(shape)

    assert np.allclose(mean, digamma(shape), rtol=1e-11, atol=1e-11)
    assert np.allclose(variance, polygamma(1, shape), rtol=1e-10)


def test_moments_of_the_log_of_a_beta_are_differences_of_those_of_gammas() -> None:
    yes, no = np.meshgrid(np.geomspace(0.3, 1e4, 60), np.geomspace(0.3, 1e4, 50))

    mean, variance = log_beta_moments(yes, np.asfortranarray(no))

    assert np.allclose(mean, digamma(yes) - digamma(yes + no), rtol=1e-9, atol=1e-11)
    assert np.allclose(variance, polygamma(1, yes) - polygamma(1, yes + no), rtol=1e-8, atol=1e-11)


def test_the_shape_of_the_columns_is_kept_beyond_one_piece() -> None:
    mean, variance = log_gamma_moments(np.full((20_000, 2), 3.0))

    assert mean.shape == variance.shape == (20_000, 2)
    assert np.ptp(mean) == 0


def test_the_log_of_the_incomplete_gamma_is_scipys_where_scipy_has_one() -> None:
    a, x = np.meshgrid(np.geomspace(0.1, 200, 40), np.geomspace(0.01, 400, 40))
    expected = gammainc(a, x)
    seen = expected > 1e-250

    assert np.allclose(log_gammainc(a, x)[seen], np.log(expected[seen]), rtol=1e-9, atol=1e-12)


def test_the_log_of_the_incomplete_gamma_is_finite_where_scipy_underflows() -> None:
    a, x = np.array([500.0, 5_000.0]), np.array([5.0, 50.0])

    found = log_gammainc(a, x)

    assert (gammainc(a, x) == 0).all()
    assert np.isfinite(found).all()
    # The first terms of the series: a ln x − x − lnΓ(a + 1) + ln(1 + x/(a + 1) + …).
    assert -2_000 < found[0] < -1_000

"""Digamma, trigamma and the log of the incomplete gamma function, as arrays, without underflow."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import gammainc, gammaln, hyp1f1

from adctl.domain.policies.protocol import Floats

# The asymptotic series below is exact to 1e-10 from here on; smaller arguments are lifted by the recurrence.
_LARGE = 8
# Pieces that stay in the cache: three times as fast as whole columns at a million ads.
_PIECE = 16_384


def log_gamma_moments(shape: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the log of a Gamma(shape, 1) variable: digamma and trigamma of `shape` > 0."""
    mean, variance = np.empty_like(shape), np.empty_like(shape)
    flat, flat_mean, flat_variance = (array.reshape(-1, order="A") for array in (shape, mean, variance))
    lift = math.ceil(_LARGE - min(float(flat.min(initial=_LARGE)), _LARGE))
    for start in range(0, len(flat), _PIECE):
        piece = slice(start, start + _PIECE)
        flat_mean[piece], flat_variance[piece] = _moments(flat[piece], lift)
    return mean, variance


def _moments(x: Floats, lift: int) -> tuple[Floats, Floats]:
    first, second = np.zeros_like(x), np.zeros_like(x)
    for _ in range(lift):
        inverse = 1.0 / x
        first += inverse
        inverse *= inverse
        second += inverse
        x = x + 1.0
    y = 1.0 / x
    z = y * y
    mean = np.log(x) - 0.5 * y - z * (1 / 12 - z * (1 / 120 - z * (1 / 252 - z * (1 / 240 - z / 132)))) - first
    tail = z * y * (1 / 6 - z * (1 / 30 - z * (1 / 42 - z * (1 / 30 - z * 5 / 66))))
    return mean, y + 0.5 * z + tail + second


def log_gammainc(a: Floats, x: Floats) -> Floats:
    """ln P(a, x) of the regularised lower incomplete gamma function, finite where P itself underflows.

    For x < a + 1 it is a ln x − x − lnΓ(a+1) + ln ₁F₁(1; a+1; x), whose last term stays small; beyond, P is near 1.
    """
    a, x = np.broadcast_arrays(np.asarray(a, dtype=np.float64), np.asarray(x, dtype=np.float64))
    low = np.minimum(x, a + 1.0)
    with np.errstate(divide="ignore"):
        series = a * np.log(low) - low - gammaln(a + 1.0) + np.log(hyp1f1(1.0, a + 1.0, low))
        direct = np.log(gammainc(a, x))
    return np.asarray(np.where(x < a + 1.0, series, direct), dtype=np.float64)

"""Bootstrap intervals of means over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from adctl.domain.policies.protocol import Floats

_DRAWS = 4_000
_TAILS = (2.5, 97.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and its 95 % interval; without at least two observations the interval is the whole line."""

    mean: float
    low: float
    high: float


def mean_interval(values: Floats) -> Interval:
    """The mean over seeds, resampled; give paired differences for a paired comparison. Shape (seeds,), not empty.

    Percentiles of resampled means, widened by √(n/(n−1)) about the mean: the plain ones are too narrow for few seeds.
    The same values give the same interval.
    """
    n, mean = len(values), float(values.mean())
    if n < 2:
        return Interval(mean=mean, low=-np.inf, high=np.inf)
    rng = np.random.Generator(np.random.PCG64(n))
    means = values[rng.integers(0, n, (_DRAWS, n))].mean(axis=1)
    low, high = mean + (np.percentile(means, _TAILS) - mean) * np.sqrt(n / (n - 1))
    return Interval(mean=mean, low=float(low), high=float(high))

"""Whether stated chances of being wrong came true: verdicts by what they said, with how many were wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import betaincinv

from adctl.domain.policies.protocol import Flags, Floats, Ints

BAND_ENDS = (0.0, 0.01, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0)
_TAIL = 0.025


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The verdicts whose stated chance of being wrong lay in `least` ≤ p < `most` (the last band includes its end).

    `said` is the mean of what was stated, `wrong` the part that was wrong, `low`..`high` its 95 % interval.
    """

    least: float
    most: float
    verdicts: int
    ads: int
    said: float
    wrong: float
    low: float
    high: float

    @property
    def fits(self) -> bool:
        """True when the interval holds what was said."""
        return self.low <= self.said <= self.high


def bands(said: Floats, wrong: Flags, ad: Ints, *, ends: Sequence[float] = BAND_ENDS) -> tuple[Band, ...]:
    """One band per range that holds a verdict. All three have one entry per verdict; `ad` tells which ad it was of.

    An ad that is judged day after day is one fate seen many times, so the interval counts each ad once: Clopper and
    Pearson's, with the ads as trials and the part of wrong verdicts as the part of successes. That is too wide rather
    than too narrow.
    """
    place = np.digitize(said, ends[1:-1], right=False)
    found = []
    for group, (least, most) in enumerate(pairwise(ends)):
        mine = place == group
        if not mine.any():
            continue
        ads, rate = len(np.unique(ad[mine])), float(wrong[mine].mean())
        low, high = exact_interval(rate * ads, ads)
        found.append(
            Band(
                least=least,
                most=most,
                verdicts=int(mine.sum()),
                ads=ads,
                said=float(said[mine].mean()),
                wrong=rate,
                low=low,
                high=high,
            )
        )
    return tuple(found)


def exact_interval(successes: float, trials: float) -> tuple[float, float]:
    """Clopper and Pearson's 95 % interval of a rate; 0 ≤ `successes` ≤ `trials`, which need not be whole numbers."""
    failures = trials - successes
    low = float(betaincinv(successes, failures + 1, _TAIL)) if successes > 0 else 0.0
    high = float(betaincinv(successes + 1, failures, 1 - _TAIL)) if failures > 0 else 1.0
    return low, high

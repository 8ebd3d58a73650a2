"""Ads that wear out: the click rate falls while the same people see them more often, over at least three points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

# A point is three days, the window three weeks: long enough for a trend, short enough to be of today.
SPAN_DAYS: Final = 3
SPANS: Final = 7
LEAST_POINTS: Final = 3
LEAST_IMPRESSIONS: Final = 300
# Many ads are looked at every day: one in a hundred that do not wear may be flagged (the normal quantile of .01), and
# a small fall is no wear.
_WORN: Final = -2.3263478740408408
_LEAST_FALL: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """What m points tell: `ad` indexes n ads, `span` counts three-day spans back from today (0 the newest).

    `reach` is the sum of each day's people, so impressions / reach is how often one of them saw the ad on a day.
    """

    ads: int
    ad: Ints
    span: Ints
    impressions: Ints
    clicks: Ints
    reach: Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Fatigue:
    """Per ad (shape n): the flag and its evidence, rates of the oldest and the newest point; NaN without points.

    `score` is the trend in standard deviations of what a steady click rate gives.
    """

    flagged: Flags
    points: Ints
    ctr_first: Floats
    ctr_last: Floats
    frequency_first: Floats
    frequency_last: Floats
    score: Floats

    def evidence(self) -> Mapping[str, Flags | Ints | Floats]:
        """The columns as a policy's evidence names them."""
        return {
            "fatigued": self.flagged,
            "fatigue_points": self.points,
            "ctr_first": self.ctr_first,
            "ctr_last": self.ctr_last,
            "frequency_first": self.frequency_first,
            "frequency_last": self.frequency_last,
        }

    def says(self, ad: int) -> str:
        """The evidence of one flagged ad as a clause."""
        return (
            f"CTR {self.ctr_first[ad]:.2%} → {self.ctr_last[ad]:.2%} while frequency "
            f"{self.frequency_first[ad]:.2f} → {self.frequency_last[ad]:.2f} over {self.points[ad]} points of "
            f"{SPAN_DAYS} days"
        )


def find_fatigue(points: Points) -> Fatigue:
    """Flags ads whose click rate falls by a tenth or more, beyond chance, while the frequency rises.

    The fall is the score test of a log-linear trend of Poisson clicks, widened by how the points scatter about the
    trend; the frequency's trend is the slope of least squares, weighted by impressions. Points below 300 impressions
    are left out.
    """
    kept = (points.impressions >= LEAST_IMPRESSIONS) & (points.reach > 0)
    ad, time = points.ad[kept], -points.span[kept].astype(np.float64)
    shown, clicks = points.impressions[kept].astype(np.float64), points.clicks[kept].astype(np.float64)
    often = shown / points.reach[kept]
    n = points.ads
    count = np.bincount(ad, minlength=n)
    total = np.maximum(_sums(ad, shown, n), 1.0)
    rate = _sums(ad, clicks, n) / total
    apart = time - (_sums(ad, shown * time, n) / total)[ad]
    spread = np.maximum(_sums(ad, shown * apart**2, n), 1e-12)
    slope = _sums(ad, apart * clicks, n) / np.maximum(rate * spread, 1e-12)
    expected = shown * rate[ad]
    excess = (clicks - expected * np.maximum(1 + slope[ad] * apart, 0)) ** 2 / np.maximum(expected, 0.5)
    scatter = np.maximum(_sums(ad, excess, n) / np.maximum(count - 2, 1), 1.0)
    score = slope * np.sqrt(rate * spread / scatter)
    rising = _sums(ad, shown * apart * (often - (_sums(ad, shown * often, n) / total)[ad]), n) > 0
    first, last = _ends(ad, time, n)
    fall = -slope * (_at(time, last) - _at(time, first))
    enough = count >= LEAST_POINTS
    ctr = clicks / shown
    return Fatigue(
        flagged=enough & rising & (score <= _WORN) & (fall >= _LEAST_FALL),
        points=count,
        ctr_first=_at(ctr, first),
        ctr_last=_at(ctr, last),
        frequency_first=_at(often, first),
        frequency_last=_at(often, last),
        score=np.where(enough, score, np.nan),
    )


def _sums(ad: Ints, values: Floats, n: int) -> Floats:
    return np.bincount(ad, weights=values, minlength=n).astype(np.float64)


def _ends(ad: Ints, time: Floats, n: int) -> tuple[Ints, Ints]:
    """Where each ad's oldest and newest point stand, −1 for an ad without any."""
    first, last = np.full(n, -1), np.full(n, -1)
    order = np.lexsort((time, ad))
    last[ad[order]] = order
    first[ad[order[::-1]]] = order[::-1]
    return first, last


def _at(values: Floats, places: Ints) -> Floats:
    if not len(values):
        return np.full(len(places), np.nan)
    return np.where(places >= 0, values[places], np.nan)
